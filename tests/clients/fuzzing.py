"""Calls and templates by chance, near enough to good ones to get past the first check. Same seed, same calls."""

from __future__ import annotations

import random
import re
import xmlrpc.client
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from services.common.xmlrpc import I8, encode_call
from services.oned_lite.api.method import Method, Parameter
from tests.support.oned import SESSION

SCENARIOS = Path(__file__).parents[1] / "parity" / "scenarios"
LEFT_OUT = frozenset(
    {
        "one.zone.enable",  # switches everything off
        "one.user.passwd",  # locks out who asks
        "one.hook.allocate",  # what it makes runs programs
        "one.hook.update",
    }
)
NUMBERS = (-3, -2, -1, 0, 0, 1, 1, 2, 3, 7, 100, 101, 255, 65535, 2**31 - 1, -(2**31))
NAMES = """
NAME CPU VCPU MEMORY MEMORY_MAX DISK NIC NIC_ALIAS NIC_DEFAULT PCI CONTEXT GRAPHICS OS TYPE SIZE FORMAT IMAGE
IMAGE_ID PATH PERSISTENT NETWORK NETWORK_ID NETWORK_MODE IP IP6 MAC AR AR_ID SECURITY_GROUPS RULE PROTOCOL RANGE
VN_MAD BRIDGE VLAN_ID DS_MAD TM_MAD IM_MAD VM_MAD BACKUP_CONFIG MODE KEEP_LAST SCHED_ACTION ACTION TIME REPEAT
DAYS END_TYPE END_VALUE VMGROUP VMGROUP_ID ROLE POLICY AFFINED ANTI_AFFINED VMS LEASES IMAGES RVMS ID VM
RUNNING_VMS TOPOLOGY CORES SOCKETS NODE NUMA_NODE SCHED_RANK SCHED_REQUIREMENTS USER_INPUTS CLUSTER_ID SNAPSHOT
CPU_COST PRIORITY BACKUP_VMS DATASTORE_ID EXECUTION MARKET_MAD ORIGIN_ID APPTEMPLATE64 VMTEMPLATE64
GLOBAL_PREFIX ULA_PREFIX PREFIX_LENGTH GATEWAY RESERVED_CPU PARENT FLOATING_IP X _ 9LIVES xml
""".split()  # noqa: SIM905
VALUES = (
    "", "0", "1", "-1", "1.5", "1e309", "nan", "99999999999999999999", "²","+3600", "YES", "no", "a b", "x",
    "dummy", "bridge", "802.1Q", "IP4", "IP6", "ETHER", "IP4_6_STATIC", "OS", "DATABLOCK", "CDROM", "SYSTEM_DS",
    "fs", "swap", "raw", "qcow2", "10.0.0.1", "10.0.0.300", "::1", "fd00::", "02:00:00:00:00:01", "ff:ff",
    "0:100", "1,2,3", ",", "TCP", "inbound", "INCREMENT", "poweroff", "snapshot-create", "é中", "<&>'", "]]",
    "$NAME", "$NETWORK[IP, NETWORK=\\\"x\\\"]", "%s%n", "../../etc/passwd", "A" * 5000, "9" * 5000, "9" * 18, "1,²",
    "FREE_CPU > 1 & (NAME = x | !ID = 3)", "((((", "-FREE_MEMORY * 2 / 0", "1970-01-01T00:00:00", "\\\\", "\t",
)  # fmt: skip
TEXTS = (
    "",
    "0",
    "x",
    "terminate",
    "terminate-hard",
    "poweroff",
    "hold",
    "resume",
    "undeploy",
    "core",
    "666",
    "é",
    "A" * 300,
    "a:b",
    "1,2",
)
JUNK: tuple[Any, ...] = (None, 1.5, -0.0, True, [], [[]], {"a": 1}, b"\0\xff", I8(2**40), "", "<", 0)


@cache
def corpus() -> tuple[tuple[str, list[Any]], ...]:
    """The calls of the recorded scenarios, with small ids where these have names for them."""
    found: list[tuple[str, list[Any]]] = []
    for path in sorted(SCENARIOS.glob("*.yaml")):
        steps = yaml.load(path.read_text(), yaml.CSafeLoader)["steps"]
        found += [(step["call"], [_named(one) for one in step.get("params") or []]) for step in steps]
    return tuple(one for one in found if one[0].startswith("one.") and one[0] not in LEFT_OUT)


def _named(argument: Any) -> Any:
    if not isinstance(argument, str):
        return argument
    if re.fullmatch(r"\$\w+", argument):
        return len(argument) % 3
    return re.sub(r"\$\{\w+\}", lambda match: str(len(match[0]) % 3), argument)


