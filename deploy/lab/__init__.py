"""The whole stack on one machine, to be seen, broken and mended.

`definition` is what a lab was made as, `addresses` where its servers listen, `topology` which processes it consists of:
values, all of them. `processes` and `supervisor` make them run, die, stop and freeze; `cli` is the `onelite` command.
"""
