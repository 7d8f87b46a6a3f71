"""Virtual networks."""

from services.common.template import Template, Vector
from services.sunstone_lite import states
from services.sunstone_lite.cells import Bar, State
from services.sunstone_lite.forms import Answers, Field, Form, Option
from services.sunstone_lite.i18n import N_
from services.sunstone_lite.items import Item
from services.sunstone_lite.kinds.base import Call, Column, Creation, Kind, Table
from services.sunstone_lite.kinds.pieces import (
    CLUSTER_FIELD,
    GROUP,
    NAME_FIELD,
    OID,
    OWNER,
    TEMPLATE_TREE,
    delete,
    name_column,
    text,
    wide,
)

LEASES_MAX = 65_536


def _state(item: Item) -> State:
    return states.of(states.NETWORK_STATES, item.number("STATE", 1))


def _leases(item: Item) -> Bar:
    total = sum(area.number("SIZE") for area in item.all("AR_POOL/AR"))
    return Bar(item.number("USED_LEASES"), total)


def _create(answers: Answers) -> Call:
    template = Template.of(
        {"NAME": answers["name"], "VN_MAD": answers["vn_mad"], "BRIDGE": answers["bridge"], "PHYDEV": answers["phydev"]}
    ).erase_empty()
    if answers["size"]:
        area = {"TYPE": "IP4" if answers["ip"] else "ETHER", "IP": answers["ip"], "SIZE": answers["size"]}
        template = template.with_added("AR", Vector.of(area).erase_empty())
    return Call("one.vn.allocate", (template.to_xml(), int(answers["cluster"])))


FORM = Form(
    fields=(
        NAME_FIELD,
        Field(
            "vn_mad",
            N_("Network driver"),
            "choice",
            required=True,
            default="dummy",
            options=tuple(Option(name, name) for name in ("dummy", "bridge", "802.1Q", "vxlan", "ovswitch")),
        ),
        Field("bridge", N_("Bridge"), default="br0", help=N_("The bridge on the hosts.")),
        Field("phydev", N_("Physical device"), advanced=True, help=N_("For VLAN and VXLAN networks.")),
        Field("ip", N_("First address"), rule="ipv4", help=N_("Empty for addresses of the second layer only.")),
        Field("size", N_("How many addresses"), "number", default="64", low=1, high=LEASES_MAX),
        CLUSTER_FIELD,
    ),
)

STATE = Column("state", N_("State"), _state)
LEASES = Column("leases", N_("Addresses"), _leases)
BRIDGE = text("bridge", N_("Bridge"), "BRIDGE")
DRIVER = text("driver", N_("Driver"), "VN_MAD")

NETWORKS = Kind(
    key="networks",
    tag="VNET",
    icon="network",
    title=N_("Networks"),
    singular=N_("Network"),
    pool=Call("one.vnpool.info", (-2, -1, -1)),
    info="one.vn.info",
    columns=(OID, name_column("networks"), STATE, LEASES, BRIDGE, wide(DRIVER), wide(OWNER), wide(GROUP)),
    facts=(STATE, LEASES, OWNER, GROUP, DRIVER, BRIDGE, text("vlan", "VLAN", "VLAN_ID")),
    tables=(
        Table(
            N_("Address ranges"),
            "AR_POOL/AR",
            (
                text("id", "ID", "AR_ID"),
                text("type", N_("Type"), "TYPE"),
                text("ip", N_("First address"), "IP"),
                text("mac", N_("First MAC"), "MAC", wide=True),
                Column("used", N_("Used"), lambda area: Bar(area.number("USED_LEASES"), area.number("SIZE"))),
            ),
        ),
        Table(
            N_("Leases"),
            "AR_POOL/AR/LEASES/LEASE",
            (text("ip", "IP", "IP"), text("mac", "MAC", "MAC"), text("vm", "VM", "VM")),
        ),
    ),
    trees=(TEMPLATE_TREE,),
    actions=(delete("one.vn.delete"),),
    create=Creation(N_("Create network"), FORM, _create),
    empty=N_("No networks yet."),
)
