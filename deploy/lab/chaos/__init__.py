"""`onelite chaos`: clients against real daemons while faults run, and a verdict on what the clients were told.

`cluster` runs the daemons; `namespaces` or `relay` join them, `clocks` and `disks` are theirs alone; `means` says what of
it is possible here, `holdings` what a run has to give back. `faults` can inject and heal, `nemesis` decides when; `clients`
write and read, and what became of each call is the `history`; `verdict` judges it and the `databases`, `report` shows it.
"""
