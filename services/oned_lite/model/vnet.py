"""Virtual networks: the row and its XML."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from enum import IntEnum

from msgspec.structs import replace

from services.common.template import Template, Vector
from services.oned_lite.state import Reader

from . import lease, vm_uses
from .address_range import AddressRange
from .cluster import MEMBERS
from .lease import Holder
from .objects import Kind, NameScope, ObjectType, PoolObject, kind_table
from .xml import element, id_list, template_element, text_element

NO_PARENT = -1


class VnetState(IntEnum):
    INIT = 0
    READY = 1
    LOCK_CREATE = 2
    LOCK_DELETE = 3
    DONE = 4
    ERROR = 5
    UPDATE_FAILURE = 6


STATE_TEXT = {VnetState.UPDATE_FAILURE: ""}
LEASING = frozenset({VnetState.INIT, VnetState.READY, VnetState.UPDATE_FAILURE})
"""Where addresses can be given out and ranges changed."""

VLAN_DRIVERS = frozenset({"802.1Q", "ovswitch"})
MANAGED = ("VN_MAD", "BRIDGE", "BRIDGE_TYPE", "PHYDEV", "VLAN_ID", "OUTER_VLAN_ID")
"""What a network keeps in fields of its own and shows in its template too."""


class Vnet(PoolObject, frozen=True, kw_only=True, omit_defaults=True):
    """`parent_id` is the network that a reservation belongs to. `next_ar_id` counts ranges ever added.

    `old` is what NICs with addresses of each range were told before the last change: outdated VMs still have it.
    `forgotten_leases` are those of ranges removed by force: lists count them until the network is next saved. `step`
    grows with every change of state.
    """

    state: VnetState = VnetState.INIT
    cluster_ids: tuple[int, ...] = ()
    parent_id: int = NO_PARENT
    vn_mad: str = ""
    bridge: str = ""
    bridge_type: str = ""
    phydev: str = ""
    vlan_id: str = ""
    outer_vlan_id: str = ""
    vlan_automatic: bool = False
    outer_vlan_automatic: bool = False
    vrouter_ids: tuple[int, ...] = ()
    ranges: tuple[AddressRange, ...] = ()
    next_ar_id: int = 0
    forgotten_leases: int = 0
    old: tuple[tuple[int, Vector], ...] = ()
    step: int = 0

    @property
    def is_reservation(self) -> bool:
        return self.parent_id != NO_PARENT

    @property
    def pid(self) -> int:
        """The parent's id, as the database's column is called."""
        return self.parent_id

    @property
    def state_text(self) -> str:
        return STATE_TEXT.get(self.state, self.state.name)

    def in_state(self, state: VnetState) -> Vnet:
        return replace(self, state=state, step=self.step + 1)

    def range_of(self, ar_id: int) -> AddressRange | None:
        return next((one for one in self.ranges if one.ar_id == ar_id), None)


def with_managed(row: Vnet, template: Template) -> Template:
    """The template with the network's own fields in it; ids that oned chose itself are left out."""
    shown = {
        "VN_MAD": row.vn_mad,
        "BRIDGE": row.bridge,
        "BRIDGE_TYPE": row.bridge_type,
        "PHYDEV": row.phydev,
        "VLAN_ID": None if row.vlan_automatic else row.vlan_id,
        "OUTER_VLAN_ID": None if row.outer_vlan_automatic else row.outer_vlan_id,
    }
    for name, value in shown.items():
        template = template.without(name) if value is None else template.with_set(name, value)
    return template


# ---------------------------------------------------------------------- XML
def _head_xml(reader: Reader, row: Vnet, used_leases: int, vrouter_ids: Iterable[int]) -> str:
    parent = element("PARENT_NETWORK_ID", row.parent_id) if row.is_reservation else "<PARENT_NETWORK_ID/>"
    return (
        f"{row.owner_xml()}{row.lock_xml()}{row.permissions.to_xml()}{id_list('CLUSTERS', row.cluster_ids)}"
        f"{text_element('BRIDGE', row.bridge)}{text_element('BRIDGE_TYPE', row.bridge_type)}"
        f"{element('STATE', row.state.value)}{element('PREV_STATE', row.state.value)}{parent}"
        f"{_optional('VN_MAD', row.vn_mad)}{_optional('PHYDEV', row.phydev)}{_optional('VLAN_ID', row.vlan_id)}"
        f"{_optional('OUTER_VLAN_ID', row.outer_vlan_id)}{element('VLAN_ID_AUTOMATIC', int(row.vlan_automatic))}"
        f"{element('OUTER_VLAN_ID_AUTOMATIC', int(row.outer_vlan_automatic))}{element('USED_LEASES', used_leases)}"
        f"{id_list('VROUTERS', vrouter_ids)}{vm_uses.to_xml(reader, ObjectType.NET, row.oid)}"
        f"{template_element(row.template)}"
    )


