"""Links as between machines: every server in a network namespace of its own, joined by a bridge in one more.

What nftables drops in the target's namespace is gone: no reset, no refusal, and the sender's kernel goes on repeating it.
The command itself moves into the bridge's namespace, where its clients reach every server; nothing of the machine's own
network is touched. Root only.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from deploy.lab import programs
from deploy.lab.chaos.network import Way
from deploy.lab.errors import LabError
from deploy.lab.topology import Process
from services.common.settings import Address

NETWORK = "10.64.0"
"""Exists in the run's own namespaces only, so every run may have the same."""
FOLDER = Path("/run/netns")
TABLE = "onelite"
RULES = f"""
table inet {TABLE} {{
    set cut {{ type ipv4_addr; }}
    chain input {{ type filter hook input priority 0; ip saddr @cut drop; }}
}}
"""
CLONE_NEWNET = 0x40000000


def names(token: str, servers: int) -> list[str]:
    """Of the namespaces of a run: the bridge's first."""
    return [f"onelite-{token}-lan", *(f"onelite-{token}-{number}" for number in range(1, servers + 1))]


def remove(namespaces: Collection[str]) -> None:
    """Those that are there. Their links, addresses and rules go with them."""
    for name in namespaces:
        if (FOLDER / name).exists():
            programs.run("ip", "netns", "delete", name)


def why_not(token: str) -> str:
    """Why namespaces cannot be had here; empty if they can. Tries it with two, and takes them away again."""
    if os.geteuid() != 0:
        return "needs root"
    trial = names(token, 1)
    try:
        _make(trial, [f"{NETWORK}.2"])
    except LabError as error:
        return str(error)
    finally:
        remove(trial)
    return ""


class Namespaces:
    """`namespaces` as `names` gives them."""

    def __init__(self, namespaces: Sequence[str]) -> None:
        self._lan, *self._servers = namespaces
        self._hosts: list[str] = []
        self._cut = False
        self._home = -1

    async def open(self, peers: Sequence[Address]) -> None:
        self._hosts = [peer.host for peer in peers]
        _make([self._lan, *self._servers], self._hosts)
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        lan = os.open(FOLDER / self._lan, os.O_RDONLY)
        try:
            _enter(lan)
        finally:
            os.close(lan)

    def place(self, process: Process, server: int) -> Process:
        return replace(process, argv=(*_inside(self._servers[server]), *process.argv), ports=())

    async def cut(self, ways: Iterable[Way]) -> None:
        self._cut = True
        sources: defaultdict[int, list[str]] = defaultdict(list)
        for source, target in ways:
            sources[target].append(self._hosts[source])
        await asyncio.gather(
            *(
                self._nft(target, "add", "element", "inet", TABLE, "cut", f"{{ {', '.join(hosts)} }}")
                for target, hosts in sources.items()
            )
        )

    async def delay(self, ways: Iterable[Way], seconds: float) -> None:
        """Not by rules of nftables; `slow-link` needs relays."""
        raise NotImplementedError

    async def mend(self) -> None:
        servers = range(len(self._servers))
        await asyncio.gather(*(self._nft(server, "flush", "set", "inet", TABLE, "cut") for server in servers))
        self._cut = False

    @property
    def whole(self) -> bool:
        return not self._cut

    async def close(self) -> None:
        """The namespaces go when the run gives back what it holds."""
        if self._home >= 0:
            _enter(self._home)
            os.close(self._home)
            self._home = -1

    async def _nft(self, server: int, *words: str) -> None:
        argv = (*_inside(self._servers[server]), programs.find("nft"), *words)
        process = await asyncio.create_subprocess_exec(*argv, stderr=subprocess.PIPE)
        _, complaint = await process.communicate()
        if process.returncode != 0:
            raise LabError(f"nft {' '.join(words)}: {complaint.decode().strip()}")


def _make(namespaces: Sequence[str], hosts: Sequence[str]) -> None:
    lan, *servers = namespaces
    programs.run("ip", "netns", "add", lan)
    programs.run("ip", "-n", lan, "link", "add", "bridge", "type", "bridge")
    programs.run("ip", "-n", lan, "address", "add", f"{NETWORK}.1/24", "dev", "bridge")
    for device in ("lo", "bridge"):
        programs.run("ip", "-n", lan, "link", "set", device, "up")
    for number, (name, host) in enumerate(zip(servers, hosts, strict=True), 1):
        programs.run("ip", "netns", "add", name)
        programs.run(
            "ip", "-n", lan, "link", "add", f"server{number}", "type", "veth", "peer", "name", "eth0", "netns", name
        )
        programs.run("ip", "-n", lan, "link", "set", f"server{number}", "master", "bridge", "up")
        programs.run("ip", "-n", name, "address", "add", f"{host}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            programs.run("ip", "-n", name, "link", "set", device, "up")
        programs.run("nsenter", f"--net={FOLDER / name}", programs.find("nft"), "--file", "-", words=RULES)


def _inside(namespace: str) -> tuple[str, ...]:
    return programs.find("nsenter"), f"--net={FOLDER / namespace}"


def _enter(namespace: int) -> None:
    """This thread, and what it starts from now on. Python has `os.setns` from 3.12 on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise LabError(f"cannot enter a network namespace: {os.strerror(ctypes.get_errno())}")
