"""What a lab was made as. It is written down with the first `up` and holds for every later command."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal

import msgspec

from deploy.lab.addresses import DEFAULT_NETWORK, DEFAULT_PORTS, MOST_FRONTENDS, Addresses, on_network, on_ports
from deploy.lab.errors import LabError

FILE_NAME = "lab.json"

DatabaseKind = Literal["sqlite", "mariadb"]
CacheKind = Literal["builtin", "memcached"]
Checks = Literal["passive", "both"]


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What the options of `up` ask for; None leaves it to the lab, or to the default of a new one."""

    frontends: int | None = None
    db: DatabaseKind | None = None
    cache: CacheKind | None = None
    checks: Checks | None = None
    network: str | None = None
    ports: int | None = None


class Definition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A lab's size and parts. Exactly one of `network` and `ports` says where it listens.

    `prepared` is set once the first start has done what is done only once: datastores, the UI's own user.
    """

    frontends: int = 3
    db: DatabaseKind = "sqlite"
    cache: CacheKind = "builtin"
    checks: Checks = "passive"
    network: str | None = None
    ports: int | None = None
    prepared: bool = False

    @property
    def addresses(self) -> Addresses:
        if self.network is not None:
            return on_network(self.network, self.frontends)
        return on_ports(self.ports or DEFAULT_PORTS, self.frontends)


def read(folder: Path) -> Definition | None:
    """The definition of the lab in `folder`; None where there is no lab."""
    path = folder / FILE_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Definition)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise LabError(f"{path}: cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise LabError(f"{path}: not a lab's definition ({error}); use another --dir, or remove the folder") from error


def write(folder: Path, definition: Definition) -> None:
    path = folder / FILE_NAME
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(definition), indent=2) + b"\n")
    fresh.replace(path)


def settle(existing: Definition | None, wishes: Wishes, *, own_addresses: bool, folder: Path) -> Definition:
    """The definition to run: the existing lab's, if the wishes agree with it, or a new one.

    `own_addresses` says whether this system can listen on loopback addresses other than 127.0.0.1. The cache and
    the balancer's checks of an existing lab may change; all else is part of its data. Raises LabError for wishes that
    cannot be met.
    """
    _check(wishes)
    if existing is None:
        return _new(wishes, own_addresses)
    for key in ("frontends", "db", "network", "ports"):
        wish, is_now = getattr(wishes, key), getattr(existing, key)
        if wish is not None and wish != is_now:
            raise LabError(
                f"the lab in {folder} was made with --{key} {is_now}, and that is part of its data; "
                f"leave out --{key}, or make another lab with --dir"
            )
    return msgspec.structs.replace(
        existing, cache=wishes.cache or existing.cache, checks=wishes.checks or existing.checks
    )


def _new(wishes: Wishes, own_addresses: bool) -> Definition:
    network, ports = wishes.network, wishes.ports
    if network is None and ports is None:
        network, ports = (DEFAULT_NETWORK, None) if own_addresses else (None, DEFAULT_PORTS)
    return Definition(
        frontends=wishes.frontends or 3,
        db=wishes.db or "sqlite",
        cache=wishes.cache or "builtin",
        checks=wishes.checks or "passive",
        network=network,
        ports=ports,
    )


def _check(wishes: Wishes) -> None:
    if wishes.frontends is not None and not 1 <= wishes.frontends <= MOST_FRONTENDS:
        raise LabError(f"--frontends: expected 1 to {MOST_FRONTENDS}, got {wishes.frontends}; 3 and 5 are good numbers")
    if wishes.network is not None and wishes.ports is not None:
        raise LabError("--network and --ports exclude each other: addresses of their own, or ports on 127.0.0.1")
    if wishes.network is not None and not _is_loopback(wishes.network):
        raise LabError(
            f"--network: expected the first three bytes of a loopback network (127.0.30), got {wishes.network}"
        )
    if wishes.ports is not None and not 1024 <= wishes.ports <= 65000:
        raise LabError(f"--ports: expected a first port from 1024 to 65000, got {wishes.ports}")


def _is_loopback(network: str) -> bool:
    try:
        return ipaddress.IPv4Address(f"{network}.1").is_loopback
    except ValueError:
        return False
