"""Datastores: where images and the disks of machines are kept."""

from services.common.template import Template
from services.sunstone_lite import states
from services.sunstone_lite.cells import Bar, State, Text
from services.sunstone_lite.forms import Answers, Field, Form, Option
from services.sunstone_lite.i18n import N_
from services.sunstone_lite.items import Item
from services.sunstone_lite.kinds.base import Call, Column, Creation, Kind
from services.sunstone_lite.kinds.pieces import (
    CLUSTER_FIELD,
    GROUP,
    NAME_FIELD,
    OID,
    OWNER,
    TEMPLATE_TREE,
    count,
    delete,
    members,
    name_column,
    switch,
    text,
    wide,
)

TYPES = (N_("Images"), N_("System"), N_("Files"), N_("Backups"))


def _state(item: Item) -> State:
    return states.of(states.DATASTORE_STATES, item.number("STATE"))


def _type(item: Item) -> Text:
    code = item.number("TYPE")
    return Text(TYPES[code] if 0 <= code < len(TYPES) else str(code), translate=True)


def _capacity(item: Item) -> Bar:
    return Bar(item.real("USED_MB"), item.real("TOTAL_MB"), "mib")


def _is_system(item: Item) -> bool:
    return item.number("TYPE") == 1


def _create(answers: Answers) -> Call:
    kind = answers["type"]
    template = Template.of(
        {
            "NAME": answers["name"],
            "TYPE": kind,
            "DS_MAD": "" if kind == "SYSTEM_DS" else answers["ds_mad"],
            "TM_MAD": answers["tm_mad"],
        }
    ).erase_empty()
    return Call("one.datastore.allocate", (template.to_xml(), int(answers["cluster"])))


FORM = Form(
    fields=(
        NAME_FIELD,
        Field(
            "type",
            N_("Holds"),
            "choice",
            required=True,
            default="IMAGE_DS",
            options=(
                Option("IMAGE_DS", N_("Images"), translate=True),
                Option("SYSTEM_DS", N_("System"), translate=True),
                Option("FILE_DS", N_("Files"), translate=True),
            ),
            help=N_("System datastores hold the disks of running machines."),
        ),
        Field(
            "ds_mad",
            N_("Datastore driver"),
            "choice",
            required=True,
            default="fs",
            options=(Option("fs", "fs"), Option("dummy", "dummy")),
        ),
        Field(
            "tm_mad",
            N_("Transfer driver"),
            "choice",
            required=True,
            default="shared",
            options=tuple(Option(name, name) for name in ("shared", "ssh", "qcow2", "dummy")),
        ),
        CLUSTER_FIELD,
    ),
)

STATE = Column("state", N_("State"), _state)
HOLDS = Column("type", N_("Holds"), _type)
CAPACITY = Column("capacity", N_("Capacity"), _capacity)
TRANSFER = text("tm", N_("Transfer driver"), "TM_MAD")

DATASTORES = Kind(
    key="datastores",
    tag="DATASTORE",
    icon="datastore",
    title=N_("Datastores"),
    singular=N_("Datastore"),
    pool=Call("one.datastorepool.info"),
    info="one.datastore.info",
    columns=(
        OID,
        name_column("datastores"),
        STATE,
        HOLDS,
        CAPACITY,
        count("images", N_("Images"), "IMAGES/ID"),
        wide(TRANSFER),
        wide(OWNER),
    ),
    facts=(
        STATE,
        HOLDS,
        CAPACITY,
        OWNER,
        GROUP,
        text("ds", N_("Datastore driver"), "DS_MAD"),
        TRANSFER,
        text("path", N_("Folder"), "BASE_PATH"),
    ),
    tables=(members("images", N_("Images"), "IMAGES/ID", heading=N_("Image")),),
    trees=(TEMPLATE_TREE,),
    actions=(
        *switch(
            "one.datastore.enable",
            off=lambda item: _is_system(item) and item.number("STATE") == 1,
            on=lambda item: _is_system(item) and item.number("STATE") == 0,
        ),
        delete("one.datastore.delete"),
    ),
    create=Creation(N_("Create datastore"), FORM, _create),
    empty=N_("No datastores that you may use."),
)
