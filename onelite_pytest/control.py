"""A client of the control endpoint of `oned-lite` (`GET /` there says the same in JSON)."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

TIMEOUT_S = 10.0


class ControlError(Exception):
    """The daemon's reason for not doing it."""


@dataclass(frozen=True)
class ReceivedCall:
    """One XML-RPC call: `user` as the session named it, `arguments` after the session with secrets as "****". `outcome`:
    "ok", "error" (with `code` and `message`), "fault", "cut" (connection reset by a fault) or "none" (no answer yet)."""

    number: int
    at: int
    method: str
    user: str
    arguments: list[Any]
    outcome: str
    code: int
    message: str


def success(delay_s: float = 0.0, **values: str) -> dict[str, Any]:
    """A driver that says it is done, without doing anything."""
    return {"result": "success", "values": values, "delay_s": delay_s}


def failure(message: str = "", delay_s: float = 0.0) -> dict[str, Any]:
    return {"result": "failure", "message": message, "delay_s": delay_s}


def silence() -> dict[str, Any]:
    """A driver that gives no answer until its deadline is over."""
    return {"result": "silence"}


def normal(delay_s: float = 0.0) -> dict[str, Any]:
    """The driver itself, perhaps later."""
    return {"result": "run", "delay_s": delay_s}


class Control:
    """What tests may do to one daemon. Methods raise ControlError, or OSError where the daemon is gone."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    def status(self) -> dict[str, Any]:
        """role, serving, server_id, leader_id, term, applied, ahead_s."""
        return dict(self._ask("GET", "/status"))

    def reset(self, *, files: bool | None = None) -> dict[str, Any]:
        """Back to a fresh database: no scripts, no faults, no calls, the true time. `files`: remove those of images and VMs
        too (None: where the daemon shares its datastores with no other)."""
        return dict(self._ask("POST", "/reset", {"files": files}))

    def advance(self, seconds: int) -> None:
        """Puts the clock forward; what is due by then happens at once."""
        self._ask("POST", "/clock", {"advance_s": seconds})

    def script(
        self,
        *outcomes: Mapping[str, Any],
        driver: str = "*",
        action: str = "*",
        kind: str = "*",
        oid: int | None = None,
        cycle: bool = False,
    ) -> None:
        """The next pieces of work of that driver ("vmm/dummy", "tm/*"), action ("deploy") and object (kind "vm", oid 3)
        come to these `outcomes` (`success()`, `failure("no room")`, `silence()`, `normal(delay_s=2)`)."""
        rule = {"driver": driver, "action": action, "kind": kind, "oid": oid, "cycle": cycle, "outcomes": outcomes}
        self._ask("POST", "/drivers", rule)

    def fault(
        self,
        method: str,
        then: str = "serve",
        *,
        when: str = "before",
        delay_s: float = 0.0,
        code: int = 8192,
        message: str = "Made to fail",
        times: int | None = None,
    ) -> None:
        """What happens to calls of `method` (a pattern, "one.vm.*"): serve, error, fault, hang or reset, `before` the call
        is carried out or `after` it."""
        rule = {"method": method, "then": then, "when": when, "delay_s": delay_s, "code": code, "message": message}
        self._ask("POST", "/faults", {**rule, "times": times})

    def clear(self) -> None:
        """No scripts and no faults any more."""
        self._ask("DELETE", "/drivers")
        self._ask("DELETE", "/faults")

    def calls(self, method: str = "*") -> list[ReceivedCall]:
        """The calls received since the last reset, oldest first."""
        received = [ReceivedCall(**one) for one in self._ask("GET", "/calls")]
        return [one for one in received if fnmatchcase(one.method, method)]

    def step_down(self) -> dict[str, Any]:
        """Lets another server lead; comes back when this one does not any more."""
        return dict(self._ask("POST", "/step-down", {}))

    def _ask(self, method: str, path: str, content: Mapping[str, Any] | Sequence[Any] | None = None) -> Any:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT_S)
        try:
            body = None if content is None else json.dumps(content)
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            result = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise ControlError(result.get("error", f"status {answer.status}"))
        return result
