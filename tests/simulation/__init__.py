"""Whole nodes (handlers and life cycles included) in one process, under every fault we can think of, from seeds.

`python -m tests.simulation --seeds 1..1000` runs as many as wanted. Each run has two phases: faults, then everything heals
and the cluster must converge, serve fresh writes and end with equal state everywhere. The same seed is the same run.
"""
