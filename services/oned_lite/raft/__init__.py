"""Consensus, pure: `RaftNode` takes time, messages and completed writes, and says in `Output` what to do.

Roles and rules live in modules of their own (`election`, `follower`, `leadership`) around one shared state (`core`).
Sources: D. Ongaro and J. Ousterhout, "In Search of an Understandable Consensus Algorithm" (the Raft paper) and Ongaro's
dissertation (the thesis); docstrings give the sections.
"""

from .messages import Message, decode, encode
from .node import RaftNode
from .output import Divergence, Install, Output, ReadReady, RoleChange
from .types import (
    AddLearner,
    BrokenInvariant,
    Busy,
    Configuration,
    Demote,
    Entry,
    EntryKind,
    HardState,
    MembershipChange,
    MembershipRefused,
    NotLeader,
    Promote,
    RaftConfig,
    Remove,
    Role,
    SnapshotMeta,
    decode_configuration,
    encode_configuration,
)

__all__ = [
    "AddLearner",
    "BrokenInvariant",
    "Busy",
    "Configuration",
    "Demote",
    "Divergence",
    "Entry",
    "EntryKind",
    "HardState",
    "Install",
    "MembershipChange",
    "MembershipRefused",
    "Message",
    "NotLeader",
    "Output",
    "Promote",
    "RaftConfig",
    "RaftNode",
    "ReadReady",
    "Remove",
    "Role",
    "RoleChange",
    "SnapshotMeta",
    "decode",
    "decode_configuration",
    "encode",
    "encode_configuration",
]
