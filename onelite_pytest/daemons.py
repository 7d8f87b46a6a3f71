"""`oned-lite` as a process, alone or as a cluster: started on free ports, watched, ended."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from .control import Control, ControlError

T = TypeVar("T")
HOST = "127.0.0.1"
USER, PASSWORD = "oneadmin", "opennebula"
START_DEADLINE_S = 30.0
STOP_DEADLINE_S = 10.0
POLL_S = 0.01
CLUSTER_SIZE = 3


class DaemonError(Exception):
    """A daemon that does not start, or a cluster that does not come together."""


class Refusal(Exception):
    """oned's answer to a call that it does not carry out."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Oned:
    """One daemon. `endpoint`, `user`, `password` and `session` are what clients are given; `control` disturbs it."""

    def __init__(self, folder: Path, ports: tuple[int, int], arguments: Sequence[str]) -> None:
        self.port, control_port = ports
        self.endpoint = f"http://{HOST}:{self.port}/RPC2"
        self.user, self.password = USER, PASSWORD
        self.session = f"{USER}:{PASSWORD}"
        self.control = Control(HOST, control_port)
        self.log = folder / f"oned-{self.port}.log"
        self._command = [oned_lite(), *arguments, "--control", f"{HOST}:{control_port}"]
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def alone(cls, folder: Path, options: Sequence[str] = ()) -> Oned:
        """Not started. It keeps nothing when it ends."""
        port, control_port = free_ports(2)
        data = str(folder / "data")
        arguments = ["--solo", "--ephemeral", "--listen", f"{HOST}:{port}", "--data", data, *options]
        return cls(folder, (port, control_port), arguments)

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Comes back when it serves. Raises DaemonError."""
        self.launch()
        wait_for(self.serves, f"{self.endpoint} does not serve", self)

    def launch(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self) -> None:
        """As a service manager does it; what does not react is killed."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """As a power cut does it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def serves(self) -> bool:
        if not self.runs:
            raise DaemonError(f"oned-lite has ended:\n{self.log_tail()}")
        return self.page("/healthz")[0] == http.client.OK

    def votes(self) -> bool:
        """Whether it counts in its cluster."""
        status, health = self.page("/healthz")
        return status == http.client.OK and health["votes"]

    def page(self, path: str) -> tuple[int, Any]:
        """Status and JSON of GET `path`; status 0 where nobody listens."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except OSError:
            return 0, None
        finally:
            connection.close()

    def call(self, method: str, *arguments: Any, session: str = "") -> Any:
        """The result of an XML-RPC call. Raises Refusal, or what xmlrpc.client raises."""
        with xmlrpc.client.ServerProxy(self.endpoint, allow_none=True) as proxy:
            answer: Any = getattr(proxy, method)(session or self.session, *arguments)
        if not answer[0]:
            raise Refusal(answer[1], answer[2])
        return answer[1]

    def log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""


class OnedCluster:
    """Three daemons with databases of their own and a folder of datastores in common. All hold the same; calls that write
    may go to any of them."""

    def __init__(self, folder: Path, size: int = CLUSTER_SIZE) -> None:
        credentials = folder / "credentials"
        credentials.write_text(f"{USER}:{PASSWORD}\n")
        credentials.chmod(0o600)
        ports = free_ports(3 * size)
        members = [
            {"id": one, "name": f"server{one}", "endpoint": f"http://{HOST}:{port}/RPC2", "peer": f"{HOST}:{peer}"}
            for one, (port, peer) in enumerate(zip(ports[::3], ports[1::3], strict=True))
        ]
        self.servers: list[Oned] = []
        for number, member in enumerate(members):
            port, control_port = ports[3 * number], ports[3 * number + 2]
            settings = {
                "listen": f"{HOST}:{port}",
                "data": str(folder / f"data{number}"),
                "datastores": str(folder / "datastores"),
                "credentials": str(credentials),
                "cluster": {"server_id": number, "peer_listen": member["peer"], "servers": members},
            }
            path = folder / f"server{number}.yaml"
            path.write_text(json.dumps(settings))  # JSON is YAML
            self.servers.append(Oned(folder, (port, control_port), ["--config", str(path)]))
        self.user, self.password = USER, PASSWORD
        self.session = f"{USER}:{PASSWORD}"

    @property
    def endpoints(self) -> list[str]:
        return [server.endpoint for server in self.servers]

    def start(self) -> None:
        """Starts the servers that do not run, and waits until all serve and vote and one leads. Raises DaemonError.

        A server that comes after the others have begun learns first: until it votes it stands in for none that is killed.
        """
        stopped = [server for server in self.servers if not server.runs]
        for server in stopped:
            server.launch()
        for server in stopped:
            wait_for(server.serves, f"{server.endpoint} does not serve", server)
        self.leader()
        for server in stopped:
            wait_for(server.votes, f"{server.endpoint} does not vote", server)

    def stop(self) -> None:
        for server in self.servers:
            server.stop()

    def leader(self) -> Oned:
        """Waits for one. Raises DaemonError."""
        return wait_for(self._leader, "no server leads", *self.servers)

    def followers(self) -> list[Oned]:
        """The servers that run and do not lead."""
        leader = self.leader()
        return [server for server in self.servers if server.runs and server is not leader]

    def reset(self) -> None:
        """A fresh database on all servers, and nothing left of scripts, faults, calls and moved clocks."""
        index = wait_for(self._reset, "no server could be reset", *self.servers)
        for server in self.servers:
            wait_for(lambda: server.control.status()["applied"] >= index, "a server lags behind", server)  # noqa: B023

    def advance(self, seconds: int) -> None:
        """Puts the clocks of all servers forward."""
        for server in self.servers:
            if server.runs:
                server.control.advance(seconds)

    def call(self, method: str, *arguments: Any, session: str = "") -> Any:
        """A call to the leader; see `Oned.call`."""
        return self.leader().call(method, *arguments, session=session)

    def _leader(self) -> Oned | None:
        running = (server for server in self.servers if server.runs)
        return next((server for server in running if server.page("/leader")[0] == http.client.OK), None)

    def _reset(self) -> int:
        """Index of the entry with the fresh database, 0 where leadership has just moved: then all must be asked anew."""
        try:
            reset = [server.control.reset(files=True) for server in self.servers]
        except ControlError:
            return 0
        return max(one["applied"] if one["database"] else 0 for one in reset)


def wait_for(condition: Callable[[], T | None], problem: str, *daemons: Oned) -> T:
    """A true value of `condition`. Raises DaemonError with the daemons' logs."""
    deadline = time.monotonic() + START_DEADLINE_S
    while not (value := condition()):
        if time.monotonic() > deadline:
            logs = "\n".join(f"{one.log}:\n{one.log_tail()}" for one in daemons)
            raise DaemonError(f"{problem} within {START_DEADLINE_S:g} s\n{logs}")
        time.sleep(POLL_S)
    return value


def free_ports(count: int) -> list[int]:
    """Different ones, free at the moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]


def oned_lite() -> str:
    """The console script: beside the interpreter of the tests, or in the PATH. Raises DaemonError."""
    beside = os.path.dirname(sys.executable)  # noqa: PTH120
    found = shutil.which("oned-lite", path=beside) or shutil.which("oned-lite")
    if found is None:
        raise DaemonError(f"oned-lite is neither in {beside} nor in the PATH; pip install onelite")
    return found
