"""Virtual machines: the row and its XML."""

from __future__ import annotations

from collections.abc import Hashable

from services.common.template import Template, Vector
from services.common.xmlrpc import EncodedText, encode_text
from services.oned_lite.state import Reader, Recent

from .history import HISTORY, History, records
from .objects import Kind, NameScope, ObjectType, PoolObject, kind_table
from .scheduled_action import VM_PARENT, of_parent
from .snapshots import Snapshots
from .vm_states import LcmState, VmState
from .xml import id_list, text_element

NO_RECORD = -1

TRANSIENT = frozenset(LcmState) - {
    LcmState.LCM_INIT,
    LcmState.RUNNING,
    LcmState.UNKNOWN,
    *(state for state in LcmState if state.name.endswith("_FAILURE")),
}
"""Where a driver has something to do; the other LCM states wait for somebody to ask for something."""


class Vm(PoolObject, frozen=True, kw_only=True, omit_defaults=True):
    """`template` is what the daemon manages (TEMPLATE), `user_template` what people add (USER_TEMPLATE).

    Times in epoch seconds. `seq` is the number of the current history record, -1 before the first. `step` grows with
    every change of state; `operation` says what a hot-plug, snapshot, resize or backup state is about.
    """

    user_template: Template = Template()
    state: VmState = VmState.PENDING
    lcm_state: LcmState = LcmState.LCM_INIT
    resched: bool = False
    stime: int
    etime: int = 0
    deploy_id: str = ""
    seq: int = NO_RECORD
    disk_snapshots: tuple[tuple[int, Snapshots], ...] = ()
    backup_config: Template = Template()
    backup_ids: tuple[int, ...] = ()
    operation: Vector = Vector()
    step: int = 0

    @property
    def is_active(self) -> bool:
        return self.state is VmState.ACTIVE

    @property
    def is_done(self) -> bool:
        return self.state is VmState.DONE

    @property
    def is_imported(self) -> bool:
        """Taken over from a hypervisor, not made by this daemon."""
        return self.template.get_bool("IMPORTED", False)

    @property
    def state_text(self) -> str:
        """The state as messages name it."""
        return self.lcm_state.name if self.is_active else self.state.name

    def in_lcm(self, *states: LcmState) -> bool:
        return self.is_active and self.lcm_state in states


def current_record(reader: Reader, row: Vm) -> History | None:
    """The last history record; None before the first deployment."""
    return reader.get(HISTORY, (row.oid, row.seq)) if row.seq >= 0 else None


def _head_xml(row: Vm, previous: tuple[int, int] | None) -> str:
    prev_state, prev_lcm_state = previous or (int(row.state), int(row.lcm_state))
    return (
        f"<LAST_POLL>0</LAST_POLL><STATE>{int(row.state)}</STATE><LCM_STATE>{int(row.lcm_state)}</LCM_STATE>"
        f"<PREV_STATE>{prev_state}</PREV_STATE><PREV_LCM_STATE>{prev_lcm_state}</PREV_LCM_STATE>"
        f"<RESCHED>{int(row.resched)}</RESCHED><STIME>{row.stime}</STIME><ETIME>{row.etime}</ETIME>"
        f"<DEPLOY_ID>{row.deploy_id}</DEPLOY_ID>"
    )


def body_xml(reader: Reader, row: Vm, history: str, previous: tuple[int, int] | None = None) -> str:
    """`<VM>` with the history given. `previous`: the state (and LCM state) before, where it is not the present one."""
    actions = of_parent(reader, VM_PARENT, row.oid)
    action_ids = id_list("SCHED_ACTIONS", (one.oid for one in actions))
    template = row.template.to_xml().removesuffix("</TEMPLATE>") + "".join(one.to_xml() for one in actions)
    snapshots = "".join(held.to_xml(disk_id) for disk_id, held in row.disk_snapshots if held.items or held.next_oid)
    config = row.backup_config.to_xml("BACKUP_CONFIG") if row.backup_config else "<BACKUP_CONFIG/>"
    return (
        f"<VM>{row.owner_xml()}{row.permissions.to_xml()}{_head_xml(row, previous)}{row.lock_xml()}"
        f"<MONITORING></MONITORING>{action_ids}{template}</TEMPLATE>{row.user_template.to_xml('USER_TEMPLATE')}{history}{snapshots}"
        f"<BACKUPS>{config}{id_list('BACKUP_IDS', row.backup_ids)}</BACKUPS></VM>"
    )


def render(reader: Reader, row: Vm) -> str:
    """`<VM>` as one.vm.info shows it."""
    history = "".join(record.to_xml() for record in records(reader, row.oid))
    return body_xml(reader, row, f"<HISTORY_RECORDS>{history}</HISTORY_RECORDS>")


def vm_then(record: History) -> Vm:
    """The VM as it was at the end of the record, or as it is by now."""
    return VMS.table.decode(record.vm)


def accounting_xml(reader: Reader, record: History) -> str:
    """`<HISTORY>` with the VM of that time in it."""
    previous = (record.prev_state, record.prev_lcm_state)
    return record.to_xml(body_xml(reader, vm_then(record), "<HISTORY_RECORDS/>", previous))


