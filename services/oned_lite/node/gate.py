"""The way of a request through a server, up to the handler's answer: find the method, authenticate, bind, handle.

Pure: the outcome holds the answer and the transaction; whoever asked decides whether to propose it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.common.xmlrpc import I8, Fault, Value
from services.oned_lite.api.call import Call, ClusterStatus
from services.oned_lite.api.method import Method
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.errors import ApiError, ErrorCode, ParameterFault
from services.oned_lite.policy.authentication import authenticate
from services.oned_lite.policy.caller import Caller
from services.oned_lite.state import Reader, Transaction

METHOD_NOT_FOUND = -506
Answer = Value | Fault
"""An array as oned answers it, or a fault."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`transaction` is what to commit before the answer may leave; None where there is nothing."""

    answer: Answer
    transaction: Transaction | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One XML-RPC call, with the leader's clock (epoch seconds) and randomness as values."""

    method: str
    arguments: Sequence[Value]
    now: int
    seed: bytes


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request whose method exists and whose caller is known."""

    request: Request
    method: Method
    caller: Caller


def admit(methods: Mapping[str, Method], reader: Reader, conf: Configuration, request: Request) -> Admitted | Outcome:
    """Finds the method and authenticates; an Outcome where either fails."""
    method = methods.get(request.method)
    if method is None:
        return Outcome(Fault(METHOD_NOT_FOUND, f"Method '{request.method}' not defined"))
    if not request.arguments:
        return Outcome(Fault(-501, "Not enough parameters"))
    session = request.arguments[0]
    if not isinstance(session, str):
        return Outcome(Fault(-501, "Parameter that is supposed to be a string is not"))
    caller = authenticate(reader, conf, session, request.now)
    if caller is None:
        return Outcome(failure(method.name, authentication_failed()))
    return Admitted(request, method, caller)


def handle(admitted: Admitted, reader: Reader, conf: Configuration, cluster: ClusterStatus) -> Outcome:
    """Runs the handler on a transaction of its own."""
    request, method = admitted.request, admitted.method
    tx = Transaction(reader, now=request.now, seed=request.seed)
    call = Call(method.name, tx, admitted.caller, conf, cluster)
    try:
        value = method.handler(call, *method.bind(request.arguments[1:]))
    except ApiError as error:
        return Outcome(failure(method.name, error), tx if error.keeps_changes and tx.rows else None)
    except ParameterFault as fault:
        return Outcome(Fault(fault.code, fault.message))
    return Outcome(success(value), tx if tx.rows else None)


def success(value: Value) -> Value:
    """Three elements: true, the value, 0."""
    return [True, value, 0]


def failure(method: str, error: ApiError) -> Value:
    """Five elements: false, the message, the code, the object's id or -1, the replication index or -1."""
    return [False, f"[{method}] {error.message}", int(error.code), error.oid, I8(-1)]


def authentication_failed() -> ApiError:
    return ApiError(ErrorCode.AUTHENTICATION, "User couldn't be authenticated, aborting call.")
