"""Empty qcow2 disks, read back by the rules of the format."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from services.oned_lite.drivers.qcow2 import CLUSTER, HEADER, write_empty

MEGABYTE = 1024 * 1024


@pytest.mark.parametrize("size_mb", [1, 511, 512, 513, 10_240, 5_000_000])
def test_every_cluster_is_counted_once_and_none_holds_data(tmp_path: Path, size_mb: int) -> None:
    with (tmp_path / "disk").open("wb") as file:
        write_empty(file, size_mb)
    data = (tmp_path / "disk").read_bytes()
    magic, version, _, _, bits, size, _, l1_size, l1, table, table_clusters, snapshots, _ = HEADER.unpack_from(data)
    assert (magic, version, 1 << bits, size, snapshots) == (b"QFI\xfb", 2, CLUSTER, size_mb * MEGABYTE, 0)
    assert l1_size * (CLUSTER // 8) * CLUSTER >= size
    assert data[l1:].count(0) == len(data) - l1
    (block,) = struct.unpack_from(">Q", data, table)
    counts = struct.unpack_from(f">{CLUSTER // 2}H", data, block)
    assert sum(counts) == len(data) // CLUSTER == 2 + table_clusters + (l1_size * 8 + CLUSTER - 1) // CLUSTER
