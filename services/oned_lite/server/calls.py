"""XML-RPC over HTTP: from a request's body to the document it is answered with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Protocol

from services.common.xmlrpc import (
    Fault,
    Value,
    decode_call,
    decode_response,
    encode_fault,
    encode_response,
)
from services.oned_lite.api.introspection import MULTICALL, Introspection, multicall
from services.oned_lite.api.method import Method

from .http import CUT, Cancel, HttpAnswer, HttpRequest, Respond

Answered = Callable[[bytes], None]
PATH = "/RPC2"


class Backend(Protocol):
    """Whoever serves one.* calls."""

    def call(self, method: str, arguments: list[Value], answered: Answered) -> Cancel:
        """`answered` gets the response document, once, or nothing (b"") where the connection is to be cut. The result is
        called where nobody waits for it any more."""
        ...


Page = Callable[[], HttpAnswer]


class Api:
    """The daemon's HTTP application: calls at /RPC2, and `pages` for people and probes."""

    def __init__(self, methods: Mapping[str, Method], backend: Backend, pages: Mapping[str, Page]) -> None:
        self._introspection = Introspection(methods)
        self._backend = backend
        self._pages = pages

    def __call__(self, request: HttpRequest, respond: Respond) -> Cancel | None:
        if request.path in self._pages and request.method in ("GET", "HEAD"):
            respond(self._pages[request.path]())
        elif request.path != PATH and request.path not in self._pages:
            respond(_plain(HTTPStatus.NOT_FOUND, f"XML-RPC is at {PATH}"))
        elif request.method == "OPTIONS":
            respond(HttpAnswer(HTTPStatus.OK, b"", headers=(("Allow", "POST"),)))
        elif request.method != "POST" or request.path != PATH:
            respond(_plain(HTTPStatus.METHOD_NOT_ALLOWED, f"XML-RPC wants POST {PATH}", allow="POST"))
        elif not request.body:
            respond(_plain(HTTPStatus.BAD_REQUEST, "The request has no body"))
        else:
            return self._call(request.body, lambda document: respond(_xml(document)))
        return None

    def _call(self, body: bytes, answered: Answered) -> Cancel | None:
        try:
            method, arguments = decode_call(body)
            if self._introspection.serves(method):
                answered(encode_response(self._introspection.call(method, arguments)))
                return None
            if method == MULTICALL:
                return _Multicall(self, multicall(arguments), answered).begin()
        except Fault as fault:
            answered(encode_fault(fault.code, fault.message))
            return None
        return self._backend.call(method, arguments, answered)

    def single(self, method: str, arguments: list[Value], answered: Callable[[Value | Fault], None]) -> Cancel | None:
        """One call of a multicall."""
        try:
            if self._introspection.serves(method):
                answered(self._introspection.call(method, arguments))
                return None
        except Fault as fault:
            answered(fault)
            return None
        return self._backend.call(method, arguments, lambda document: answered(_value(document)))


class _Multicall:
    """Several calls, one after the other."""

    def __init__(self, api: Api, calls: list[tuple[str, list[Value]] | Fault], answered: Answered) -> None:
        self._api = api
        self._calls = calls
        self._answered = answered
        self._results: list[Value] = []
        self._cancel: Cancel | None = None
        self._in_step = False

    def begin(self) -> Cancel:
        self._go_on()
        return self._cancelled

    def _cancelled(self) -> None:
        if self._cancel is not None:
            self._cancel()

    def _go_on(self) -> None:
        """A loop, not a recursion, where answers come at once."""
        if self._in_step:
            return
        self._in_step = True
        while len(self._results) < len(self._calls):
            position, call = len(self._results), self._calls[len(self._results)]
            if isinstance(call, Fault):
                self._add(call)
                continue
            self._cancel = self._api.single(*call, self._add)
            if len(self._results) == position:
                self._in_step = False
                return
        self._answered(encode_response(self._results))

    def _add(self, result: Value | Fault) -> None:
        if isinstance(result, Fault):
            self._results.append({"faultCode": result.code, "faultString": result.message})
        else:
            self._results.append([result])
        self._go_on()


def _value(document: bytes) -> Value | Fault:
    try:
        return decode_response(document)
    except Fault as fault:
        return fault


def _xml(document: bytes) -> HttpAnswer:
    return HttpAnswer(HTTPStatus.OK, document, "text/xml; charset=utf-8") if document else CUT


def _plain(status: HTTPStatus, message: str, allow: str = "") -> HttpAnswer:
    return HttpAnswer(status, f"{message}\n".encode(), headers=(("Allow", allow),) if allow else ())