_DISK_SHOWN = (
    "DISK_ID",
    "DATASTORE",
    "DATASTORE_ID",
    "IMAGE",
    "IMAGE_ID",
    "SIZE",
    "TYPE",
    "CLONE",
    "CLONE_TARGET",
    "LN_TARGET",
    "DISK_SNAPSHOT_TOTAL_SIZE",
)
_NIC_SHOWN_IF_SET = (
    "IP",
    "EXTERNAL_IP",
    "IP6",
    "IP6_ULA",
    "IP6_LINK",
    "IP6_GLOBAL",
    "NETWORK_MODE",
    "SCHED_REQUIREMENTS",
    "SCHED_RANK",
)
_NIC_SHOWN = ("MAC", "NETWORK", "NETWORK_ID", "NIC_ID", "SECURITY_GROUPS")
_USER_SHOWN = (
    "LABELS",
    "SCHED_RANK",
    "RANK",
    "SCHED_DS_RANK",
    "SCHED_DS_REQUIREMENTS",
    "SCHED_REQUIREMENTS",
    "SCHED_MESSAGE",
    "ERROR",
    "USER_PRIORITY",
)


def _short_template(template: Template) -> str:
    """CPU, MEMORY, VCPU; then disks and NICs. Aliases are listed as NICs among the others, in order of NIC_ID."""
    sizes = "".join(f"<{name}>{template.get(name)}</{name}>" for name in ("CPU", "MEMORY", "VCPU"))
    disks = "".join(map(_short_disk, template.vectors("DISK")))
    nics = (*template.vectors("NIC"), *template.vectors("NIC_ALIAS"))
    shown = "".join(map(_short_nic, sorted(nics, key=lambda nic: nic.get_int("NIC_ID") or 0)))
    graphics = "".join(vector.to_xml("GRAPHICS") for vector in template.vectors("GRAPHICS"))
    return f"<TEMPLATE>{sizes}{disks}{shown}{graphics}</TEMPLATE>"


def _short_disk(disk: Vector) -> str:
    values = dict(disk.pairs)
    return "<DISK>" + "".join([text_element(key, values.get(key, "")) for key in _DISK_SHOWN]) + "</DISK>"


def _short_nic(nic: Vector) -> str:
    values = dict(nic.pairs)
    addresses = "".join([text_element(key, values[key]) for key in _NIC_SHOWN_IF_SET if values.get(key)])
    return f"<NIC>{addresses}" + "".join([text_element(key, values.get(key, "")) for key in _NIC_SHOWN]) + "</NIC>"


RENDERED_MAX = 40_000
"""Short forms kept, each with the rows it was made of. Lists of thousands of VMs are asked for every few seconds, and
hardly any VM changes in between."""
_rendered: Recent[int, tuple[Vm, History | None, EncodedText]] = Recent(RENDERED_MAX)


def render_short(reader: Reader, row: Vm) -> str:
    """`<VM>` as one.vmpool.info lists it."""
    return _short_xml(row, current_record(reader, row))


def encoded_short(reader: Reader, row: Vm) -> EncodedText:
    """The short form ready to be sent: rendered and escaped once for each version of its rows."""
    record = current_record(reader, row)
    known = _rendered.get(row.oid)
    if known is not None and known[0] is row and known[1] is record:
        return known[2]
    encoded = encode_text(_short_xml(row, record))
    _rendered.put(row.oid, (row, record, encoded))
    return encoded


def _short_xml(row: Vm, record: History | None) -> str:
    history = "" if record is None else record.to_short_xml()
    given = {name: value for name, value in reversed(row.user_template.attributes) if isinstance(value, str)}
    user = "".join([text_element(name, given[name]) for name in _USER_SHOWN if name in given])
    return (
        f"<VM>{row.owner_xml()}<LAST_POLL>0</LAST_POLL><STATE>{int(row.state)}</STATE>"
        f"<LCM_STATE>{int(row.lcm_state)}</LCM_STATE><RESCHED>{int(row.resched)}</RESCHED>"
        f"<STIME>{row.stime}</STIME><ETIME>{row.etime}</ETIME><DEPLOY_ID>{row.deploy_id}</DEPLOY_ID>"
        f"{row.lock_xml()}{_short_template(row.template)}<MONITORING/><USER_TEMPLATE>{user}</USER_TEMPLATE>"
        f"<HISTORY_RECORDS>{history}</HISTORY_RECORDS></VM>"
    )


def _by_state(row: Vm) -> tuple[Hashable, ...]:
    return (int(row.state),)


def _alive(row: Vm) -> tuple[Hashable, ...]:
    return () if row.is_done else (True,)


def _needs_work(row: Vm) -> tuple[Hashable, ...]:
    return (True,) if row.is_active and row.lcm_state in TRANSIENT else ()


def _to_move(row: Vm) -> tuple[Hashable, ...]:
    return (True,) if row.resched and not row.is_done else ()


def _by_deploy_id(row: Vm) -> tuple[Hashable, ...]:
    return (row.deploy_id,) if row.is_imported and not row.is_done else ()


VMS: Kind[Vm] = Kind(
    type=ObjectType.VM,
    title="virtual machine",
    table=kind_table(
        "vm_pool",
        Vm,
        NameScope.NONE,
        columns={"state": lambda row: int(row.state), "lcm_state": lambda row: int(row.lcm_state)},
        state=_by_state,
        alive=_alive,
        work=_needs_work,
        imported=_by_deploy_id,
        resched=_to_move,
    ),
    prefix="one.vm",
    root="VM",
    pool_root="VM_POOL",
    name_scope=NameScope.NONE,
    encrypted="VM_ENCRYPTED_ATTR",
    render=render_short,
    render_info=render,
)
