"""Virtual routers: machines that share floating addresses in networks."""

from __future__ import annotations

from services.common.template import Template, Vector
from services.oned_lite.state import Reader

from .objects import Kind, NameScope, ObjectType, PoolObject, kind_table
from .xml import id_list, template_element

KEEPALIVED_IDS = 255


class VRouter(PoolObject, frozen=True, kw_only=True, omit_defaults=True):
    """`vm_ids` are its machines that are not done, ascending. NICs are in the template."""

    vm_ids: tuple[int, ...] = ()

    @property
    def nics(self) -> tuple[Vector, ...]:
        return self.template.vectors("NIC")

    def nic(self, nic_id: int) -> Vector | None:
        return next((nic for nic in self.nics if nic.get_int("NIC_ID") == nic_id), None)

    def machine_attributes(self) -> Template:
        """What each machine's template gets from its router."""
        keepalived_id = self.template.get_int("KEEPALIVED_ID", self.oid % KEEPALIVED_IDS + 1)
        password = self.template.get("KEEPALIVED_PASSWORD")
        named = {"VROUTER_ID": str(self.oid), "VROUTER_KEEPALIVED_ID": str(keepalived_id)}
        if password:
            named["VROUTER_KEEPALIVED_PASSWORD"] = password
        return Template.of(named).with_set("NIC", *(nic.without("NIC_ID") for nic in self.nics))


def render(_reader: Reader, row: VRouter) -> str:
    """`<VROUTER>`, the same in info and pools."""
    return (
        f"<VROUTER>{row.owner_xml()}{row.permissions.to_xml()}{row.lock_xml()}{id_list('VMS', row.vm_ids)}"
        f"{template_element(row.template)}</VROUTER>"
    )


VROUTERS: Kind[VRouter] = Kind(
    type=ObjectType.VROUTER,
    title="virtual router",
    table=kind_table("vrouter_pool", VRouter, NameScope.NONE),
    prefix="one.vrouter",
    root="VROUTER",
    pool_root="VROUTER_POOL",
    name_scope=NameScope.NONE,
    render=render,
)
