"""The way of a request through a server, up to the handler's answer: find the method, authenticate, bind, handle.

Pure: the outcome holds the answer and the transaction; whoever asked decides whether to propose it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from traceback import format_exc

from services.common.xmlrpc import I8, Fault, Value
from services.oned_lite.api.call import Call, ClusterStatus
from services.oned_lite.api.method import Method
from services.oned_lite.api.pieces import Pieces
from services.oned_lite.lifecycle.hook_events import has_api_hooks, observe_call
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.errors import ApiError, ErrorCode, ParameterFault, internal
from services.oned_lite.model.user import USERS
from services.oned_lite.model.zone import LOCAL_ZONE, ZONES
from services.oned_lite.policy.caller import Caller
from services.oned_lite.policy.sessions import Sessions
from services.oned_lite.state import Reader, Transaction

METHOD_NOT_FOUND = -506
WRONG_PARAMETERS = -501
Answer = Value | Fault
"""An array as oned answers it, or a fault."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`transaction` is what to commit before the answer may leave; None where there is nothing. `defect`: the trace of a
    mistake of ours in the handler, for the log. `pieces`: the value that
    the answer is to have, still to be made, where whoever asked can wait for it."""

    answer: Answer
    transaction: Transaction | None = None
    defect: str = ""
    pieces: Pieces | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One XML-RPC call, with the leader's clock (epoch seconds) and randomness as values."""

    method: str
    arguments: Sequence[Value]
    now: int
    seed: bytes


def serve(
    methods: Mapping[str, Method],
    reader: Reader,
    conf: Configuration,
    cluster: ClusterStatus,
    request: Request,
    sessions: Sessions,
    *,
    in_pieces: bool = False,
) -> Outcome:
    """The whole way. `reader` is the state the request is decided on: the committed one, or the newest at the leader."""
    method = methods.get(request.method)
    if method is None:
        return Outcome(Fault(METHOD_NOT_FOUND, f"Method '{request.method}' not defined"))
    if not request.arguments:
        return Outcome(Fault(WRONG_PARAMETERS, "Not enough parameters"))
    session = request.arguments[0]
    if not isinstance(session, str):
        return Outcome(Fault(WRONG_PARAMETERS, "Parameter that is supposed to be a string is not"))
    identity = sessions.recognise(reader, conf, session, request.now)
    tx = Transaction(reader, now=request.now, seed=request.seed)
    if identity.mended is not None:
        tx.put(USERS.table, identity.mended)
    if identity.caller is None:
        return Outcome(failure(method.name, _not_authenticated()), tx if tx.rows else None)
    if not method.in_disabled_zone and not _zone_enabled(reader):
        return Outcome(failure(method.name, internal("Cannot process request, zone disabled")))
    outcome = _handle(method, identity.caller, request, tx, conf, cluster)
    if outcome.pieces is not None and (not in_pieces or outcome.transaction is not None):
        outcome = replace(outcome, answer=success(outcome.pieces.whole()), pieces=None)
    return _with_hooks(outcome, method, request, reader)


def _zone_enabled(reader: Reader) -> bool:
    zone = reader.get(ZONES.table, LOCAL_ZONE)
    return zone is None or zone.enabled


def _handle(
    method: Method, caller: Caller, request: Request, tx: Transaction, conf: Configuration, cluster: ClusterStatus
) -> Outcome:
    """Runs the handler on its transaction."""
    call = Call(method.name, tx, caller, conf, cluster)
    try:
        value = method.handler(call, *method.bind(request.arguments[1:], is_admin=caller.is_admin))
    except ApiError as error:
        return Outcome(failure(method.name, error), tx if error.keeps_changes and tx.rows else None)
    except ParameterFault as fault:
        return Outcome(Fault(fault.code, fault.message))
    except Exception:  # a mistake in one handler must not take the zone down: the call changes nothing and says so
        return Outcome(failure(method.name, unexpected()), defect=format_exc())
    if isinstance(value, Pieces):
        return Outcome(None, tx if tx.rows else None, pieces=value)
    return Outcome(success(value), tx if tx.rows else None)


def _with_hooks(outcome: Outcome, method: Method, request: Request, reader: Reader) -> Outcome:
    """API hooks that wait for this call are queued along with what it changed, or alone where it failed."""
    if method.reads or isinstance(outcome.answer, Fault) or not has_api_hooks(reader, method.name):
        return outcome
    tx = outcome.transaction or Transaction(reader, now=request.now, seed=request.seed)
    hidden = frozenset(place for place, one in enumerate(method.parameters) if one.name in method.hidden)
    before = tx.savepoint()
    try:
        observe_call(tx, method.name, request.arguments[1:], hidden, outcome.answer)
    except Exception:  # a mistake on the way to a hook must not take the call down with it
        tx.roll_back(before)
        return replace(outcome, defect=format_exc())
    return replace(outcome, transaction=tx)


def success(value: Value) -> Value:
    """Three elements: true, the value, 0."""
    return [True, value, 0]


def failure(method: str, error: ApiError) -> Value:
    """Five elements: false, the message, the code, the object's id or -1, the replication index or -1."""
    return [False, f"[{method}] {error.message}", int(error.code), error.oid, I8(-1)]


def unexpected() -> ApiError:
    """A mistake of ours; what it was goes to the log."""
    return internal("Unexpected error, see the log of oned")


def _not_authenticated() -> ApiError:
    return ApiError(ErrorCode.AUTHENTICATION, "User couldn't be authenticated, aborting call.")
