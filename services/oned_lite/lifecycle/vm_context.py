"""CONTEXT: what a VM is told about itself. Variables are filled in, network settings written out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from services.common.template import Template, Vector
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.errors import internal
from services.oned_lite.model.image import IMAGES, ImageType
from services.oned_lite.model.numbers import is_whole
from services.oned_lite.model.user import USERS
from services.oned_lite.state import Reader

from .vm_disks import free_target, next_disk_id

_VARIABLE = re.compile(r"\$(\w+)(?:\[\s*(\w+)\s*((?:,\s*\w+\s*=\s*\\?\"?[^\]\",]*\\?\"?\s*)*)\])?")
_CONDITION = re.compile(r",\s*(\w+)\s*=\s*\\?\"?([^\]\",\\]*)\\?\"?")
_FILE = re.compile(r"\$FILE\[\s*(\w+)\s*=\s*\"?([^\]\",]*)\"?\s*(?:,[^\]]*)?\]")
_ETH_OF = re.compile(r"ETH\d+_")

NIC_SETTINGS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("MAC", ("MAC",)),
    ("IP", ("IP",)),
    ("IP6", ("IP6_GLOBAL", "IP6")),
    ("IP6_ULA", ("IP6_ULA",)),
    ("NETWORK", ("NETWORK_ADDRESS",)),
    ("MASK", ("NETWORK_MASK",)),
    ("GATEWAY", ("GATEWAY",)),
    ("IP6_GATEWAY", ("IP6_GATEWAY", "GATEWAY6")),
    ("DNS", ("DNS",)),
    ("SEARCH_DOMAIN", ("SEARCH_DOMAIN",)),
    ("MTU", ("GUEST_MTU",)),
    ("METHOD", ("METHOD",)),
    ("METRIC", ("METRIC",)),
    ("IP6_METHOD", ("IP6_METHOD",)),
    ("IP6_METRIC", ("IP6_METRIC",)),
    ("IP6_PREFIX_LENGTH", ("PREFIX_LENGTH",)),
    ("VLAN_ID", ("VLAN_ID",)),
    ("VROUTER_IP", ("VROUTER_IP",)),
    ("VROUTER_IP6", ("VROUTER_IP6_GLOBAL", "VROUTER_IP6_ULA")),
    ("VROUTER_MANAGEMENT", ("VROUTER_MANAGEMENT",)),
    ("EXTERNAL", ("EXTERNAL",)),
)
"""What follows ETH0_, and the attributes of NIC or network that it is taken from (the NIC's own come first)."""

OF_ROUTER = ("VROUTER_ID", "VROUTER_KEEPALIVED_ID", "VROUTER_KEEPALIVED_PASSWORD")
"""What the machines of a virtual router are told of it."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The VM a context is written for. `networks` are the templates of its NICs' networks, by network id."""

    oid: int
    name: str
    uid: int
    gid: int
    uname: str
    gname: str
    template: Template
    user_template: Template
    networks: dict[str, Template]


def complete(reader: Reader, conf: Configuration, subject: Subject) -> Template:
    """The VM's template with its CONTEXT, if it has one, filled in, and a place for the CD it comes on.

    Raises INTERNAL for files of another kind and for a token nobody could use.
    """
    context = subject.template.vector("CONTEXT")
    if context is None:
        return subject.template
    context = filled_in(reader, conf, subject, context)
    used = [disk.get("TARGET") for disk in subject.template.vectors("DISK")]
    prefix = conf.template.get("DEFAULT_CDROM_DEVICE_PREFIX", "hd")
    if not context.get("TARGET"):
        context = context.with_set("TARGET", free_target(prefix, used))
    if not context.get("DISK_ID"):
        context = context.with_set("DISK_ID", str(next_disk_id(subject.template.without("CONTEXT"))))
    return subject.template.with_set("CONTEXT", context)


def filled_in(reader: Reader, conf: Configuration, subject: Subject, context: Vector) -> Vector:
    """Variables replaced, network settings of every NIC added."""
    if context.get_bool("TOKEN", False) and not conf.template.get("ONEGATE_ENDPOINT"):
        raise internal("TOKEN set, but onegate endpoint was not defined in oned.conf.")
    pairs = {}
    for key, value in context.pairs:
        pairs[key] = files(reader, value) if key == "FILES_DS" else _replaced(reader, subject, value)
    if context.get_bool("NETWORK", False):
        pairs.update(network_settings(subject))
    pairs.update({name: subject.template.get(name) for name in OF_ROUTER if subject.template.has(name)})
    return Vector.of(pairs)


def without_network(context: Vector) -> Vector:
    """Without the settings that NICs brought, which are written anew whenever a NIC comes or goes."""
    return Vector(tuple(pair for pair in context.pairs if not _ETH_OF.match(pair[0])))


# ---------------------------------------------------------------------- variables
def _replaced(reader: Reader, subject: Subject, text: str) -> str:
    return _VARIABLE.sub(lambda match: _value(reader, subject, match), text) if "$" in text else text


def _value(reader: Reader, subject: Subject, match: re.Match[str]) -> str:
    """What a variable stands for; nothing where it cannot be told."""
    name, attribute = match[1].upper(), (match[2] or "").upper()
    if not attribute:
        return _plain(subject, name)
    conditions = {key.upper(): value for key, value in _CONDITION.findall(match[3] or "")}
    if name == "USER":
        user = reader.get(USERS.table, subject.uid)
        return "" if user is None else user.template.get(attribute)
    if name == "NETWORK":
        return _of_network(subject, attribute, conditions)
    vectors = (*subject.template.vectors(name), *subject.user_template.vectors(name))
    found = next((one for one in vectors if all(one.get(key) == value for key, value in conditions.items())), None)
    return "" if found is None else found.get(attribute)


def _plain(subject: Subject, name: str) -> str:
    own = {
        "NAME": subject.name,
        "UID": str(subject.uid),
        "GID": str(subject.gid),
        "UNAME": subject.uname,
        "GNAME": subject.gname,
        "VMID": str(subject.oid),
    }
    return own.get(name) or subject.template.get(name) or subject.user_template.get(name)


def _of_network(subject: Subject, attribute: str, conditions: dict[str, str]) -> str:
    for nic in subject.template.vectors("NIC"):
        if all(nic.get(key) == value for key, value in conditions.items()):
            network = subject.networks.get(nic.get("NETWORK_ID"))
            return "" if network is None else network.get(attribute)
    return ""


def files(reader: Reader, text: str) -> str:
    """`$FILE[IMAGE_ID=3]` becomes the file's source."""
    if "$" not in text:
        return text
    found = []
    for key, value in _FILE.findall(text):
        oid = int(value) if key.upper() == "IMAGE_ID" and is_whole(value) else _by_name(reader, value)
        image = None if oid is None else reader.get(IMAGES.table, oid)
        if image is None or image.type is not ImageType.CONTEXT:
            raise internal("Only images of type CONTEXT can be used in FILE_DS attribute.")
        found.append(f"{image.source}:'{image.name}'")
    return " ".join(found)


def _by_name(reader: Reader, name: str) -> int | None:
    for key in reader.keys(IMAGES.table):
        image = reader.get(IMAGES.table, key)
        if image is not None and image.name == name:
            return image.oid
    return None


# ---------------------------------------------------------------------- network settings
def network_settings(subject: Subject) -> dict[str, str]:
    """ETH0_IP, ETH1_ALIAS0_MAC … of every NIC that has a lease; all of them are written, the empty ones too."""
    settings: dict[str, str] = {}
    for prefix, nic in _interfaces(subject.template):
        network = subject.networks.get(nic.get("NETWORK_ID"), Template())
        for name, sources in NIC_SETTINGS:
            value = next((nic.get(source) for source in sources if nic.get(source)), "")
            settings[f"{prefix}_{name}"] = value or next(
                (network.get(source) for source in sources if network.get(source)), ""
            )
    return settings


def _interfaces(template: Template) -> Iterator[tuple[str, Vector]]:
    for nic in (*template.vectors("NIC"), *(pci for pci in template.vectors("PCI") if pci.get("TYPE") == "NIC")):
        if not is_waiting(nic):
            yield f"ETH{nic.get('NIC_ID')}", nic
    for alias in template.vectors("NIC_ALIAS"):
        if not is_waiting(alias):
            yield f"ETH{alias.get('PARENT_ID')}_ALIAS{alias.get('ALIAS_ID')}", alias


def is_waiting(nic: Vector) -> bool:
    """NETWORK_MODE=auto: the scheduler has yet to choose its network."""
    return nic.get("NETWORK_MODE").upper() == "AUTO" and not nic.get("NETWORK_ID")
