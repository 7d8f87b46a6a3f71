"""The front page: is the zone well, and how full is it."""

import asyncio
from collections import Counter
from dataclasses import dataclass

from aiohttp import web

from services.sunstone_lite import answers, reading, states
from services.sunstone_lite.cells import Bar, State
from services.sunstone_lite.items import Item
from services.sunstone_lite.kinds.host import cpu_bar, memory_bar
from services.sunstone_lite.site import session_string, site_of
from services.sunstone_lite.watch import ask_zone

COUNTED = ("vms", "hosts", "images", "datastores", "networks", "templates")


@dataclass(frozen=True, slots=True)
class Share:
    """How many VMs are in a state."""

    state: State
    count: int


async def show(request: web.Request) -> web.StreamResponse:
    """HA table, VMs by state, capacity."""
    site = site_of(request)
    overview, pools = await asyncio.gather(
        ask_zone(site.client, session_string(request), site.watch), reading.pools(request, *COUNTED)
    )
    return await answers.page(
        request,
        "dashboard.html",
        overview=overview,
        counts={key: len(items) for key, items in pools.items()},
        shares=_shares(pools["vms"]),
        cpu=_sum([cpu_bar(host) for host in pools["hosts"]], "cpu"),
        memory=_sum([memory_bar(host) for host in pools["hosts"]], "mib"),
        storage=_storage(pools["datastores"]),
        hosts=Counter(states.of(states.HOST_STATES, host.number("STATE")) for host in pools["hosts"]).most_common(),
    )


def _shares(vms: tuple[Item, ...]) -> list[Share]:
    """By shown state, most frequent first; the detailed code would scatter them."""
    found = Counter((state.label, state.tone) for state in map(states.vm, vms))
    return [Share(State(label, tone), count) for (label, tone), count in found.most_common()]


def _sum(bars: list[Bar], unit: str) -> Bar:
    return Bar(sum(bar.used for bar in bars), sum(bar.total for bar in bars), "cpu" if unit == "cpu" else "mib")


def _storage(datastores: tuple[Item, ...]) -> Bar:
    """Image datastores only: system and files datastores usually share their disks."""
    images = [store for store in datastores if store.number("TYPE") == 0]
    return Bar(sum(d.real("USED_MB") for d in images), sum(d.real("TOTAL_MB") for d in images), "mib")
