"""New virtual networks: what a template must say, bridges, VLAN ids.

The functions raise `VnetFault` with oned's sentence; the caller knows which call failed and with what code.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain

from msgspec.structs import replace

from services.common.template import Template, Vector
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.numbers import is_whole
from services.oned_lite.model.vnet import MANAGED, VNETS, Vnet, VnetState
from services.oned_lite.state import Reader, Transaction

BRIDGE_TYPES = frozenset({"linux", "openvswitch", "openvswitch_dpdk", "vcenter_port_groups", "none"})
NEEDS_BRIDGE = frozenset({"dummy", "vcenter"})
NEEDS_PHYDEV = frozenset({"802.1Q", "vxlan", "ovswitch_vxlan"})
NEEDS_VLAN = frozenset({"802.1Q", "vxlan"})
NEEDS_OUTER_VLAN = frozenset({"ovswitch_vxlan"})
SHARED_VLANS = frozenset({"802.1Q", "ovswitch", "ovswitch_vxlan"})
"""Drivers whose automatic VLAN ids come from one set of 4094."""
VLAN_MAX = 4095
DEFAULT_SECURITY_GROUP = 0


class VnetFault(Exception):
    """Why a network cannot be made."""


def set_up(tx: Transaction, conf: Configuration, row: Vnet, template: Template) -> Vnet:
    """The new network's own fields, taken from the template. Raises VnetFault."""
    mad = template.get("VN_MAD")
    if not mad:
        raise VnetFault("No VN_MAD in template for Virtual Network.")
    row = replace(
        row,
        vn_mad=mad,
        phydev=template.get("PHYDEV"),
        bridge=template.get("BRIDGE"),
        vlan_id=template.get("VLAN_ID"),
        outer_vlan_id=template.get("OUTER_VLAN_ID"),
    )
    row = replace(
        row,
        vlan_automatic=not row.vlan_id and template.get_bool("AUTOMATIC_VLAN_ID", False),
        outer_vlan_automatic=not row.outer_vlan_id and template.get_bool("AUTOMATIC_OUTER_VLAN_ID", False),
    )
    row = replace(row, bridge_type=bridge_type_of(conf, mad))
    check_mandatory(template)
    if not row.bridge:
        row = replace(row, bridge=f"onebr.{row.vlan_id}" if row.vlan_id else f"onebr{row.oid}")
    row = _with_vlans(tx, conf, row)
    template = template.without("NAME", "AUTOMATIC_VLAN_ID", "AUTOMATIC_OUTER_VLAN_ID", *MANAGED)
    shown = {"VN_MAD": row.vn_mad, "BRIDGE": row.bridge, "BRIDGE_TYPE": row.bridge_type}
    groups = security_groups(template.get("SECURITY_GROUPS")) | {DEFAULT_SECURITY_GROUP}
    shown |= {"PHYDEV": row.phydev} if row.phydev else {}
    shown |= {"VLAN_ID": row.vlan_id} if row.vlan_id and not row.vlan_automatic else {}
    shown |= {"OUTER_VLAN_ID": row.outer_vlan_id} if row.outer_vlan_id and not row.outer_vlan_automatic else {}
    for name, value in {**shown, "SECURITY_GROUPS": group_list(groups)}.items():
        template = template.with_set(name, value)
    return replace(row, template=template, state=VnetState.LOCK_CREATE, step=row.step + 1)


def bridge_type_of(conf: Configuration, mad: str) -> str:
    """What the driver's VN_MAD_CONF says. Raises VnetFault for an unknown driver."""
    for driver in conf.template.vectors("VN_MAD_CONF"):
        if driver.get("NAME") == mad:
            return driver.get("BRIDGE_TYPE")
    raise VnetFault(f'VN_MAD named "{mad}" is not defined in oned.conf')


def check_mandatory(template: Template) -> None:
    """What a network's driver cannot do without. Raises VnetFault."""
    mad = template.get("VN_MAD")
    vlan = bool(template.get("VLAN_ID")) or template.get_bool("AUTOMATIC_VLAN_ID", False)
    outer = bool(template.get("OUTER_VLAN_ID")) or template.get_bool("AUTOMATIC_OUTER_VLAN_ID", False)
    rules = (
        (NEEDS_PHYDEV, template.get("PHYDEV"), "PHYDEV"),
        (NEEDS_BRIDGE, template.get("BRIDGE"), "BRIDGE"),
        (NEEDS_VLAN, vlan, "VLAN_ID (or AUTOMATIC_VLAN_ID)"),
        (NEEDS_OUTER_VLAN, outer, "OUTER_VLAN_ID (or AUTOMATIC)"),
    )
    for drivers, value, name in rules:
        if mad in drivers and not value:
            raise VnetFault(f"{name} is mandatory for driver {mad}")


# ---------------------------------------------------------------------- VLAN ids
def _with_vlans(reader: Reader, conf: Configuration, row: Vnet) -> Vnet:
    if row.vlan_automatic and row.vn_mad in SHARED_VLANS:
        row = replace(row, vlan_id=str(_free_vlan(reader, conf, row.oid)))
    elif row.vlan_automatic and row.vn_mad == "vxlan":
        row = replace(row, vlan_id=str(_first_vxlan(conf) + row.oid))
    if row.outer_vlan_automatic and row.vn_mad == "ovswitch_vxlan":
        row = replace(row, outer_vlan_id=str(_first_vxlan(conf) + row.oid))
    return row


def _first_vxlan(conf: Configuration) -> int:
    return _start(conf, "VXLAN_IDS")


def _start(conf: Configuration, name: str) -> int:
    return (conf.template.vector(name) or Vector()).get_int("START", 2)


def _free_vlan(reader: Reader, conf: Configuration, oid: int) -> int:
    """The first free id from START + id on, around the whole set once. Raises VnetFault."""
    start = _start(conf, "VLAN_IDS")
    reserved = _reserved((conf.template.vector("VLAN_IDS") or Vector()).get("RESERVED"))
    hint = start + oid % (VLAN_MAX - start)
    for vlan_id in chain(range(hint, VLAN_MAX + 1), range(start, hint)):
        if vlan_id not in reserved and not reader.find(VNETS.table, "vlan", str(vlan_id)):
            return vlan_id
    raise VnetFault("Cannot automatically assign VLAN_ID to network.")


def _reserved(text: str) -> Collection[int]:
    """`0, 1, 4000:4095`."""
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        first, _, last = part.partition(":")
        if is_whole(first):
            found.update(range(int(first), int(last or first) + 1))
    return found


# ---------------------------------------------------------------------- security groups
def security_groups(text: str) -> set[int]:
    """Ids of a SECURITY_GROUPS attribute; what is no number is passed over."""
    return {int(part) for part in text.replace(" ", "").split(",") if is_whole(part)}


def group_list(oids: Collection[int]) -> str:
    return ",".join(map(str, sorted(oids)))
