"""Pure replicated state: tables of rows, change sets, transactions, secondary indexes, snapshots.

Rows are frozen `msgspec.Struct`s declared by the model; this package knows none of them by name. Nothing here computes
anything while applying: a change set carries finished after-images, so every server ends with the same bytes.
"""

from .change import Change, ChangeSet
from .pin import Pin
from .recent import Recent
from .snapshot import Snapshot, SnapshotMaker
from .store import Store
from .table import Key, Reader, Table
from .transaction import Layer, Overlay, Transaction

__all__ = [
    "Change",
    "ChangeSet",
    "Key",
    "Layer",
    "Overlay",
    "Pin",
    "Reader",
    "Recent",
    "Snapshot",
    "SnapshotMaker",
    "Store",
    "Table",
    "Transaction",
]
