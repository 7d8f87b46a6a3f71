"""The four lists of VMs in networks and security groups: who has the present settings, who is still to get them."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from .xml import id_list


class VmLists(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Ids, ascending. A VM is in one list at most."""

    updated: tuple[int, ...] = ()
    outdated: tuple[int, ...] = ()
    updating: tuple[int, ...] = ()
    error: tuple[int, ...] = ()

    def without(self, oid: int) -> VmLists:
        return VmLists(
            updated=_less(self.updated, oid),
            outdated=_less(self.outdated, oid),
            updating=_less(self.updating, oid),
            error=_less(self.error, oid),
        )

    def with_updated(self, oid: int) -> VmLists:
        kept = self.without(oid)
        return replace(kept, updated=tuple(sorted((*kept.updated, oid))))

    def with_error(self, oid: int) -> VmLists:
        kept = self.without(oid)
        return replace(kept, error=tuple(sorted((*kept.error, oid))))

    def with_updating(self, oid: int) -> VmLists:
        kept = self.without(oid)
        return replace(kept, updating=tuple(sorted((*kept.updating, oid))))

    def all_outdated(self, *, whole: bool = True) -> VmLists:
        """Everybody is to get new settings; not `whole`: only who has not got the last ones, or failed."""
        again = {*self.outdated, *self.error} | ({*self.updated, *self.updating} if whole else set())
        return VmLists(
            outdated=tuple(sorted(again)),
            updated=() if whole else self.updated,
            updating=() if whole else self.updating,
        )

    @property
    def everybody(self) -> tuple[int, ...]:
        return tuple(sorted({*self.updated, *self.outdated, *self.updating, *self.error}))

    def to_xml(self) -> str:
        return (
            id_list("UPDATED_VMS", self.updated)
            + id_list("OUTDATED_VMS", self.outdated)
            + id_list("UPDATING_VMS", self.updating)
            + id_list("ERROR_VMS", self.error)
        )


def _less(oids: tuple[int, ...], oid: int) -> tuple[int, ...]:
    return tuple(one for one in oids if one != oid) if oid in oids else oids
