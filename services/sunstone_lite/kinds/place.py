"""Clusters and zones."""

from services.sunstone_lite import states
from services.sunstone_lite.cells import Link, Number, State
from services.sunstone_lite.forms import Field, Form
from services.sunstone_lite.i18n import N_
from services.sunstone_lite.items import Item
from services.sunstone_lite.kinds.base import Call, Column, Creation, Kind, Table, delete, name_column, oid_column, text


def _members(path: str, kind: str, title: str) -> Table:
    return Table(
        title, f"{path}/ID", (Column("id", title, lambda found: Link(kind, int(found.value or -1), f"#{found.value}")),)
    )


def _count(path: str, key: str, title: str) -> Column:
    return Column(key, title, lambda item: Number(len(item.all(f"{path}/ID"))))


CLUSTERS = Kind(
    key="clusters",
    tag="CLUSTER",
    icon="cluster",
    title=N_("Clusters"),
    singular=N_("Cluster"),
    pool=Call("one.clusterpool.info"),
    info="one.cluster.info",
    columns=(
        oid_column(),
        name_column("clusters", N_("Name")),
        _count("HOSTS", "hosts", N_("Hosts")),
        _count("DATASTORES", "datastores", N_("Datastores")),
        _count("VNETS", "networks", N_("Networks")),
    ),
    facts=(
        _count("HOSTS", "hosts", N_("Hosts")),
        _count("DATASTORES", "datastores", N_("Datastores")),
        _count("VNETS", "networks", N_("Networks")),
    ),
    tables=(
        _members("HOSTS", "hosts", N_("Hosts")),
        _members("DATASTORES", "datastores", N_("Datastores")),
        _members("VNETS", "networks", N_("Networks")),
    ),
    trees=((N_("Template"), "TEMPLATE"),),
    actions=(delete("one.cluster.delete", applies=lambda item: item.oid >= 100),),
    create=Creation(
        N_("Create cluster"),
        Form(fields=(Field("name", N_("Name"), required=True, rule="name"),)),
        lambda answers: Call("one.cluster.allocate", (answers["name"],)),
    ),
    empty=N_("No clusters that you may see."),
)


def _zone_state(item: Item) -> State:
    return states.of(states.ZONE_STATES, item.number("STATE"))


ZONES = Kind(
    key="zones",
    tag="ZONE",
    icon="zone",
    title=N_("Zones"),
    singular=N_("Zone"),
    pool=Call("one.zonepool.info"),
    info="one.zone.info",
    columns=(
        oid_column(),
        name_column("zones", N_("Name")),
        Column("state", N_("State"), _zone_state),
        Column("servers", N_("Servers"), lambda item: Number(len(item.all("SERVER_POOL/SERVER")))),
        text("endpoint", N_("Endpoint"), "TEMPLATE/ENDPOINT", wide=True),
    ),
    facts=(Column("state", N_("State"), _zone_state), text("endpoint", N_("Endpoint"), "TEMPLATE/ENDPOINT")),
    tables=(
        Table(
            N_("Servers"),
            "SERVER_POOL/SERVER",
            (text("id", "ID", "ID"), text("name", N_("Name"), "NAME"), text("endpoint", N_("Endpoint"), "ENDPOINT")),
        ),
    ),
    trees=((N_("Template"), "TEMPLATE"),),
    empty=N_("No zones that you may see."),
)
