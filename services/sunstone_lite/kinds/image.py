"""Images: the disks that templates hand to machines."""

from services.common.template import Template
from services.sunstone_lite import states
from services.sunstone_lite.cells import Flag, Link, Moment, Number, Size, State, Text
from services.sunstone_lite.forms import Answers, Field, Form, Option
from services.sunstone_lite.i18n import N_
from services.sunstone_lite.items import Item
from services.sunstone_lite.kinds.base import Call, Column, Creation, Kind, Table
from services.sunstone_lite.kinds.pieces import (
    GROUP,
    NAME_FIELD,
    OID,
    OWNER,
    TEMPLATE_TREE,
    delete,
    members,
    name_column,
    switch,
    text,
    wide,
)

TYPES = ("OS", "CDROM", "DATABLOCK", "KERNEL", "RAMDISK", "CONTEXT", "BACKUP")
IMAGE_DATASTORE = 0
FILE_DATASTORE = 2


def _state(item: Item) -> State:
    return states.of(states.IMAGE_STATES, item.number("STATE"))


def _type(item: Item) -> Text:
    code = item.number("TYPE")
    return Text(TYPES[code] if 0 <= code < len(TYPES) else str(code))


def _datastore(item: Item) -> Link:
    return Link("datastores", item.number("DATASTORE_ID"), item.text("DATASTORE"))


def _persistent(item: Item) -> Flag:
    return Flag(item.number("PERSISTENT") == 1)


def _create(answers: Answers) -> Call:
    template = Template.of(
        {
            "NAME": answers["name"],
            "TYPE": answers["type"],
            "PATH": answers["path"],
            "SIZE": "" if answers["path"] else answers["size"],
            "PERSISTENT": "YES" if answers["persistent"] else "NO",
            "DESCRIPTION": answers["description"],
        }
    ).erase_empty()
    return Call("one.image.allocate", (template.to_xml(), int(answers["datastore"])))


def _source(answers: Answers) -> dict[str, str]:
    if answers["path"]:
        return {}
    if answers["type"] != "DATABLOCK":
        return {"path": N_("Name the file to copy, or make an empty data disk.")}
    return {} if answers["size"] else {"size": N_("An empty disk needs a size.")}


FORM = Form(
    fields=(
        NAME_FIELD,
        Field(
            "type",
            N_("Type"),
            "choice",
            required=True,
            default="OS",
            options=(
                Option("OS", N_("Operating system"), translate=True),
                Option("CDROM", N_("CD-ROM"), translate=True),
                Option("DATABLOCK", N_("Data disk"), translate=True),
                Option("KERNEL", N_("Kernel file"), translate=True),
                Option("RAMDISK", N_("Ramdisk file"), translate=True),
                Option("CONTEXT", N_("Context file"), translate=True),
            ),
        ),
        Field(
            "datastore",
            N_("Datastore"),
            "choice",
            required=True,
            default="1",
            pool="datastores",
            offer=lambda item: item.number("TYPE") in (IMAGE_DATASTORE, FILE_DATASTORE),
        ),
        Field(
            "path", N_("Source"), help=N_("A path on the server, or an http(s) address. Empty for an empty data disk.")
        ),
        Field("size", N_("Size in MB"), "number", low=1, high=1_000_000_000, help=N_("For an empty data disk.")),
        Field("persistent", N_("Persistent"), "check", help=N_("Changes outlive the machine; one machine at a time.")),
        Field("description", N_("Description"), advanced=True),
    ),
    check=_source,
)

STATE = Column("state", N_("State"), _state)
TYPE = Column("type", N_("Type"), _type)
SIZE = Column("size", N_("Size"), lambda item: Size(item.real("SIZE")))
DATASTORE = Column("datastore", N_("Datastore"), _datastore)
PERSISTENT = Column("persistent", N_("Persistent"), _persistent)

IMAGES = Kind(
    key="images",
    tag="IMAGE",
    icon="image",
    title=N_("Images"),
    singular=N_("Image"),
    pool=Call("one.imagepool.info", (-2, -1, -1)),
    info="one.image.info",
    columns=(
        OID,
        name_column("images"),
        STATE,
        TYPE,
        SIZE,
        wide(DATASTORE),
        Column("vms", "VMs", lambda item: Number(item.number("RUNNING_VMS"))),
        wide(PERSISTENT),
        wide(OWNER),
    ),
    facts=(
        STATE,
        TYPE,
        SIZE,
        PERSISTENT,
        DATASTORE,
        OWNER,
        GROUP,
        Column("since", N_("Registered"), lambda item: Moment(item.number("REGTIME"))),
        text("source", N_("File"), "SOURCE"),
        text("path", N_("Copied from"), "PATH"),
        text("format", N_("Format"), "FORMAT"),
        text("error", N_("Last error"), "TEMPLATE/ERROR"),
    ),
    tables=(
        members("vms", N_("Used by"), "VMS/ID", heading="VM"),
        Table(
            N_("Snapshots"),
            "SNAPSHOTS/SNAPSHOT",
            (
                text("id", "ID", "ID"),
                text("name", N_("Name"), "NAME"),
                Column("size", N_("Size"), lambda snapshot: Size(snapshot.real("SIZE"))),
                Column("date", N_("Created"), lambda snapshot: Moment(snapshot.number("DATE"))),
            ),
        ),
    ),
    trees=(TEMPLATE_TREE,),
    actions=(
        *switch(
            "one.image.enable",
            off=lambda item: _state(item).code in ("DISABLED", "ERROR"),
            on=lambda item: _state(item).code == "READY",
        ),
        delete("one.image.delete", warning=N_("The file is removed from the datastore.")),
    ),
    create=Creation(N_("Create image"), FORM, _create),
    empty=N_("No images yet. An image is a disk that templates hand to machines."),
)
