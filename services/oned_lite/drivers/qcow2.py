"""Empty disks in the qcow2 format: just the tables that say that nothing is there yet.

Layout (version 2 of the format, one cluster each): header, refcount table, refcount block, then the L1 table.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from .files import MEGABYTE

CLUSTER_BITS = 16
CLUSTER = 1 << CLUSTER_BITS
HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
REFCOUNT_TABLE, REFCOUNT_BLOCK, L1_TABLE = CLUSTER, 2 * CLUSTER, 3 * CLUSTER
ENTRIES = CLUSTER // 8
"""Entries of 8 bytes in a cluster: an L2 table's, and the L1 table's that fit in one."""


def write_empty(file: BinaryIO, size_mb: int) -> None:
    """A disk of `size_mb` without data, in a new file."""
    size = max(size_mb, 0) * MEGABYTE
    l1_entries = max(1, -(-size // (CLUSTER * ENTRIES)))
    l1_clusters = -(-l1_entries // ENTRIES)
    used = 3 + l1_clusters
    header = HEADER.pack(b"QFI\xfb", 2, 0, 0, CLUSTER_BITS, size, 0, l1_entries, L1_TABLE, REFCOUNT_TABLE, 1, 0, 0)
    file.write(header)
    file.seek(REFCOUNT_TABLE)
    file.write(struct.pack(">Q", REFCOUNT_BLOCK))
    file.seek(REFCOUNT_BLOCK)
    file.write(struct.pack(">H", 1) * used)
    file.truncate(used * CLUSTER)
