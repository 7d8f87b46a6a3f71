"""Images and the datastores that hold them."""

from services.common.template import Template
from services.sunstone_lite import states
from services.sunstone_lite.cells import Bar, Flag, Link, Moment, Number, Size, State, Text
from services.sunstone_lite.forms import Answers, Field, Form, Option
from services.sunstone_lite.i18n import N_
from services.sunstone_lite.items import Item
from services.sunstone_lite.kinds.base import (
    Action,
    Call,
    Column,
    Creation,
    Kind,
    Table,
    delete,
    name_column,
    oid_column,
    text,
)

IMAGE_TYPES = ("OS", "CDROM", "DATABLOCK", "KERNEL", "RAMDISK", "CONTEXT", "BACKUP")
DATASTORE_TYPES = (N_("Images"), N_("System"), N_("Files"), N_("Backups"))
IMAGE_DATASTORE = 0
FILE_DATASTORE = 2


def _image_state(item: Item) -> State:
    return states.of(states.IMAGE_STATES, item.number("STATE"))


def _image_type(item: Item) -> Text:
    code = item.number("TYPE")
    return Text(IMAGE_TYPES[code] if 0 <= code < len(IMAGE_TYPES) else str(code))


def _image_datastore(item: Item) -> Link:
    return Link("datastores", item.number("DATASTORE_ID"), item.text("DATASTORE"))


def _persistent(item: Item) -> Flag:
    return Flag(item.number("PERSISTENT") == 1)


def _create_image(answers: Answers) -> Call:
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


def _image_source(answers: Answers) -> dict[str, str]:
    if answers["path"]:
        return {}
    if answers["type"] != "DATABLOCK":
        return {"path": N_("Name the file to copy, or make an empty data disk.")}
    return {} if answers["size"] else {"size": N_("An empty disk needs a size.")}


IMAGE_FORM = Form(
    fields=(
        Field("name", N_("Name"), required=True, rule="name"),
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
    check=_image_source,
)

IMAGES = Kind(
    key="images",
    tag="IMAGE",
    icon="image",
    title=N_("Images"),
    singular=N_("Image"),
    pool=Call("one.imagepool.info", (-2, -1, -1)),
    info="one.image.info",
    columns=(
        oid_column(),
        name_column("images", N_("Name")),
        Column("state", N_("State"), _image_state),
        Column("type", N_("Type"), _image_type),
        Column("size", N_("Size"), lambda item: Size(item.real("SIZE"))),
        Column("datastore", N_("Datastore"), _image_datastore, wide=True),
        Column("vms", "VMs", lambda item: Number(item.number("RUNNING_VMS"))),
        Column("persistent", N_("Persistent"), _persistent, wide=True),
        text("owner", N_("Owner"), "UNAME", wide=True),
    ),
    facts=(
        Column("state", N_("State"), _image_state),
        Column("type", N_("Type"), _image_type),
        Column("size", N_("Size"), lambda item: Size(item.real("SIZE"))),
        Column("persistent", N_("Persistent"), _persistent),
        Column("datastore", N_("Datastore"), _image_datastore),
        text("owner", N_("Owner"), "UNAME"),
        text("group", N_("Group"), "GNAME"),
        Column("since", N_("Registered"), lambda item: Moment(item.number("REGTIME"))),
        text("source", N_("File"), "SOURCE"),
        text("path", N_("Copied from"), "PATH"),
        text("format", N_("Format"), "FORMAT"),
        text("error", N_("Last error"), "TEMPLATE/ERROR"),
    ),
    tables=(
        Table(
            N_("Used by"),
            "VMS/ID",
            (Column("vm", "VM", lambda found: Link("vms", int(found.value or -1), f"#{found.value}")),),
        ),
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
    trees=((N_("Template"), "TEMPLATE"),),
    actions=(
        Action(
            "enable",
            N_("Enable"),
            "play",
            lambda oid: Call("one.image.enable", (oid, True)),
            lambda item: _image_state(item).code in ("DISABLED", "ERROR"),
        ),
        Action(
            "disable",
            N_("Disable"),
            "pause",
            lambda oid: Call("one.image.enable", (oid, False)),
            lambda item: _image_state(item).code == "READY",
        ),
        delete("one.image.delete", warning=N_("The file is removed from the datastore.")),
    ),
    create=Creation(N_("Create image"), IMAGE_FORM, _create_image),
    empty=N_("No images yet. An image is a disk that templates hand to machines."),
)


def _datastore_state(item: Item) -> State:
    return states.of(states.DATASTORE_STATES, item.number("STATE"))


def _datastore_type(item: Item) -> Text:
    code = item.number("TYPE")
    return Text(DATASTORE_TYPES[code] if 0 <= code < len(DATASTORE_TYPES) else str(code), translate=True)


def _capacity(item: Item) -> Bar:
    return Bar(item.real("USED_MB"), item.real("TOTAL_MB"), "mib")


def _is_system(item: Item) -> bool:
    return item.number("TYPE") == 1


def _create_datastore(answers: Answers) -> Call:
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


DATASTORE_FORM = Form(
    fields=(
        Field("name", N_("Name"), required=True, rule="name"),
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
        Field("cluster", N_("Cluster"), "choice", required=True, default="0", pool="clusters"),
    ),
)

DATASTORES = Kind(
    key="datastores",
    tag="DATASTORE",
    icon="datastore",
    title=N_("Datastores"),
    singular=N_("Datastore"),
    pool=Call("one.datastorepool.info"),
    info="one.datastore.info",
    columns=(
        oid_column(),
        name_column("datastores", N_("Name")),
        Column("state", N_("State"), _datastore_state),
        Column("type", N_("Holds"), _datastore_type),
        Column("capacity", N_("Capacity"), _capacity),
        Column("images", N_("Images"), lambda item: Number(len(item.all("IMAGES/ID")))),
        text("tm", N_("Transfer driver"), "TM_MAD", wide=True),
        text("owner", N_("Owner"), "UNAME", wide=True),
    ),
    facts=(
        Column("state", N_("State"), _datastore_state),
        Column("type", N_("Holds"), _datastore_type),
        Column("capacity", N_("Capacity"), _capacity),
        text("owner", N_("Owner"), "UNAME"),
        text("group", N_("Group"), "GNAME"),
        text("ds", N_("Datastore driver"), "DS_MAD"),
        text("tm", N_("Transfer driver"), "TM_MAD"),
        text("path", N_("Folder"), "BASE_PATH"),
    ),
    tables=(
        Table(
            N_("Images"),
            "IMAGES/ID",
            (Column("image", N_("Image"), lambda found: Link("images", int(found.value or -1), f"#{found.value}")),),
        ),
    ),
    trees=((N_("Template"), "TEMPLATE"),),
    actions=(
        Action(
            "enable",
            N_("Enable"),
            "play",
            lambda oid: Call("one.datastore.enable", (oid, True)),
            lambda item: _is_system(item) and item.number("STATE") == 1,
        ),
        Action(
            "disable",
            N_("Disable"),
            "pause",
            lambda oid: Call("one.datastore.enable", (oid, False)),
            lambda item: _is_system(item) and item.number("STATE") == 0,
        ),
        delete("one.datastore.delete"),
    ),
    create=Creation(N_("Create datastore"), DATASTORE_FORM, _create_datastore),
    empty=N_("No datastores that you may use."),
)
