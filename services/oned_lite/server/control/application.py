"""JSON over HTTP for the tests of tools: reset, clock, drivers' outcomes, faults, leadership, calls received.

`GET /` lists what there is. A web page in a browser on the same machine can do no harm: bodies are JSON objects sent as
application/json, which a page cannot send to another place without asking, and a name that a page's owner has made to mean
this machine is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

import msgspec

from services.oned_lite.drivers.scripted import OutcomeRule
from services.oned_lite.server.http import Cancel, HttpAnswer, HttpRequest, Respond
from services.oned_lite.server.settings import is_loopback

from .bench import Bench, Refused
from .faults import FaultRule

T = TypeVar("T")


class Reset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the files of images and VMs go too."""

    files: bool | None = None


class Advance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far the clock is put forward."""

    advance_s: Annotated[int, msgspec.Meta(ge=0, le=100 * 365 * 86400)]


Action = Callable[[bytes], Awaitable[object]]

HELP = {
    "GET /status": "role, term, leader and clock of this server",
    "POST /reset": "a fresh database; no scripts, no faults, no calls, the true time; "
    '{"files": true} removes the files in a shared folder of datastores too',
    "GET /clock": "how many seconds the clock is ahead",
    "POST /clock": '{"advance_s": 3600}',
    "GET /drivers": "the rules for driver work",
    "POST /drivers": '{"driver": "vmm/*", "action": "deploy", "kind": "vm", "oid": 3, "cycle": false, "outcomes": '
    '[{"result": "failure", "message": "no room", "delay_s": 0.5}]}; result: run, success, failure or silence',
    "DELETE /drivers": "drivers act by themselves again",
    "GET /faults": "the rules for calls",
    "POST /faults": '{"method": "one.vm.*", "then": "error", "when": "before", "code": 8192, "message": "no", "delay_s": '
    '0, "times": 1}; then: serve, error, fault, hang or reset; when: before or after the call is carried out',
    "DELETE /faults": "calls are served as they should be again",
    "GET /calls": "the calls received, oldest first, without passwords",
    "DELETE /calls": "forgets them",
    "POST /step-down": "lets another server lead",
}


class ControlApplication:
    """`server.http.Application` of the control endpoint."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._tasks: set[asyncio.Task[None]] = set()
        self._actions: dict[str, Action] = {
            "GET /": _answers(lambda: HELP),
            "GET /status": _answers(bench.status),
            "POST /reset": lambda body: bench.reset(files=_decoded(body, Reset).files),
            "GET /clock": _answers(lambda: {"ahead_s": bench.clock.ahead_s}),
            "POST /clock": self._advance,
            "GET /drivers": _answers(lambda: bench.script.rules),
            "POST /drivers": _takes(OutcomeRule, bench.script.add),
            "DELETE /drivers": _does(bench.script.clear),
            "GET /faults": _answers(lambda: bench.faults.rules),
            "POST /faults": _takes(FaultRule, bench.faults.add),
            "DELETE /faults": _does(bench.faults.clear),
            "GET /calls": _answers(lambda: bench.calls.calls),
            "DELETE /calls": _does(bench.calls.clear),
            "POST /step-down": lambda _body: bench.step_down(),
        }

    def __call__(self, request: HttpRequest, respond: Respond) -> Cancel | None:
        if request.host and not is_loopback(_host(request.host)):
            respond(_json(HTTPStatus.FORBIDDEN, {"error": "ask for an address of this machine, not for a name"}))
            return None
        action = self._actions.get(f"{request.method} {request.path}")
        if action is None:
            known = any(one.endswith(f" {request.path}") for one in self._actions)
            status = HTTPStatus.METHOD_NOT_ALLOWED if known else HTTPStatus.NOT_FOUND
            respond(_json(status, {"error": "GET / lists what there is"}))
            return None
        if request.method != "GET" and request.content_type != "application/json":
            respond(_json(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, {"error": "Content-Type must be application/json"}))
            return None
        task = asyncio.get_running_loop().create_task(_run(action, request.body, respond))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return lambda: _cancel(task)

    async def _advance(self, body: bytes) -> object:
        self._bench.advance(_decoded(body, Advance).advance_s)
        return {"ahead_s": self._bench.clock.ahead_s}


def _host(text: str) -> str:
    """Of `HOST`, `HOST:PORT`, `[IPV6]:PORT`."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


async def _run(action: Action, body: bytes, respond: Respond) -> None:
    try:
        respond(_json(HTTPStatus.OK, await action(body)))
    except (ValueError, msgspec.DecodeError) as error:
        respond(_json(HTTPStatus.BAD_REQUEST, {"error": str(error)}))
    except Refused as refused:
        respond(_json(HTTPStatus.CONFLICT, {"error": str(refused)}))


def _answers(read: Callable[[], object]) -> Action:
    async def action(_body: bytes) -> object:
        return read()

    return action


def _does(act: Callable[[], None]) -> Action:
    async def action(_body: bytes) -> object:
        act()
        return {}

    return action


def _takes(schema: type[T], act: Callable[[T], None]) -> Action:
    async def action(body: bytes) -> object:
        act(_decoded(body, schema))
        return {}

    return action


def _decoded(body: bytes, schema: type[T]) -> T:
    return msgspec.json.decode(body or b"{}", type=schema)


def _json(status: HTTPStatus, content: Any) -> HttpAnswer:
    return HttpAnswer(status, msgspec.json.encode(content) + b"\n", "application/json")
