"""`onelite chaos`: clients against real daemons while faults run, and a verdict on what the clients were told.

`cluster` runs the daemons and `relay` the links between them; `faults` can inject and heal, `nemesis` decides when;
`clients` write and read, and what became of each call is the `history`; `verdict` judges it, `report` shows it.
"""
