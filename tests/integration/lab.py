"""A running lab, as tests of the whole stack see it."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import xmlrpc.client
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.deploy.onelite import onelite

ADMIN = "oneadmin:opennebula"


class OneCall(xmlrpc.client.Transport):
    """A connection for each call, closed after it."""

    def single_request(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().single_request(*arguments, **options)
        finally:
            self.close()


@dataclass
class Lab:
    """A running lab. Its addresses never change; process ids are asked anew."""

    folder: Path
    url: str = ""
    datastores: Path = Path()
    endpoints: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        status = self.status()
        self.url = status["balancer"]["url"].rstrip("/")
        self.datastores = Path(status["datastores"])
        self.endpoints = {one["name"]: one["oned"] for one in status["frontends"]}

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(onelite("status", "--json", folder=self.folder))
        return answer

    def oned(self, name: str) -> Any:
        return xmlrpc.client.ServerProxy(self.endpoints[name], transport=OneCall()).one

    def states(self) -> dict[str, int]:
        """Consensus state (3: leader) of every frontend that answers."""
        found = {}
        for name in self.endpoints:
            try:
                answer = self.oned(name).zone.raftstatus(ADMIN)
            except OSError:
                continue
            state = re.search(r"<STATE>(\d)", answer[1])
            assert state is not None
            found[name] = int(state[1])
        return found

    def leader(self) -> str:
        name: str = eventually(lambda: next((name for name, state in self.states().items() if state == 3), None))
        return name

    def kill(self, service: str, frontend: str) -> None:
        """kill -9, by its process id."""
        found = next(one for one in self.status()["frontends"] if one["name"] == frontend)
        os.kill(found[f"{service}_pid"], signal.SIGKILL)

    def start(self, *frontends: str) -> None:
        """Brings back whatever is down of these frontends."""
        onelite("start", *frontends, folder=self.folder)


def eventually(look: Callable[[], Any], within_s: float = 20.0) -> Any:
    """The first true thing that `look` sees."""
    deadline = time.monotonic() + within_s
    while not (seen := look()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)
    return seen
