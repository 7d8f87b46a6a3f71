"""Whether an address can be listened on, and who has it if not."""

from __future__ import annotations

import errno
import socket
import sys
from pathlib import Path

from deploy.lab.addresses import DEFAULT_PORTS
from deploy.lab.errors import LabError
from services.common.settings import Address


def has_own_addresses() -> bool:
    """Whether loopback addresses other than 127.0.0.1 can be listened on (Linux: always; macOS: unless set up)."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.20.21", 0))
        except OSError:
            return False
        return True


def require_free(address: Address, purpose: str) -> None:
    """Raises LabError if nothing can listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen()
        except OSError as error:
            raise LabError(_explain(error, address, purpose)) from error


def _explain(error: OSError, address: Address, purpose: str) -> str:
    wanted = f"port {address.port} on {address.host}, wanted for {purpose},"
    match error.errno:
        case errno.EADDRINUSE:
            holder = _holder(address)
            taken = f"is taken by {holder}; stop it" if holder else "is taken; find who has it with: ss -ltnp"
            return f"{wanted} {taken}, or use --network or --ports"
        case errno.EADDRNOTAVAIL:
            return f"{wanted} is on an address that this system lacks; use --ports {DEFAULT_PORTS} for 127.0.0.1 alone"
        case errno.EACCES:
            return f"{wanted} is for root only; use --ports with a number above 1024"
        case _:
            return f"{wanted} cannot be listened on: {error.strerror}"


def _holder(address: Address) -> str:
    """The process that listens on an address, as "nginx (pid 812)"; empty where that cannot be seen."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(address)}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if sockets.intersection(str(link.readlink()) for link in (folder / "fd").iterdir()):
                return f"{(folder / 'comm').read_text().strip()} (pid {folder.name})"
        except OSError:
            continue  # somebody else's process, or one that has just ended
    return ""


def _listening_inodes(address: Address) -> set[str]:
    """Inodes of the sockets that listen on an address or on all (proc_pid_net(5): address, state 0A, inode)."""
    host = f"{int.from_bytes(socket.inet_aton(address.host), sys.byteorder):08X}"
    any_version_4, any_version_6 = "0" * 8, "0" * 32
    wanted = {f"{each}:{address.port:04X}" for each in (host, any_version_4, any_version_6)}
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        inodes |= {fields[9] for fields in map(str.split, lines) if fields[3] == "0A" and fields[1] in wanted}
    return inodes
