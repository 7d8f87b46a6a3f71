"""Changing one VM inside a transaction: its state, its history records and its host's promises move together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from services.common.template import Template
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.datastore import DATASTORES, Datastore
from services.oned_lite.model.history import HISTORY, NOBODY, History
from services.oned_lite.model.host import HOSTS, Host
from services.oned_lite.model.vm import VMS, Vm
from services.oned_lite.model.vm_states import HistoryAction, LcmState, VmState
from services.oned_lite.state import Transaction

from . import host_share, vm_quota


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asked for an action: what the history record that it ends will tell."""

    uid: int = NOBODY
    gid: int = NOBODY
    request_id: int = NOBODY


NOBODY_IN_PARTICULAR = Actor()


class VmEditor:
    """Every change is written to the transaction at once; `vm` is always the row as it now is.

    Quotas follow. With `caller_uid` somebody asked for the change, so limits are looked at.
    """

    def __init__(self, tx: Transaction, vm: Vm, conf: Configuration, caller_uid: int | None = None) -> None:
        self.tx = tx
        self.conf = conf
        self.vm = vm
        self.caller_uid = caller_uid
        self._opened = False

    # ------------------------------------------------------------------ the row
    def put(self, **changes: Any) -> None:
        before = self.vm
        self.vm = self.tx.put(VMS.table, replace(before, **changes))
        vm_quota.settle(self.tx, before, self.vm, self.caller_uid)

    def enter(self, lcm: LcmState, **changes: Any) -> None:
        """ACTIVE, in that LCM state."""
        before = self.vm
        self.put(state=VmState.ACTIVE, lcm_state=lcm, step=before.step + 1, **changes)
        self._keep_in_records(before)

    def rest(self, state: VmState, **changes: Any) -> None:
        """Out of ACTIVE, or from one resting state to another."""
        if self.vm.is_active:
            self._keep_in_records(self.vm)
        self.put(state=state, lcm_state=LcmState.LCM_INIT, step=self.vm.step + 1, **changes)

    def set_template(self, template: Template) -> None:
        self.put(template=template)

    def report_error(self, message: str) -> None:
        """Puts an ERROR into the user template, where people look for it."""
        self.put(user_template=self.vm.user_template.with_set("ERROR", message))

    # ------------------------------------------------------------------ history
    @property
    def now(self) -> int:
        return self.tx.now

    @property
    def record(self) -> History:
        """The current record. Only asked for where there is one."""
        return self._record(self.vm.seq)

    @property
    def previous(self) -> History:
        return self._record(self.vm.seq - 1)

    @property
    def has_previous(self) -> bool:
        return self.vm.seq > 0

    def _record(self, seq: int) -> History:
        record = self.tx.get(HISTORY, (self.vm.oid, seq))
        if record is None:
            raise LookupError(f"VM {self.vm.oid} has no history record {seq}")
        return record

    def stamp(self, **changes: Any) -> None:
        """Changes fields of the current record."""
        self.tx.put(HISTORY, replace(self.record, **changes))

    def stamp_previous(self, **changes: Any) -> None:
        self.tx.put(HISTORY, replace(self.previous, **changes))

    def act(self, action: HistoryAction, actor: Actor) -> None:
        """Notes in the current record which action ends it."""
        self.stamp(action=int(action), uid=actor.uid, gid=actor.gid, request_id=actor.request_id)

    def _keep_in_records(self, before: Vm) -> None:
        """The VM as it is now goes into its current record, and into the one that has just been closed."""
        kept = {
            "vm": VMS.table.encode(self.vm),
            "prev_state": int(before.state),
            "prev_lcm_state": int(before.lcm_state),
        }
        if self.vm.seq >= 0:
            self.stamp(**kept)
        if self._opened and self.has_previous:
            self.stamp_previous(**kept)
            self._opened = False

    def open_record(self, host: Host, datastore: Datastore) -> None:
        """A new record on a host; it becomes the current one."""
        record = History(
            oid=self.vm.oid,
            seq=self.vm.seq + 1,
            hostname=host.name,
            hid=host.oid,
            cid=host.cluster_id,
            vm_mad=host.vm_mad,
            tm_mad=datastore.tm_mad,
            ds_id=datastore.oid,
            stime=self.now,
        )
        self.tx.put(HISTORY, record)
        self.put(seq=record.seq)
        self._opened = True

    def reopen_record(self, like: History | None = None, **times: int) -> None:
        """A new record on the same host as `like` (the current one by default)."""
        like = like or self.record
        record = History(
            oid=self.vm.oid,
            seq=self.vm.seq + 1,
            hostname=like.hostname,
            hid=like.hid,
            cid=like.cid,
            vm_mad=like.vm_mad,
            tm_mad=like.tm_mad,
            ds_id=like.ds_id,
            stime=self.now,
        )
        self.tx.put(HISTORY, replace(record, **times))
        self.put(seq=record.seq)
        self._opened = True

    # ------------------------------------------------------------------ host
    def occupy(self, hid: int) -> None:
        """The host promises the VM its capacity; its devices and cores are given where it asks for some."""
        host = self.tx.get(HOSTS.table, hid)
        if host is not None:
            host, template = host_share.add(host, self.vm)
            self.tx.put(HOSTS.table, host)
            self.set_template(template)

    def vacate(self, hid: int) -> None:
        """Takes the promise back; nothing where the VM is not on that host."""
        host = self.tx.get(HOSTS.table, hid)
        if host is not None and self.vm.oid in host.vm_ids:
            self.tx.put(HOSTS.table, host_share.remove(host, self.vm))

    def system_datastore(self) -> Datastore | None:
        """Where the VM's files lie."""
        return self.tx.get(DATASTORES.table, self.record.ds_id) if self.vm.seq >= 0 else None
