"""What an administrator does once on a fresh cloud, through the same API as any administrator."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence

from deploy.lab.errors import LabError
from deploy.lab.readiness import http_get
from services.common.oned import OnedClient, OnedError, OnedFailure
from services.common.settings import Address

LEADER_WITHIN_S = 30.0
POLL_S = 0.05
MERGE = 1
TAKEN = "NAME is already taken"
NO_CLUSTER = -1
SERVERADMIN = 1
SYSTEM, IMAGES, FILES = 0, 1, 2
"""The datastores every cloud begins with."""


DEMO: tuple[tuple[str, str, *tuple[str | int | bool, ...]], ...] = (
    ("host node1", "one.host.allocate", "node1", "dummy", "dummy", 0),
    ("host node2", "one.host.allocate", "node2", "dummy", "dummy", 0),
    (
        "image empty-disk",
        "one.image.allocate",
        'NAME="empty-disk" TYPE="DATABLOCK" SIZE="64" FORMAT="raw"',
        IMAGES,
    ),
    (
        "network private",
        "one.vn.allocate",
        'NAME="private" VN_MAD="dummy" BRIDGE="br0" AR=[TYPE="IP4", IP="10.0.0.10", SIZE="100"]',
        NO_CLUSTER,
    ),
    (
        "template small",
        "one.template.allocate",
        'NAME="small" CPU="0.5" VCPU="1" MEMORY="128" '
        'DISK=[IMAGE="empty-disk", IMAGE_UNAME="oneadmin"] NIC=[NETWORK="private", NETWORK_UNAME="oneadmin"]',
    ),
)
"""What a demo is made of: its name for people, and the call that creates it."""


async def wait_for_leader(servers: Sequence[Address]) -> int:
    """The place in `servers` of the one that leads. LabError if none does in time."""
    deadline = time.monotonic() + LEADER_WITHIN_S
    while time.monotonic() < deadline:
        leads = await asyncio.gather(*map(_leads, servers))
        if True in leads:
            return leads.index(True)
        await asyncio.sleep(POLL_S)
    raise LabError(f"no oned became the leader within {LEADER_WITHIN_S:.0f} s; see the logs of oned1 and the others")


async def _leads(server: Address) -> bool:
    try:
        async with asyncio.timeout(2.0):
            status, _ = await http_get(server, "/leader")
    except (OSError, EOFError, TimeoutError):
        return False
    return status == 200


async def prepare(endpoints: Sequence[str], session: str, ui_password: str) -> None:
    """Lets all frontends work on the datastores' one shared path, and the web UI speak for its users. May be repeated."""
    client = OnedClient(endpoints)
    try:
        for datastore in (SYSTEM, IMAGES, FILES):
            await client.call(session, "one.datastore.update", datastore, 'TM_MAD="shared"', MERGE)
        # As `oneuser passwd --sha256`: for a user of the server_cipher driver the hash itself is the key.
        await client.call(session, "one.user.passwd", SERVERADMIN, hashlib.sha256(ui_password.encode()).hexdigest())
    except OnedFailure as error:
        raise LabError(f"the fresh cloud could not be prepared: {error}") from error


async def create_demo(endpoints: Sequence[str], session: str, say: Callable[[str], None]) -> None:
    """Creates a few objects to play with; those that exist already stay as they are."""
    client = OnedClient(endpoints)
    for what, method, *arguments in DEMO:
        try:
            oid = await client.call(session, method, *arguments)
            assert isinstance(oid, int)
        except OnedError as error:
            if TAKEN not in error.message:
                raise LabError(f"{what} could not be created: {error}") from error
            say(f"  {what} exists already")
        except OnedFailure as error:
            raise LabError(f"{what} could not be created: {error}") from error
        else:
            say(f"  {what} created (ID {oid})")
