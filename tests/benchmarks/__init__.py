"""Measurements, run by hand: `python -m tests.benchmarks.NAME` (docs/benchmarks.md).

Told to terminate, they end the servers they have started, as at Ctrl-C.
"""

import signal

signal.signal(signal.SIGTERM, signal.default_int_handler)
