"""Virtual machines."""

from services.sunstone_lite import states
from services.sunstone_lite.cells import Cell, Link, Moment, Size, Text
from services.sunstone_lite.i18n import N_
from services.sunstone_lite.items import Item
from services.sunstone_lite.kinds.base import Action, Call, Column, Kind, Table
from services.sunstone_lite.kinds.pieces import (
    CPU,
    GROUP,
    MEMORY,
    OID,
    OWNER,
    TEMPLATE_TREE,
    VCPU,
    name_column,
    text,
    wide,
)

# VMs of the caller's view (-2), no id range, any state but DONE (-1): one.vmpool.info.
POOL = Call("one.vmpool.info", (-2, -1, -1, -1))

_RUNS = frozenset({"RUNNING", "UNKNOWN"})
_RESTS = frozenset({"SUSPENDED", "POWEROFF", "STOPPED", "UNDEPLOYED"})
_WAITS = frozenset({"INIT", "PENDING", "HOLD", "CLONING", "CLONING_FAILURE"})


def _host(item: Item) -> Cell:
    records = item.all("HISTORY_RECORDS/HISTORY")
    if not records or states.vm_code(item) in ("PENDING", "HOLD"):
        return Text("")
    return Link("hosts", records[-1].number("HID"), records[-1].text("HOSTNAME"))


def _addresses(item: Item) -> Cell:
    found = [nic.text("IP") or nic.text("IP6_GLOBAL") or nic.text("MAC") for nic in item.all("TEMPLATE/NIC")]
    return Text(", ".join(address for address in found if address))


def _action(
    key: str, label: str, icon: str, valid: frozenset[str], *, grave: bool = False, warning: str = ""
) -> Action:
    """An action of `one.vm.action`, offered in the states named by `valid` (constants.yaml, vm_action_calls)."""

    def call(oid: int) -> Call:
        return Call("one.vm.action", (key, oid))

    return Action(key, label, icon, call, lambda item: states.vm_code(item) in valid, grave, warning)


def _ends(item: Item) -> bool:
    code = states.vm_code(item)
    return code in _RUNS | _RESTS | _WAITS or code.endswith("FAILURE")


def _terminate(key: str, label: str, icon: str, warning: str) -> Action:
    return Action(
        key, label, icon, lambda oid: Call("one.vm.action", (key, oid)), _ends, grave=True, warning=warning, final=True
    )


def _recover(key: str, label: str, icon: str, operation: int, *, grave: bool = False, warning: str = "") -> Action:
    """`one.vm.recover` for machines that failed (constants.yaml, vm_recover_operations)."""
    return Action(key, label, icon, lambda oid: Call("one.vm.recover", (oid, operation)), _has_failed, grave, warning)


def _has_failed(item: Item) -> bool:
    return states.vm_code(item).endswith("FAILURE")


ACTIONS = (
    _action("resume", N_("Resume"), "play", _RESTS | {"UNKNOWN"}),
    _action(
        "poweroff", N_("Power off"), "power", _RUNS, grave=True, warning=N_("The guest is shut down; its disks stay.")
    ),
    _action("reboot", N_("Reboot"), "restart", frozenset({"RUNNING"})),
    _action("suspend", N_("Suspend"), "pause", frozenset({"RUNNING"})),
    _action("stop", N_("Stop"), "stop", frozenset({"RUNNING", "SUSPENDED"})),
    _action("undeploy", N_("Undeploy"), "eject", _RUNS | {"POWEROFF"}),
    _action("hold", N_("Hold"), "hand", frozenset({"PENDING"})),
    _action("release", N_("Release"), "play", frozenset({"HOLD"})),
    _recover("retry", N_("Retry"), "restart", 2),
    _recover(
        "recreate", N_("Recreate"), "plus", 4, grave=True, warning=N_("Placed and made anew; its disks are lost.")
    ),
    _terminate(
        "terminate", N_("Terminate"), "trash", N_("The machine and its non-persistent disks are removed for good.")
    ),
    _terminate(
        "terminate-hard",
        N_("Terminate now"),
        "bolt",
        N_("Pulled out at once without asking the guest, and removed for good."),
    ),
)

COLUMNS = (
    OID,
    name_column("vms"),
    Column("state", N_("State"), states.vm),
    wide(OWNER),
    wide(GROUP),
    CPU,
    MEMORY,
    Column("host", N_("Host"), _host),
    Column("since", N_("Created"), lambda item: Moment(item.number("STIME")), wide=True),
)

FACTS = (
    Column("state", N_("State"), states.vm),
    OWNER,
    GROUP,
    Column("host", N_("Host"), _host),
    Column("addresses", N_("Addresses"), _addresses),
    CPU,
    VCPU,
    MEMORY,
    Column("since", N_("Created"), lambda item: Moment(item.number("STIME"))),
    Column("until", N_("Ended"), lambda item: Moment(item.number("ETIME"))),
    text("deploy", N_("Deploy id"), "DEPLOY_ID"),
    text("message", N_("Scheduler says"), "USER_TEMPLATE/SCHED_MESSAGE"),
    text("error", N_("Last error"), "USER_TEMPLATE/ERROR"),
)

DISKS = Table(
    N_("Disks"),
    "TEMPLATE/DISK",
    (
        text("disk", "ID", "DISK_ID"),
        Column("image", N_("Image"), lambda disk: _named(disk, "images", "IMAGE_ID", "IMAGE")),
        Column("datastore", N_("Datastore"), lambda disk: _named(disk, "datastores", "DATASTORE_ID", "DATASTORE")),
        text("target", N_("Target"), "TARGET"),
        Column("size", N_("Size"), lambda disk: Size(disk.real("SIZE"))),
    ),
)

NICS = Table(
    N_("Network interfaces"),
    "TEMPLATE/NIC",
    (
        text("nic", "ID", "NIC_ID"),
        Column("network", N_("Network"), lambda nic: _named(nic, "networks", "NETWORK_ID", "NETWORK")),
        text("ip", "IP", "IP"),
        text("mac", "MAC", "MAC"),
        text("bridge", N_("Bridge"), "BRIDGE", wide=True),
    ),
)

HISTORY = Table(
    N_("Placement history"),
    "HISTORY_RECORDS/HISTORY",
    (
        text("seq", N_("No."), "SEQ"),
        Column("host", N_("Host"), lambda record: Link("hosts", record.number("HID"), record.text("HOSTNAME"))),
        Column("from", N_("From"), lambda record: Moment(record.number("STIME"))),
        Column("to", N_("To"), lambda record: Moment(record.number("ETIME"))),
        Column("ds", N_("Datastore"), lambda record: _numbered(record, "datastores", "DS_ID"), wide=True),
    ),
)


def _named(item: Item, kind: str, oid_path: str, name_path: str) -> Cell:
    name = item.text(name_path)
    return Link(kind, item.number(oid_path), name) if item.text(oid_path) else Text(name)


def _numbered(item: Item, kind: str, path: str) -> Cell:
    oid = item.number(path, -1)
    return Link(kind, oid, f"#{oid}") if oid >= 0 else Text("")


VMS = Kind(
    key="vms",
    tag="VM",
    icon="vm",
    title=N_("Virtual machines"),
    singular=N_("Virtual machine"),
    pool=POOL,
    info="one.vm.info",
    columns=COLUMNS,
    facts=FACTS,
    tables=(DISKS, NICS, HISTORY),
    trees=((N_("User template"), "USER_TEMPLATE"), TEMPLATE_TREE),
    actions=ACTIONS,
    empty=N_("No virtual machines yet. Instantiate a template to get one."),
)
