"""MAC, IPv4 and IPv6 addresses as numbers: reading, writing, counting on."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

_MAC = re.compile(r"(?:[0-9a-fA-F]{1,2}:){5}[0-9a-fA-F]{1,2}")
LOW_32 = (1 << 32) - 1
LOW_64 = (1 << 64) - 1
LINK_LOCAL_PREFIX = 0xFE80 << 48


@lru_cache(maxsize=4096)
def parse_mac(text: str) -> int | None:
    """48 bits; None for anything but six hexadecimal bytes."""
    return int("".join(part.zfill(2) for part in text.split(":")), 16) if _MAC.fullmatch(text) else None


def mac_text(mac: int) -> str:
    """`02:00:0a:00:00:01`."""
    return ":".join(f"{mac >> shift & 0xFF:02x}" for shift in range(40, -8, -8))


def mac_after(mac: int, offset: int) -> int:
    """Only the lower four bytes count on, and they wrap around: the first two are the daemon's prefix."""
    return (mac & ~LOW_32) | ((mac + offset) & LOW_32)


@lru_cache(maxsize=4096)
def parse_ip4(text: str) -> int | None:
    try:
        return int(IPv4Address(text))
    except AddressValueError:
        return None


def ip4_text(ip4: int) -> str:
    return str(IPv4Address(ip4 & LOW_32))


@lru_cache(maxsize=4096)
def parse_ip6(text: str) -> int | None:
    try:
        return None if "%" in text else int(IPv6Address(text))
    except AddressValueError:
        return None


def ip6_text(ip6: int) -> str:
    return str(IPv6Address(ip6 % (1 << 128)))


def interface_id(mac: int) -> int:
    """The lower half of the IPv6 address that a machine with that MAC gives itself (modified EUI-64)."""
    return ((mac >> 24 ^ 0x020000) << 40) | (0xFFFE << 24) | (mac & 0xFFFFFF)


def slaac(prefix: int, mac: int) -> str:
    """The address under a prefix of 64 bits."""
    return ip6_text((prefix << 64) | interface_id(mac))
