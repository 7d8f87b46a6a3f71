"""Address ranges (AR) of virtual networks: what a description must say, and the addresses it stands for."""

from __future__ import annotations

from enum import IntFlag

import msgspec
from msgspec.structs import replace

from services.common.template import Vector

from .addresses import (
    LINK_LOCAL_PREFIX,
    LOW_32,
    LOW_64,
    ip4_text,
    ip6_text,
    mac_after,
    mac_text,
    parse_ip4,
    parse_ip6,
    parse_mac,
    slaac,
)
from .xml import text_element


class RangeType(IntFlag):
    """What a range hands out: always a MAC, with it an IPv4 and an IPv6 address, the latter derived from the MAC or
    counted on from a first one."""

    ETHER = 1
    IP4 = 3
    IP6 = 5
    IP4_6 = 7
    IP6_STATIC = 9
    IP4_6_STATIC = 11


HAS_IP4, HAS_SLAAC, HAS_STATIC_IP6 = 2, 4, 8
KEPT = ("AR_ID", "IPAM_MAD", "TYPE", "MAC", "IP", "IP6", "PARENT_NETWORK_AR_ID")
"""What one.vn.update_ar never changes."""
KEPT_IF_LEFT_OUT = ("SIZE", "PREFIX_LENGTH")
PREFIXES = ("GLOBAL_PREFIX", "ULA_PREFIX")
OURS = ("ALLOCATED", "USED_LEASES", "LEASES", "PARENT_NETWORK", "PARENT_NETWORK_AR_ID")
"""What nobody but the daemon says of a range."""
COMPUTED = ("MAC_END", "IP_END", "IP6_ULA", "IP6_ULA_END", "IP6_GLOBAL", "IP6_GLOBAL_END")
"""What info shows; clients send it back."""
DIGITS_MAX = 20


class RangeFault(Exception):
    """Why a description makes no range, in oned's words."""


class AddressRange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`attributes` are those of the AR vector, checked by `new_range`. `touched`: an address was taken once, or the range
    was updated; pools then show ALLOCATED even if nothing is taken. No address before `hint` is free."""

    ar_id: int
    attributes: Vector
    touched: bool = False
    hint: int = 0

    @property
    def type(self) -> RangeType:
        return RangeType[self.attributes.get("TYPE").upper()]

    @property
    def size(self) -> int:
        return _unsigned(self.attributes.get("SIZE")) or 0

    @property
    def parent_ar_id(self) -> int | None:
        """The parent network's range that a reservation is cut from."""
        return self.attributes.get_int("PARENT_NETWORK_AR_ID")

    def mac(self, index: int) -> int:
        return mac_after(parse_mac(self.attributes.get("MAC")) or 0, index)

    def addresses(self, index: int) -> dict[str, str]:
        """MAC and the IP attributes of one lease."""
        kind, mac = self.type, self.mac(index)
        found = {"MAC": mac_text(mac)}
        if kind & HAS_IP4:
            found["IP"] = ip4_text((parse_ip4(self.attributes.get("IP")) or 0) + index)
        if kind & HAS_SLAAC:
            found["IP6_LINK"] = slaac(LINK_LOCAL_PREFIX, mac)
            found |= self._prefixed(mac)
        if kind & HAS_STATIC_IP6:
            found["IP6"] = ip6_text((parse_ip6(self.attributes.get("IP6")) or 0) + index)
        return found

    def _prefixed(self, mac: int) -> dict[str, str]:
        found = {}
        for name, key in (("IP6_ULA", "ULA_PREFIX"), ("IP6_GLOBAL", "GLOBAL_PREFIX")):
            prefix = parse_ip6(self.attributes.get(key))
            if prefix:
                found[name] = slaac(prefix >> 64, mac)
        return found

    # ------------------------------------------------------------------ finding an address
    def index_of(self, wanted: str, text: str) -> int | None:
        """Where in the range an address lies; `wanted` is MAC, IP or IP6."""
        offset = {"MAC": self._mac_offset, "IP": self._ip4_offset, "IP6": self._ip6_offset}[wanted](text)
        return offset if offset is not None and 0 <= offset < self.size else None

    def _mac_offset(self, text: str) -> int | None:
        mac = parse_mac(text)
        first = self.mac(0)
        return None if mac is None or mac & ~LOW_32 != first & ~LOW_32 else mac - first

    def _ip4_offset(self, text: str) -> int | None:
        ip4 = parse_ip4(text)
        return None if ip4 is None or not self.type & HAS_IP4 else ip4 - (parse_ip4(self.attributes.get("IP")) or 0)

    def _ip6_offset(self, text: str) -> int | None:
        ip6 = parse_ip6(text)
        if ip6 is None:
            return None
        if self.type & HAS_STATIC_IP6:
            return ip6 - (parse_ip6(self.attributes.get("IP6")) or 0)
        if not self.type & HAS_SLAAC:
            return None
        mac = (ip6 & LOW_64) ^ (0x02 << 56)
        offset = ((mac >> 40) << 24 | mac & 0xFFFFFF) - self.mac(0)
        return offset if ip6_text(ip6) in self._prefixed(self.mac(offset)).values() else None

    # ------------------------------------------------------------------ changes
    def cut(self, ar_id: int, index: int, size: int) -> AddressRange:
        """The range of a reservation: `size` addresses from `index` on."""
        first = self.addresses(index)
        own: dict[str, str] = {key: first[key] for key in ("MAC", "IP", "IP6") if key in first}
        own |= {"AR_ID": str(ar_id), "SIZE": str(size), "PARENT_NETWORK_AR_ID": str(self.ar_id)}
        return AddressRange(ar_id=ar_id, attributes=self.attributes.merged(own))

    def updated(self, given: Vector, highest_used: int) -> AddressRange:
        """With other attributes (one.vn.update_ar). Raises RangeFault."""
        prefixes = {key: given.get(key) for key in PREFIXES if self.type & HAS_SLAAC}
        _check_prefixes(Vector.of(prefixes))
        size = (
            _size(given, "Unable to read the SIZE attribute, it must be number >= 0") if "SIZE" in given else self.size
        )
        if self.parent_ar_id is not None and size != self.size:
            raise RangeFault("The SIZE of a reservation cannot be changed.")
        if size <= highest_used:
            raise RangeFault("New SIZE cannot be applied. There are used leases that would fall outside the range.")
        kept = {key: self.attributes[key] for key in KEPT if key in self.attributes}
        kept |= {key: self.attributes[key] for key in KEPT_IF_LEFT_OUT if key in self.attributes and key not in given}
        had = {key: value for key, value in prefixes.items() if key in self.attributes or value}
        attributes = given.without(*KEPT, *PREFIXES, *OURS, *COMPUTED).merged(had).merged(kept)
        return replace(self, attributes=attributes, touched=True)

    # ------------------------------------------------------------------ XML
    def ends_xml(self) -> str:
        """MAC_END, IP_END and the IPv6 addresses of both ends, as info shows them."""
        first, last = self.addresses(0), self.addresses(self.size - 1)
        parts = [("MAC_END", last["MAC"])]
        if "IP" in last:
            parts.append(("IP_END", last["IP"]))
        for name in ("IP6_ULA", "IP6_GLOBAL"):
            if name in last:
                parts += [(name, first[name]), (f"{name}_END", last[name])]
        if "IP6" in last:
            parts.append(("IP6_END", last["IP6"]))
        return "".join(text_element(*part) for part in parts)


