"""The security group of a fresh database."""

from __future__ import annotations

from services.common.template import Template, Vector
from services.oned_lite.model.objects import COUNTERS, Counter, Permissions
from services.oned_lite.model.secgroup import DEFAULT_SECGROUP, SECGROUPS, SecurityGroup
from services.oned_lite.state import Transaction

DESCRIPTION = (
    "The default security group is added to every network. Use it to add default filter rules for your networks. You"
    " may remove this security group from any network by updating its properties."
)


def network_objects(tx: Transaction) -> None:
    rules = [Vector.of(PROTOCOL="ALL", RULE_TYPE=way) for way in ("OUTBOUND", "INBOUND")]
    template = Template.of(DESCRIPTION=DESCRIPTION).with_set("RULE", *rules)
    permissions = Permissions.from_octal(0o744)
    tx.put(
        SECGROUPS.table,
        SecurityGroup(oid=DEFAULT_SECGROUP, name="default", permissions=permissions, template=template),
    )
    tx.put(COUNTERS, Counter(tablename=SECGROUPS.table.name, last_oid=SECGROUPS.first_oid - 1))
