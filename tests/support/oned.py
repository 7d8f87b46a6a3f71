"""Control daemons as processes, alone or as a zone, each on addresses of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import xmlrpc.client
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
SESSION = "oneadmin:opennebula"
DEADLINE_S = 30.0


def until(condition: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any:
    """Waits for a true value and returns it."""
    deadline = time.monotonic() + deadline_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)
    return value


class Oned:
    """One `oned-lite`, started with `arguments` beside its address. Its log is `log`."""

    def __init__(self, folder: Path, port: int, *arguments: str) -> None:
        self.port = port
        self.log = folder / f"oned-{port}.log"
        self._arguments = arguments
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, log: Path | None = None) -> Oned:
        """With another `log` than its own, if one is given."""
        command = [sys.executable, "-m", "services.oned_lite.main", *self._arguments]
        self.log.touch()
        with (log or self.log).open("ab") as output:
            self.process = subprocess.Popen(command, cwd=ROOT, stderr=output)
        return self

    def ready(self) -> Oned:
        """Waits until it serves."""
        until(lambda: self.alive() and self.page("/healthz")[0] == 200)
        return self

    def alive(self) -> bool:
        """Fails with its log where it has ended by itself."""
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        return True

    def page(self, path: str) -> tuple[int, bytes]:
        """Status and body; status 0 where nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:
            return 0, b""

    def health(self) -> dict[str, Any]:
        status, body = self.page("/healthz")
        return json.loads(body) if status else {}

    def leads(self) -> bool:
        return self.page("/leader")[0] == 200

    def call(self, method: str, *arguments: object, session: str = SESSION) -> list[Any]:
        """The answer's array; xmlrpc.client.Fault for a fault."""
        with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{self.port}/RPC2", allow_none=True) as proxy:
            answer = getattr(proxy, method)(session, *arguments)
        assert isinstance(answer, list)
        return answer

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> tuple[int, float]:
        """SIGTERM; exit code and how many seconds it took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.terminate()
        code = self.process.wait(timeout=15)
        self.process = None
        return code, time.monotonic() - began


def solo(folder: Path, *arguments: str) -> Oned:
    """Not started."""
    port = free_port()
    options = ("--solo", "--listen", f"127.0.0.1:{port}", "--data", str(folder / "data"), *arguments)
    return Oned(folder, port, *options)


def _member(number: int) -> dict[str, Any]:
    """As in settings, on ports that are free."""
    return {
        "id": number,
        "name": f"server{number}",
        "endpoint": f"http://127.0.0.1:{free_port()}/RPC2",
        "peer": f"127.0.0.1:{free_port()}",
    }


class OnedZone:
    """`size` servers that replicate. `databases` gives server number → database settings (default SQLite); `raft` are
    settings of consensus that differ from the defaults."""

    def __init__(
        self,
        folder: Path,
        size: int = 3,
        databases: Callable[[int], dict[str, Any]] | None = None,
        raft: dict[str, Any] | Callable[[int], dict[str, Any]] | None = None,
    ) -> None:
        self._folder = folder
        self._databases = databases
        self._raft = raft if callable(raft) else lambda _number: raft or {}
        (folder / "credentials").write_text(SESSION + "\n")
        (folder / "credentials").chmod(0o600)
        self._members = [_member(number) for number in range(size)]
        self.servers = [self._server(number, join=False) for number in range(size)]

    def _server(self, number: int, *, join: bool) -> Oned:
        folder, member = self._folder, self._members[number]
        port = urlsplit(member["endpoint"]).port
        assert port is not None
        settings = {
            "listen": f"127.0.0.1:{port}",
            "data": str(folder / f"data{number}"),
            "datastores": str(folder / "datastores"),
            "credentials": str(folder / "credentials"),
            "database": {"kind": "sqlite"} if self._databases is None else self._databases(number),
            "cluster": {
                "server_id": number,
                "peer_listen": member["peer"],
                "servers": [*self._members],
                "join": join,
            },
            "raft": self._raft(number),
        }
        path = folder / f"server{number}.yaml"
        path.write_text(yaml.safe_dump(settings))
        return Oned(folder, port, "--config", str(path))

    def add(self) -> Oned:
        """One more server, not started yet, that is to join; the zone is told of it."""
        number = len(self.servers)
        new = _member(number)
        self._members.append(new)
        text = f'SERVER = [ NAME = {new["name"]}, ENDPOINT = "{new["endpoint"]}", PEER = "{new["peer"]}" ]'
        answer = self.leader().call("one.zone.addserver", 0, text)
        assert answer[0] is True, answer
        self.servers.append(self._server(number, join=True))
        return self.servers[number]

    def start(self) -> OnedZone:
        """Until every server counts: one that comes after the others have begun learns first, and is no help until then."""
        for server in self.servers:
            server.start()
        self.leader()
        for server in self.servers:
            server.ready()
            until(lambda server=server: server.health().get("votes"))  # type: ignore[misc]
        return self

    def leader(self) -> Oned:
        """Waits for one."""
        leader = until(lambda: next((one for one in self.running() if one.alive() and one.leads()), None))
        assert isinstance(leader, Oned)
        return leader

    def followers(self) -> list[Oned]:
        leader = self.leader()
        return [one for one in self.running() if one is not leader]

    def running(self) -> list[Oned]:
        return [one for one in self.servers if one.process is not None]

    def kill(self) -> None:
        for server in self.servers:
            server.kill()
