"""VM templates, and the form that makes machines of one."""

from services.common.template import Template, TemplateError, Vector, parse
from services.sunstone_lite.cells import Moment
from services.sunstone_lite.forms import Answers, Field, Form
from services.sunstone_lite.i18n import N_
from services.sunstone_lite.kinds.base import Call, Column, Creation, Kind, Table
from services.sunstone_lite.kinds.pieces import (
    CPU,
    GROUP,
    MEMORY,
    NAME_FIELD,
    OID,
    OWNER,
    TEMPLATE_TREE,
    VCPU,
    count,
    delete,
    name_column,
    text,
    wide,
)

IMAGE_TYPES_FOR_DISKS = (0, 1, 2)
INSTANCES_MAX = 50


def _create(answers: Answers) -> Call:
    template = Template.of(
        {
            "NAME": answers["name"],
            "CPU": answers["cpu"],
            "VCPU": answers["vcpu"],
            "MEMORY": answers["memory"],
            "DESCRIPTION": answers["description"],
        }
    ).erase_empty()
    if answers["image"]:
        template = template.with_added("DISK", Vector.of(IMAGE_ID=answers["image"]))
    if answers["network"]:
        template = template.with_added("NIC", Vector.of(NETWORK_ID=answers["network"]))
    for name, value in parse(answers["more"]) if answers["more"] else ():
        template = template.with_added(name, value)
    return Call("one.template.allocate", (template.to_xml(),))


def _check(answers: Answers) -> dict[str, str]:
    try:
        parse(answers["more"])
    except TemplateError:
        return {"more": N_("This is not template syntax: one NAME = value to a line.")}
    return {}


FORM = Form(
    fields=(
        NAME_FIELD,
        Field("cpu", "CPU", "number", required=True, default="1", low=0.01, high=10_000, whole=False),
        Field("vcpu", "VCPU", "number", low=1, high=10_000, help=N_("CPUs the guest sees; empty means one.")),
        Field("memory", N_("Memory in MB"), "number", required=True, default="512", low=1, high=1_000_000_000),
        Field(
            "image",
            N_("Disk image"),
            "choice",
            pool="images",
            none=N_("no disk"),
            offer=lambda item: item.number("TYPE") in IMAGE_TYPES_FOR_DISKS,
        ),
        Field("network", N_("Network"), "choice", pool="networks", none=N_("no network")),
        Field("description", N_("Description"), advanced=True),
        Field(
            "more",
            N_("More attributes"),
            "area",
            advanced=True,
            help=N_("In template syntax, one NAME = value to a line."),
        ),
    ),
    check=_check,
)

INSTANTIATE = Form(
    fields=(
        Field("name", N_("Name of the machine"), rule="name", help=N_("Empty for the template's name and the id.")),
        Field("count", N_("How many"), "number", required=True, default="1", low=1, high=INSTANCES_MAX),
        Field("hold", N_("On hold"), "check", help=N_("Wait for a release before it is placed.")),
    ),
)


def instantiate_calls(oid: int, answers: Answers) -> tuple[Call, ...]:
    """One call for each machine wanted; several get their number after the name."""
    count = int(float(answers["count"]))
    name = answers["name"]
    names = [name] if count == 1 or not name else [f"{name}-{number}" for number in range(count)]
    names = names if len(names) == count else names * count
    return tuple(Call("one.template.instantiate", (oid, each, bool(answers["hold"]), "")) for each in names)


TEMPLATES = Kind(
    key="templates",
    tag="VMTEMPLATE",
    icon="template",
    title=N_("Templates"),
    singular=N_("Template"),
    pool=Call("one.templatepool.info", (-2, -1, -1)),
    info="one.template.info",
    columns=(
        OID,
        name_column("templates"),
        CPU,
        MEMORY,
        count("disks", N_("Disks"), "TEMPLATE/DISK"),
        wide(count("nics", N_("Networks"), "TEMPLATE/NIC")),
        wide(OWNER),
        wide(GROUP),
        Column("since", N_("Registered"), lambda item: Moment(item.number("REGTIME")), wide=True),
    ),
    facts=(
        OWNER,
        GROUP,
        CPU,
        VCPU,
        MEMORY,
        Column("since", N_("Registered"), lambda item: Moment(item.number("REGTIME"))),
        text("description", N_("Description"), "TEMPLATE/DESCRIPTION"),
    ),
    tables=(
        Table(
            N_("Disks"),
            "TEMPLATE/DISK",
            (
                text("id", N_("Image id"), "IMAGE_ID"),
                text("image", N_("Image"), "IMAGE"),
                text("size", N_("Size in MB"), "SIZE"),
            ),
        ),
        Table(
            N_("Network interfaces"),
            "TEMPLATE/NIC",
            (text("id", N_("Network id"), "NETWORK_ID"), text("network", N_("Network"), "NETWORK")),
        ),
    ),
    trees=(TEMPLATE_TREE,),
    actions=(delete("one.template.delete", False, warning=N_("Machines made of it stay.")),),
    create=Creation(N_("Create template"), FORM, _create),
    empty=N_("No templates yet. A template says what a machine is made of."),
)
