"""Where each server of a lab listens. Pure: a plan, not a probe."""

from __future__ import annotations

from dataclasses import dataclass

from services.common.settings import Address

DEFAULT_NETWORK = "127.0.20"
"""Loopback addresses of the first lab on a machine: frontends from .21 up, the cache on .11."""

DEFAULT_PORTS = 8080
"""First port of a lab on a system whose loopback is 127.0.0.1 alone."""

MOST_FRONTENDS = 9


@dataclass(frozen=True, slots=True)
class FrontendAddresses:
    """One frontend's XML-RPC and HTTP port, its port for Raft peers, and its web UI."""

    oned: Address
    peer: Address
    sunstone: Address


@dataclass(frozen=True, slots=True)
class Addresses:
    """Every address of a lab; `frontends[0]` is frontend1."""

    balancer: Address
    balancer_status: Address
    cache: Address
    cache_status: Address
    frontends: tuple[FrontendAddresses, ...]


def on_network(network: str, frontends: int) -> Addresses:
    """Canonical ports, and an address of its own for each machine: `network` is the first three bytes, "127.0.20".

    The default network's balancer answers on 127.0.0.1, which people can remember; others keep to themselves.
    """
    front = "127.0.0.1" if network == DEFAULT_NETWORK else f"{network}.1"
    cache = f"{network}.11"
    hosts = [f"{network}.{20 + number}" for number in range(1, frontends + 1)]
    return Addresses(
        balancer=Address(front, 8080),
        balancer_status=Address(front, 8081),
        cache=Address(cache, 11211),
        cache_status=Address(cache, 11281),
        frontends=tuple(FrontendAddresses(Address(h, 2633), Address(h, 2634), Address(h, 9869)) for h in hosts),
    )


def on_ports(first: int, frontends: int) -> Addresses:
    """Everything on 127.0.0.1: `first` is the balancer's port, and frontend N has `first` + 10 N and the two above."""
    here = [Address("127.0.0.1", first + offset) for offset in range(10 * frontends + 13)]
    return Addresses(
        balancer=here[0],
        balancer_status=here[1],
        cache=here[2],
        cache_status=here[3],
        frontends=tuple(FrontendAddresses(*here[10 * n : 10 * n + 3]) for n in range(1, frontends + 1)),
    )
