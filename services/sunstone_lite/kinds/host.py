"""Hosts: the machines that run VMs."""

from services.common.xmlrpc import Value
from services.sunstone_lite import states
from services.sunstone_lite.cells import Bar, Link, Moment, Number, State, Text
from services.sunstone_lite.forms import Answers, Field, Form, Option
from services.sunstone_lite.i18n import N_
from services.sunstone_lite.items import Item
from services.sunstone_lite.kinds.base import Action, Call, Column, Creation, Kind, Table
from services.sunstone_lite.kinds.pieces import (
    CLUSTER_FIELD,
    OID,
    TEMPLATE_TREE,
    delete,
    members,
    name_column,
    text,
    wide,
)

KIB_PER_MIB = 1024


def cpu_bar(item: Item) -> Bar:
    """CPU reserved by VMs, in hundredths of a core."""
    return Bar(item.real("HOST_SHARE/CPU_USAGE"), item.real("HOST_SHARE/MAX_CPU"), "cpu")


def memory_bar(item: Item) -> Bar:
    """Memory reserved by VMs; the share counts in KiB."""
    return Bar(item.real("HOST_SHARE/MEM_USAGE") / KIB_PER_MIB, item.real("HOST_SHARE/MAX_MEM") / KIB_PER_MIB, "mib")


def _cluster(item: Item) -> Link:
    return Link("clusters", item.number("CLUSTER_ID"), item.text("CLUSTER"))


def _state(item: Item) -> State:
    return states.of(states.HOST_STATES, item.number("STATE"))


def _status(key: str, label: str, icon: str, status: int, *, grave: bool = False, warning: str = "") -> Action:
    """`one.host.status`: 0 enabled, 1 disabled, 2 offline."""
    goal = {0: {"MONITORED", "INIT"}, 1: {"DISABLED"}, 2: {"OFFLINE"}}[status]
    params: tuple[Value, ...] = (status,)
    return Action(
        key,
        label,
        icon,
        lambda oid: Call("one.host.status", (oid, *params)),
        lambda item: _state(item).code not in goal,
        grave,
        warning,
    )


def _create(answers: Answers) -> Call:
    driver = answers["driver"]
    return Call("one.host.allocate", (answers["name"], driver, driver, int(answers["cluster"])))


FORM = Form(
    fields=(
        Field("name", N_("Name"), required=True, rule="name", help=N_("The name or address the drivers use.")),
        Field(
            "driver",
            N_("Hypervisor"),
            "choice",
            required=True,
            default="dummy",
            options=(Option("dummy", "dummy"), Option("kvm", "KVM"), Option("qemu", "QEMU"), Option("lxc", "LXC")),
            help=N_("dummy plays a hypervisor without having one."),
        ),
        CLUSTER_FIELD,
    ),
)

STATE = Column("state", N_("State"), _state)
CLUSTER = Column("cluster", N_("Cluster"), _cluster)
HOST_CPU = Column("cpu", "CPU", cpu_bar)
HOST_MEMORY = Column("memory", N_("Memory"), memory_bar)

HOSTS = Kind(
    key="hosts",
    tag="HOST",
    icon="host",
    title=N_("Hosts"),
    singular=N_("Host"),
    pool=Call("one.hostpool.info"),
    info="one.host.info",
    columns=(
        OID,
        name_column("hosts"),
        STATE,
        wide(CLUSTER),
        Column("vms", "VMs", lambda item: Number(item.number("HOST_SHARE/RUNNING_VMS"))),
        HOST_CPU,
        HOST_MEMORY,
        text("driver", N_("Driver"), "VM_MAD", wide=True),
    ),
    facts=(
        STATE,
        CLUSTER,
        Column("vms", N_("Running VMs"), lambda item: Number(item.number("HOST_SHARE/RUNNING_VMS"))),
        HOST_CPU,
        HOST_MEMORY,
        text("im", N_("Monitoring driver"), "IM_MAD"),
        text("vm", N_("Virtualisation driver"), "VM_MAD"),
        Column("seen", N_("Last monitored"), lambda item: Moment(item.number("MONITORING/TIMESTAMP"))),
        text("error", N_("Last error"), "TEMPLATE/ERROR"),
    ),
    tables=(
        members("vms", N_("Virtual machines here"), "VMS/ID", heading="VM"),
        Table(
            N_("NUMA nodes"),
            "HOST_SHARE/NUMA_NODES/NODE",
            (
                text("node", N_("Node"), "NODE_ID"),
                Column("memory", N_("Memory"), lambda node: Text(node.text("MEMORY/TOTAL"))),
            ),
        ),
    ),
    trees=(TEMPLATE_TREE,),
    actions=(
        _status("enable", N_("Enable"), "play", 0),
        _status(
            "disable", N_("Disable"), "pause", 1, warning=N_("No new machines are placed here; running ones stay.")
        ),
        _status("offline", N_("Set offline"), "power", 2, grave=True, warning=N_("The host is no longer watched.")),
        delete("one.host.delete"),
    ),
    create=Creation(N_("Add host"), FORM, _create),
    empty=N_("No hosts yet. Add one so that virtual machines have a place to run."),
)
