"""`onelite compare`: the same open-loop load against three web UIs behind each arrangement of health checks, and a fault.

Pure: `plan` (what is run), `schedule` (when requests are due), `faults` (what breaks when), `history` (what was seen),
`analysis` (figures of a history, and whether to trust them), `findings` (sentences), `arrangements` (settings files),
`tables`, `charts`, `page`, `texts`. Processes of their own: `backend` (one small UI), `load`, and the balancers. With the
outside world too: `crew` (the three UIs), `packets` (what a balancer sent to whom), `watch` (what it says itself),
`experiment` (conducts), `record` (what stays on disk), `picture`, `command`.
"""
