"""`onelite compare`: the same open-loop load against three web UIs behind each arrangement of health checks, and a fault.

Pure: `plan` (what is run), `schedule` (when requests are due), `faults` (what breaks when), `history` (what was seen),
`analysis` (figures of a history), `arrangements` (settings files), `charts`, `page`, `texts`. With the outside world:
`backend` (one small UI, a process of its own), `crew` (the three of them), `load`, `watch`, `experiment`, `command`.
"""
