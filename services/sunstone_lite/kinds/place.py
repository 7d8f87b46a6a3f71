"""Clusters and zones."""

from services.sunstone_lite import states
from services.sunstone_lite.cells import State
from services.sunstone_lite.forms import Form
from services.sunstone_lite.i18n import N_
from services.sunstone_lite.items import Item
from services.sunstone_lite.kinds.base import Call, Column, Creation, Kind, Table
from services.sunstone_lite.kinds.pieces import (
    NAME_FIELD,
    OID,
    TEMPLATE_TREE,
    count,
    delete,
    members,
    name_column,
    text,
    wide,
)

HOSTS = ("hosts", N_("Hosts"), "HOSTS/ID")
DATASTORES = ("datastores", N_("Datastores"), "DATASTORES/ID")
NETWORKS = ("networks", N_("Networks"), "VNETS/ID")

CLUSTERS = Kind(
    key="clusters",
    tag="CLUSTER",
    icon="cluster",
    title=N_("Clusters"),
    singular=N_("Cluster"),
    pool=Call("one.clusterpool.info"),
    info="one.cluster.info",
    columns=(OID, name_column("clusters"), count(*HOSTS), count(*DATASTORES), count(*NETWORKS)),
    facts=(count(*HOSTS), count(*DATASTORES), count(*NETWORKS)),
    tables=(members(*HOSTS), members(*DATASTORES), members(*NETWORKS)),
    trees=(TEMPLATE_TREE,),
    actions=(delete("one.cluster.delete", applies=lambda item: item.oid >= 100),),
    create=Creation(
        N_("Create cluster"),
        Form(fields=(NAME_FIELD,)),
        lambda answers: Call("one.cluster.allocate", (answers["name"],)),
    ),
    empty=N_("No clusters that you may see."),
)


def _zone_state(item: Item) -> State:
    return states.of(states.ZONE_STATES, item.number("STATE"))


STATE = Column("state", N_("State"), _zone_state)
ENDPOINT = text("endpoint", N_("Endpoint"), "TEMPLATE/ENDPOINT")

ZONES = Kind(
    key="zones",
    tag="ZONE",
    icon="zone",
    title=N_("Zones"),
    singular=N_("Zone"),
    pool=Call("one.zonepool.info"),
    info="one.zone.info",
    columns=(OID, name_column("zones"), STATE, count("servers", N_("Servers"), "SERVER_POOL/SERVER"), wide(ENDPOINT)),
    facts=(STATE, ENDPOINT),
    tables=(
        Table(
            N_("Servers"),
            "SERVER_POOL/SERVER",
            (text("id", "ID", "ID"), text("name", N_("Name"), "NAME"), text("endpoint", N_("Endpoint"), "ENDPOINT")),
        ),
    ),
    trees=(TEMPLATE_TREE,),
    empty=N_("No zones that you may see."),
)