def call(chance: random.Random, methods: Mapping[str, Method]) -> tuple[str, list[Any]]:
    """A method and its arguments: a recorded call a little changed, or one made up; now and then anything goes."""
    if chance.random() < 0.6:
        name, recorded = chance.choice(corpus())
        arguments = [_varied(chance, one) for one in recorded]
    else:
        method = methods[chance.choice(sorted(methods.keys() - LEFT_OUT))]
        name, arguments = method.name, [_argument(chance, parameter) for parameter in method.parameters]
    if chance.random() < 0.05:
        del arguments[chance.randrange(len(arguments) + 1) :]
    if name.startswith("one.user.") and arguments and arguments[0] in (0, -1, "oneadmin"):
        arguments[0] = 2  # whoever asks must stay able to
    return name, arguments


def _varied(chance: random.Random, argument: Any) -> Any:
    if isinstance(argument, bool) or chance.random() < 0.6:
        return argument
    if isinstance(argument, int):
        return type(argument)(chance.choice(NUMBERS)) if chance.random() < 0.5 else argument
    if not isinstance(argument, str):
        return argument
    if "=" not in argument:
        return chance.choice((argument, *TEXTS))
    if chance.random() < 0.2:
        return f"{argument}\n{_as_text(chance)}"
    value = re.compile(r'(=\s*)("[^"]*"|[\w.:-]+)')
    return value.sub(lambda match: f'{match[1]}"{_value(chance)}"' if chance.random() < 0.3 else match[0], argument)


def _argument(chance: random.Random, parameter: Parameter) -> Any:
    if chance.random() < 0.04:
        return chance.choice(JUNK)
    if parameter.type is bool:
        return chance.random() < 0.5
    if parameter.type is int:
        return chance.choice(NUMBERS)
    if parameter.type is I8:
        return I8(chance.choice(NUMBERS))
    if parameter.type is list:
        return [chance.choice(NUMBERS) for _ in range(chance.randrange(3))]
    return template(chance) if chance.random() < 0.6 else chance.choice(TEXTS)


def template(chance: random.Random) -> str:
    """Text or XML; sometimes hurt."""
    text = _as_xml(chance) if chance.random() < 0.25 else _as_text(chance)
    return hurt(chance, text.encode()).decode("utf-8", "ignore").replace("\0", "") if chance.random() < 0.15 else text


def _as_text(chance: random.Random) -> str:
    lines = []
    for _ in range(chance.randrange(8)):
        if chance.random() < 0.4:
            inner = ", ".join(f'{_name(chance)} = "{_value(chance)}"' for _ in range(chance.randrange(6)))
            lines.append(f"{_name(chance)} = [ {inner} ]")
        else:
            lines.append(f'{_name(chance)} = "{_value(chance)}"')
    return "\n".join(lines)


def _as_xml(chance: random.Random) -> str:
    def leaf() -> str:
        name = _name(chance)
        return f"<{name}><![CDATA[{_value(chance)}]]></{name}>"

    parts = []
    for _ in range(chance.randrange(6)):
        name = _name(chance)
        parts.append(leaf() if chance.random() < 0.5 else f"<{name}>{leaf()}{leaf()}</{name}>")
    return f"<TEMPLATE>{''.join(parts)}</TEMPLATE>"


def _name(chance: random.Random) -> str:
    return chance.choice(NAMES)


def _value(chance: random.Random) -> str:
    return chance.choice(VALUES)


def hurt(chance: random.Random, data: bytes) -> bytes:
    """Bytes changed, lost, doubled or put in."""
    hurt = bytearray(data)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(hurt) + 1)
        deed = chance.randrange(5)
        if deed == 0 and at < len(hurt):
            hurt[at] = chance.randrange(256)
        elif deed == 1:
            del hurt[at : at + chance.randrange(1, 20)]
        elif deed == 2:
            hurt[at:at] = chance.choice(
                (b"<", b">", b"&", b"]]>", b"<![CDATA[", b"\0", b"\xff", b'"', b"[", b"=", b"<!--")
            )
        elif deed == 3:
            hurt[at:at] = hurt[at : at + 40] * chance.randrange(1, 30)
        else:
            hurt[at:] = b""
    return bytes(hurt)


def body(chance: random.Random, methods: Mapping[str, Method]) -> bytes:
    """A request's body; one in five is hurt."""
    method, arguments = call(chance, methods)
    good = encode_call(method, [SESSION, *arguments])
    return hurt(chance, good) if chance.random() < 0.2 else good


def verdict(document: bytes) -> str:
    """What is wrong with an answer as such; whether it is a success, a failure or a fault does not matter."""
    try:
        (answer,), _ = xmlrpc.client.loads(document, use_builtin_types=True)
    except xmlrpc.client.Fault as fault:
        return "" if fault.faultCode < 0 and fault.faultString else f"an odd fault: {fault}"
    except Exception as error:
        return f"not XML-RPC: {error}"
    if isinstance(answer, list) and len(answer) == 3 and answer[0] is True:
        return ""
    if isinstance(answer, list) and len(answer) == 5 and answer[0] is False and "Unexpected error" not in answer[1]:
        return ""
    return str(answer)[:300]
