"""Routes that answer by themselves: fixed texts and redirects (nginx ``return``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from services.balancer.core.variables import Client, Names
from services.balancer.plane.prepared import Prepared
from services.balancer.wire.errors import REDIRECTS, error_answer, plain_answer, redirect_answer
from services.balancer.wire.request import RequestHead


@dataclass(frozen=True, slots=True)
class _Scope:
    request: RequestHead
    client: Client
    names: Names

    @property
    def outcome(self) -> NoReturn:
        raise LookupError("the answer of a route cannot depend on its outcome")


def own_answer(prepared: Prepared, client: Client, *, close: bool) -> tuple[bytes, int]:
    """The whole answer and its status."""
    route, request = prepared.route, prepared.request
    bodiless = request.method == b"HEAD"
    if route.answer is None or route.answer_location is None:
        return error_answer(500, close=close, bodiless=bodiless), 500
    text = route.answer_location.render(_Scope(request, client, route.names))
    status = route.answer.status
    if status in REDIRECTS:
        return redirect_answer(status, text, close=close, bodiless=bodiless), status
    if not text and status >= 400:
        return error_answer(status, close=close, bodiless=bodiless), status
    return plain_answer(status, text, "text/plain; charset=utf-8", close=close, bodiless=bodiless), status