# ---------------------------------------------------------------------- new ranges
def new_range(given: Vector, ar_id: int, mac_prefix: str, random: bytes) -> AddressRange:
    """A range as described. `mac_prefix` ("02:00") and `random` (four bytes) make a MAC where none is given and no IP
    to make it of. Raises RangeFault.
    """
    kind = RangeType.__members__.get(given.get("TYPE").upper())
    if kind is None:
        raise RangeFault("Unknown or missing address range TYPE.")
    own = {"AR_ID": str(ar_id)}
    ip4 = parse_ip4(given.get("IP"))
    if kind & HAS_IP4 and ip4 is None:
        raise RangeFault("Wrong or empty IP attribute")
    if kind & HAS_SLAAC:
        _check_prefixes(given)
    if kind & HAS_STATIC_IP6:
        _check_static(given)
    if not given.get("MAC"):
        own["MAC"] = _made_mac(mac_prefix, ip4 if kind & HAS_IP4 else None, random)
    elif parse_mac(given.get("MAC")) is None:
        raise RangeFault("Wrong format for MAC attribute")
    if "SIZE" not in given and kind & HAS_STATIC_IP6:
        own["SIZE"] = str(_rest_of_prefix(given))
    else:
        _size(given, "Wrong SIZE for address range")
    dropped = [*OURS]
    dropped += [] if kind & HAS_IP4 else ["IP"]
    dropped += [] if kind & HAS_STATIC_IP6 else ["IP6"]
    return AddressRange(ar_id=ar_id, attributes=given.without(*dropped).merged(own))


def _made_mac(prefix: str, ip4: int | None, random: bytes) -> str:
    high = int(prefix.replace(":", ""), 16)
    low = int.from_bytes(random[:4], "big") if ip4 is None else ip4
    return mac_text(high << 32 | low)


def _size(given: Vector, fault: str) -> int:
    size = _unsigned(given.get("SIZE"))
    if size is None:
        raise RangeFault(fault)
    return size


def _unsigned(text: str) -> int | None:
    """Sizes go up to what 64 bits count without a sign."""
    text = text.strip()
    size = int(text) if len(text) <= DIGITS_MAX and text.isascii() and text.isdigit() else None
    return size if size is not None and size <= LOW_64 else None


def _check_prefixes(given: Vector) -> None:
    for key, name in zip(PREFIXES, ("global address prefix", "unique local address prefix"), strict=True):
        if given.get(key) and parse_ip6(given.get(key)) is None:
            raise RangeFault(f"Wrong format for IP6 {name}")


def _check_static(given: Vector) -> None:
    if parse_ip6(given.get("IP6")) is None:
        raise RangeFault("Wrong or empty IP6 attribute")
    length = given.get_int("PREFIX_LENGTH")
    if length is None or not 0 <= length <= 128:
        raise RangeFault("Wrong or empty PREFIX_LENGTH")


def _rest_of_prefix(given: Vector) -> int:
    """How many addresses follow in the prefix; a range holds no more than 64 bits can count."""
    length = given.get_int("PREFIX_LENGTH", 128)
    count = LOW_64 if length <= 64 else 1 << (128 - length)
    host_bits = min(64, 128 - length)
    return count - ((parse_ip6(given.get("IP6")) or 0) & ((1 << host_bits) - 1))
