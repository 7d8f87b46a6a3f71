"""The client of a control daemon, or of several that form a cluster.

Every failure says whether its outcome is definite. Calls go to the first endpoint and to the others in turn as long as that
cannot do anything twice: when nothing was sent, when the daemon refused to start (it knows no leader), or when the call
only reads.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from services.common import http_exchange
from services.common.http_exchange import Endpoint, Lost, NotSent
from services.common.xmlrpc import RESPONSE_LIMITS, Fault, Malformed, Value, decode_response, encode_call

REST_S = 2.0
"""How long an endpoint that did not answer is asked last."""

_READS = re.compile(
    r".*\.(info|infoextended|monitoring|accounting|showback|calculateshowback|raftstatus|version|config)"
)
_READ_SETS = ("one.vmpool.infoset", "system.listMethods", "system.methodHelp", "system.methodSignature")
_REFUSED = re.compile(r"\[[^\]]*\] Cannot process request, ")
_UNDECIDED = re.compile(r"Cannot tell the outcome|whether it will happen is unknown|RPC call timed out and aborted")
_REFUSING_STATUS = frozenset({429, 503})  # the server, or a balancer before it, did not take the request


class OnedFailure(Exception):
    """A call that gave no result. `definite`: it is certain that nothing was changed by it."""

    definite: bool


class OnedError(OnedFailure):
    """The daemon's answer is an error: `[false, message, code, oid, …]`, or an XML-RPC fault (a negative code)."""

    definite = True

    def __init__(self, code: int, message: str, oid: int = -1) -> None:
        super().__init__(code, message, oid)
        self.code = code
        self.message = message
        self.oid = oid

    def __str__(self) -> str:
        return self.message


class OnedUnavailable(OnedFailure):
    """No daemon could take the call: none was reached, or those reached cannot process requests (no leader)."""

    definite = True


class OnedUnknown(OnedFailure):
    """The call was sent and no answer tells what became of it."""

    definite = False


class OnedClient:
    """Calls methods of the daemons at `endpoints` (URLs), the first preferred. Safe to use from many tasks at once.

    `timeout_s` bounds a whole call, over all endpoints that it tries; `connect_timeout_s` each connection's start. A call
    that only reads leaves the endpoints after the first their share of the time.
    """

    def __init__(self, endpoints: Sequence[str], timeout_s: float = 10, connect_timeout_s: float = 2) -> None:
        if not endpoints:
            raise ValueError("at least one endpoint is needed")
        self._endpoints = [Endpoint.parse(url) for url in endpoints]
        self._resting_until: dict[Endpoint, float] = {}
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s

    async def call(self, session: str, method: str, *params: Value) -> Value:
        """The value of a successful answer (its element 1). Raises OnedError, OnedUnavailable or OnedUnknown."""
        return result_of(await self.exchange(method, [session, *params]))

    async def exchange(self, method: str, params: Sequence[Value]) -> Value:
        """The answer as it came, for instance `[False, message, code, oid, -1]`. Raises what `call` does; OnedError only
        for faults."""
        body = encode_call(method, params)
        reads = only_reads(method)
        now = asyncio.get_running_loop().time
        deadline = now() + self._timeout_s
        failures: list[tuple[Endpoint, OnedFailure]] = []
        endpoints = self._order(now())
        for left, endpoint in zip(range(len(endpoints), 0, -1), endpoints, strict=True):
            remaining_s = deadline - now()
            if failures and remaining_s <= 0:
                break
            try:
                return await self._exchange_with(endpoint, body, remaining_s / left if reads else remaining_s)
            except (OnedUnavailable, OnedUnknown) as failure:
                failures.append((endpoint, failure))
                if not (failure.definite or reads):
                    break
        message = "; ".join(f"{endpoint.url}: {failure}" for endpoint, failure in failures)
        raise OnedUnavailable(message) if reads or failures[-1][1].definite else OnedUnknown(message)

    def _order(self, now: float) -> list[Endpoint]:
        return sorted(self._endpoints, key=lambda endpoint: self._resting_until.get(endpoint, 0.0) > now)

    async def _exchange_with(self, endpoint: Endpoint, body: bytes, timeout_s: float) -> Value:
        try:
            answer = await http_exchange.post(
                endpoint,
                body,
                content_type="text/xml",
                connect_timeout_s=self._connect_timeout_s,
                timeout_s=timeout_s,
                answer_max=RESPONSE_LIMITS.size,
            )
        except (NotSent, Lost) as error:
            self._resting_until[endpoint] = asyncio.get_running_loop().time() + REST_S
            raise (OnedUnavailable if isinstance(error, NotSent) else OnedUnknown)(str(error)) from error
        self._resting_until.pop(endpoint, None)
        if answer.status != 200:
            refused = answer.status in _REFUSING_STATUS or 400 <= answer.status < 500
            raise (OnedUnavailable if refused else OnedUnknown)(f"HTTP status {answer.status}")
        return _checked(answer.body)


def only_reads(method: str) -> bool:
    """Whether a call of this method changes nothing, so that it may be sent again."""
    return _READS.fullmatch(method) is not None or method in _READ_SETS


def result_of(answer: Value) -> Value:
    """Element 1 of a successful answer. Raises OnedError for an error's, OnedUnknown for what is no answer of a daemon."""
    match answer:
        case [True, value, *_]:
            return value
        case [False, str(message), int(code), int(oid), *_]:
            raise OnedError(code, message, oid)
        case [False, str(message), int(code), *_]:
            raise OnedError(code, message)
        case _:
            raise OnedUnknown("the answer is not one of an OpenNebula daemon")


def _checked(body: bytes) -> Value:
    """The decoded answer, unless it says that the call was not started or that its outcome is not known."""
    try:
        answer = decode_response(body)
    except Malformed as error:
        raise OnedUnknown(f"the answer is not XML-RPC: {error.message}") from error
    except Fault as fault:
        raise OnedError(fault.code, fault.message) from fault
    match answer:
        case [False, str(message), *_] if _REFUSED.match(message):
            raise OnedUnavailable(message)
        case [False, str(message), *_] if _UNDECIDED.search(message):
            raise OnedUnknown(message)
    return answer
