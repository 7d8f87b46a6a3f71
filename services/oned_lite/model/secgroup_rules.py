"""What rules of security groups may say."""

from __future__ import annotations

import re

from services.common.template import Template, Vector

from .addresses import parse_ip4, parse_ip6

PROTOCOLS = ("TCP", "UDP", "ICMP", "ICMPV6", "IPSEC", "ALL")
WITH_PORTS = ("TCP", "UDP")
RULE_TYPES = ("INBOUND", "OUTBOUND")
PORT_MAX = 65535
_RANGE = re.compile(r"\d+(?::\d+)?(?:,\d+(?::\d+)?)*")


def rules_fault(template: Template) -> str | None:
    """What is wrong with the first wrong RULE, in oned's words."""
    return next((fault for rule in template.vectors("RULE") if (fault := rule_fault(rule)) is not None), None)


def rule_fault(rule: Vector) -> str | None:
    protocol = rule.get("PROTOCOL").upper()
    if protocol not in PROTOCOLS:
        return f"Wrong PROTOCOL in rule. Valid options: {', '.join(PROTOCOLS)}."
    if rule.get("RULE_TYPE").upper() not in RULE_TYPES:
        return f"Wrong RULE_TYPE in rule. Valid options: {', '.join(RULE_TYPES)}."
    return _ports_fault(rule, protocol) or _icmp_fault(rule, protocol) or _address_fault(rule)


def _ports_fault(rule: Vector, protocol: str) -> str | None:
    text = rule.get("RANGE").replace(" ", "")
    if not text:
        return None
    if protocol not in WITH_PORTS:
        return "RANGE is supported only for TCP and UDP protocols."
    if not _RANGE.fullmatch(text):
        return "Invalid RANGE specification."
    if any(len(number) > 5 or int(number) > PORT_MAX for number in re.findall(r"\d+", text)):
        return "RANGE out of bounds 0-65536."
    return None


def _icmp_fault(rule: Vector, protocol: str) -> str | None:
    for owner in ("ICMP", "ICMPV6"):
        name = f"{owner}_TYPE"
        if not rule.get(name):
            continue
        if protocol != owner:
            return f"{name} is supported only for {owner} protocol."
        if rule.get_int(name) is None:
            return f"Wrong {name}, it must be integer"
    return None


def _address_fault(rule: Vector) -> str | None:
    ip = rule.get("IP")
    if ip and (rule.get_int("SIZE") is None or rule.get_int("SIZE", 0) < 0):
        return "Wrong or empty SIZE."
    if ip and parse_ip4(ip) is None and parse_ip6(ip) is None:
        return "Wrong format for IP value."
    if rule.get("NETWORK_ID") and rule.get_int("NETWORK_ID") is None:
        return "Wrong NETWORK_ID."
    return None


def without_repeats(template: Template) -> Template:
    """Each rule once. A RULE that is a single attribute is kept, and means nothing."""
    seen: set[Vector] = set()
    kept: list[tuple[str, str | Vector]] = []
    for name, value in template.attributes:
        if name == "RULE" and isinstance(value, Vector):
            if value in seen:
                continue
            seen.add(value)
        kept.append((name, value))
    return Template(tuple(kept))
