"""Who is calling."""

from __future__ import annotations

from dataclasses import dataclass

ONEADMIN_UID = 0
ONEADMIN_GID = 0
USERS_GID = 1


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated user. `gid` is the effective primary group and `group_ids` the groups that count for this call:
    with a login token made for one group, only that group (one.user.login, argument egid)."""

    uid: int
    name: str
    gid: int
    gname: str
    group_ids: frozenset[int]
    umask: int = 0o177

    @property
    def is_admin(self) -> bool:
        """User 0 and members of group 0 pass every permission check; locks stop them too."""
        return self.uid == ONEADMIN_UID or ONEADMIN_GID in self.group_ids


INTERNAL = Caller(ONEADMIN_UID, "oneadmin", ONEADMIN_GID, "oneadmin", frozenset({ONEADMIN_GID}))
"""The daemon itself: timers, life cycles, bootstrap."""