def _optional(tag: str, value: str) -> str:
    return text_element(tag, value) if value else f"<{tag}/>"


def render(reader: Reader, row: Vnet) -> str:
    """`<VNET>` as pools show it: ranges as they are stored."""
    ranges = "".join(_stored_xml(reader, row, one) for one in row.ranges)
    count = lease.used(reader, row.oid) + row.forgotten_leases
    return f"<VNET>{_head_xml(reader, row, count, row.vrouter_ids)}<AR_POOL>{ranges}</AR_POOL></VNET>"


def _stored_xml(reader: Reader, row: Vnet, one: AddressRange) -> str:
    attributes = one.attributes
    if one.touched:
        leases = lease.of_range(reader, row.oid, one.ar_id)
        allocated = "".join(f" {held.index} {held.holder.number}" for held in leases)
        attributes = attributes.with_set("ALLOCATED", allocated)
    return attributes.to_xml("AR")


def render_info(reader: Reader, row: Vnet, shown: frozenset[int] | None = None) -> str:
    """`<VNET>` as info shows it, with each range's ends and leases. `shown`: numbers of the holders (`Holder.number`)
    whom the caller may see, None for all."""
    ranges = "".join(_range_xml(reader, row, one, shown) for one in row.ranges)
    routers = [oid for oid in row.vrouter_ids if shown is None or Holder(ObjectType.VROUTER, oid).number in shown]
    head = _head_xml(reader, row, lease.used(reader, row.oid), routers)
    return f"<VNET>{head}<AR_POOL>{ranges}</AR_POOL></VNET>"


def _range_xml(reader: Reader, row: Vnet, one: AddressRange, shown: frozenset[int] | None) -> str:
    held = lease.of_range(reader, row.oid, one.ar_id)
    visible = [each for each in held if shown is None or each.holder.number in shown]
    body = "".join(_lease_xml(one, each) for each in visible)
    leases = f"<LEASES>{body}</LEASES>" if body else "<LEASES/>"
    inside = "".join(text_element(key, value) for key, value in one.attributes)
    return f"<AR>{inside}{one.ends_xml()}{element('USED_LEASES', len(held))}{leases}</AR>"


_HOLDER_TAGS = {ObjectType.VM: "VM", ObjectType.NET: "VNET", ObjectType.VROUTER: "VROUTER"}


def _lease_xml(one: AddressRange, held: lease.Lease) -> str:
    pairs = one.addresses(held.index) | {_HOLDER_TAGS[ObjectType(held.holder.type)]: str(held.holder.oid)}
    return "<LEASE>" + "".join(text_element(key, value) for key, value in sorted(pairs.items())) + "</LEASE>"


# ---------------------------------------------------------------------- kind
def _needs_driver(row: Vnet) -> Iterable[Hashable]:
    return (True,) if row.state in (VnetState.LOCK_CREATE, VnetState.LOCK_DELETE) else ()


def _chosen_vlan(row: Vnet) -> tuple[Hashable, ...]:
    """The VLAN ids that oned has chosen out of those there are: nobody else gets them."""
    return (row.vlan_id,) if row.vlan_automatic and row.vn_mad != "vxlan" else ()


VNETS: Kind[Vnet] = Kind(
    type=ObjectType.NET,
    title="virtual network",
    table=kind_table(
        "network_pool",
        Vnet,
        NameScope.OWNER,
        cluster=lambda row: row.cluster_ids,
        parent=lambda row: (row.parent_id,) if row.is_reservation else (),
        vlan=_chosen_vlan,
        work=lambda row: tuple(_needs_driver(row)),
    ),
    prefix="one.vn",
    root="VNET",
    pool_root="VNET_POOL",
    name_scope=NameScope.OWNER,
    render=render,
    render_info=render_info,
    cluster_ids=lambda _reader, row: row.cluster_ids,
)

MEMBERS["VNETS"] = VNETS.table
