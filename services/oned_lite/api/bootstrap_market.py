"""The marketplaces of a fresh database. Of the public ones, only OpenNebula's own is switched on."""

from __future__ import annotations

from services.common.template import Template
from services.oned_lite.model.marketplace import MARKETPLACES, Marketplace
from services.oned_lite.model.objects import COUNTERS, Counter, Permissions
from services.oned_lite.state import Transaction

PUBLIC = (
    ("OpenNebula Public", "one", "OpenNebula Systems MarketPlace"),
    (
        "Linux Containers",
        "linuxcontainers",
        "MarketPlace for the public image server fo LXC & LXD hosted at linuxcontainers.org",
    ),
    (
        "TurnKey Linux Containers",
        "turnkeylinux",
        "TurnKey linux is a free software repository based on Debian images hosted at turnkeylinux.org",
    ),
    (
        "DockerHub",
        "dockerhub",
        "DockerHub is the world's largest library and  community for container images hosted at hub.docker.com/",
    ),
)
"""Names, drivers and descriptions as clients see them in 6.8.0."""


def marketplaces(tx: Transaction) -> None:
    for oid, (name, driver, description) in enumerate(PUBLIC):
        row = Marketplace(
            oid=oid,
            name=name,
            permissions=Permissions.from_octal(0o744),
            market_mad=driver,
            enabled=oid == 0,
            template=Template.of(DESCRIPTION=description, MARKET_MAD=driver),
        )
        tx.put(MARKETPLACES.table, row)
    tx.put(COUNTERS, Counter(tablename=MARKETPLACES.table.name, last_oid=MARKETPLACES.first_oid - 1))
