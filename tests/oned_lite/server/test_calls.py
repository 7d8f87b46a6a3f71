"""From a request's body to its answer."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest

from services.common.xmlrpc import Fault, Value, decode_response, encode_call, encode_fault, encode_response
from services.oned_lite.api.method import MethodTable
from services.oned_lite.server.calls import Answered, Api
from services.oned_lite.server.http import HttpAnswer, HttpRequest

METHODS = MethodTable("one.thing")


@METHODS.add("allocate")
def allocate(call: Any, text: str, cluster: int = -1, hold: bool = False) -> Value:
    """Makes a thing.

    And more about it.
    """


class Things:
    """Answers with the method and its arguments, when told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.dropped = 0
        self.at_once = True

    def call(self, method: str, arguments: list[Value], answered: Answered) -> Callable[[], None]:
        document = encode_response([method, arguments]) if method in METHODS.methods else encode_fault(-506, method)
        if self.at_once:
            answered(document)
        else:
            self.waiting.append(lambda: answered(document))
        return self._drop

    def _drop(self) -> None:
        self.dropped += 1


@pytest.fixture
def things() -> Things:
    return Things()


@pytest.fixture
def api(things: Things) -> Api:
    return Api(METHODS.methods, things, {"/healthz": lambda: HttpAnswer(HTTPStatus.OK, b"well")})


def ask(api: Api, body: bytes, method: str = "POST", path: str = "/RPC2") -> HttpAnswer:
    answers: list[HttpAnswer] = []
    api(HttpRequest(method, path, body, True, "1.1"), answers.append)
    (answer,) = answers
    return answer


def value(api: Api, method: str, *arguments: Value) -> Value:
    return decode_response(ask(api, encode_call(method, arguments)).body)


def fault(api: Api, method: str, *arguments: Value) -> tuple[int, str]:
    with pytest.raises(Fault) as raised:
        value(api, method, *arguments)
    return raised.value.code, raised.value.message


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/RPC2", 405),
        ("PUT", "/RPC2", 405),
        ("HEAD", "/RPC2", 405),
        ("OPTIONS", "/RPC2", 200),
        ("POST", "/RPC2", 400),
        ("POST", "/", 404),
        ("POST", "/rpc2", 404),
        ("GET", "/other", 404),
        ("GET", "/healthz", 200),
        ("HEAD", "/healthz", 200),
        ("POST", "/healthz", 405),
    ],
)
def test_verbs_and_paths(api: Api, method: str, path: str, status: int) -> None:
    assert ask(api, b"", method, path).status == status


def test_options_says_what_is_allowed(api: Api) -> None:
    assert ("Allow", "POST") in ask(api, b"", "OPTIONS").headers


def test_a_call_goes_to_the_backend(api: Api) -> None:
    assert value(api, "one.thing.allocate", "s", "A = 1") == ["one.thing.allocate", ["s", "A = 1"]]


def test_what_is_no_call_is_a_fault(api: Api) -> None:
    for body in (b"hello", b"<a/>", b"<methodCall>", b"<methodCall></methodCall>"):
        answer = ask(api, body)
        assert answer.status == 200
        with pytest.raises(Fault) as raised:
            decode_response(answer.body)
        assert raised.value.code == -503


def test_introspection(api: Api) -> None:
    assert value(api, "system.methodSignature", "one.thing.allocate") == [["array", "string", "string", "int"]]
    assert value(api, "system.methodHelp", "one.thing.allocate") == "Makes a thing."
    assert value(api, "system.methodExist", "one.thing.allocate") is True
    assert value(api, "system.methodExist", "one.nothing") is False
    assert "one.thing.allocate" in (listed := value(api, "system.listMethods")) and "system.multicall" in listed  # type: ignore[operator]


def test_introspection_refuses_as_oned_does(api: Api) -> None:
    assert fault(api, "system.methodSignature", "no.such") == (-506, "Method 'no.such' does not exist")
    assert fault(api, "system.methodHelp", 5)[0] == -501
    assert fault(api, "system.listMethods", "x")[0] == -502
    assert fault(api, "system.getCapabilities", "x") == (-502, "There are no parameters.  You supplied 1")
    assert fault(api, "system.shutdown", "bye") == (0, "This server program is not capable of shutting down")


def call(method: str, *arguments: Value) -> Value:
    return {"methodName": method, "params": list(arguments)}


def test_a_multicall_answers_each_call(api: Api) -> None:
    calls: list[Value] = [call("one.thing.allocate", "s"), call("one.nothing"), call("system.methodExist", "x")]
    assert value(api, "system.multicall", calls) == [
        [["one.thing.allocate", ["s"]]],
        {"faultCode": -506, "faultString": "one.nothing"},
        [False],
    ]


def test_a_multicall_of_many_does_not_nest(api: Api) -> None:
    calls: list[Value] = [call("one.thing.allocate", number) for number in range(1000)]
    assert value(api, "system.multicall", calls) == [[["one.thing.allocate", [number]]] for number in range(1000)]
    assert fault(api, "system.multicall", [*calls, call("x")])[0] == -509


def test_a_multicall_goes_one_by_one_and_can_be_dropped(api: Api, things: Things) -> None:
    things.at_once = False
    answers: list[HttpAnswer] = []
    body = encode_call("system.multicall", [[call("one.thing.allocate", 1), call("one.thing.allocate", 2)]])
    cancel = api(HttpRequest("POST", "/RPC2", body, True, "1.1"), answers.append)
    assert len(things.waiting) == 1
    things.waiting.pop()()
    assert len(things.waiting) == 1 and not answers

    assert cancel is not None
    cancel()
    assert things.dropped == 1
    things.waiting.pop()()
    assert len(answers) == 1


def test_a_multicall_within_another_is_refused(api: Api) -> None:
    assert fault(api, "system.multicall", [call("system.multicall", [])]) == (
        -507,
        "Recursive system.multicall forbidden",
    )
