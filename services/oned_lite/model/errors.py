"""The answers that say no: OpenNebula's error codes and the sentences that go with them.

Handlers raise `ApiError`; the request gate puts `[method.name] ` before the message.
"""

from __future__ import annotations

from enum import IntEnum


class ErrorCode(IntEnum):
    """Element 2 of a failed answer."""

    AUTHENTICATION = 0x100
    AUTHORIZATION = 0x200
    NO_EXISTS = 0x400
    ACTION = 0x800
    XML_RPC_API = 0x1000
    INTERNAL = 0x2000
    ALLOCATE = 0x4000
    LOCKED = 0x8000
    REPLICATION = 0x10000


class ApiError(Exception):
    """A definite refusal. `oid` is element 3 of the answer; `keeps_changes` commits what the call wrote before it failed
    (some of oned's refusals leave traces that clients can see, such as a used-up id)."""

    def __init__(self, code: ErrorCode, message: str, *, oid: int = -1, keeps_changes: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.oid = oid
        self.keeps_changes = keeps_changes


class ParameterFault(Exception):
    """Missing or mistyped parameters: an XML-RPC fault instead of an answer."""

    def __init__(self, message: str, code: int = -501) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def no_exists(title: str, oid: int) -> ApiError:
    """`title` is the kind's name in messages, such as "virtual machine"."""
    if oid == -1:
        return ApiError(ErrorCode.NO_EXISTS, f"Error getting {title} Pool.")
    return ApiError(ErrorCode.NO_EXISTS, f"Error getting {title} [{oid}].", oid=oid)


def unauthorized(uid: int, detail: str) -> ApiError:
    """`detail` has no full stop: one is added."""
    return ApiError(ErrorCode.AUTHORIZATION, f"User [{uid}] : {detail}.")


def action(message: str) -> ApiError:
    return ApiError(ErrorCode.ACTION, message)


def internal(message: str) -> ApiError:
    return ApiError(ErrorCode.INTERNAL, message)


def allocate(title: str, detail: str) -> ApiError:
    return ApiError(
        ErrorCode.ALLOCATE,
        f"Error allocating a new {title}. {detail}" if detail else f"Error allocating a new {title}.",
    )


def bad_request(message: str) -> ApiError:
    """Arguments that are of the right type and still make no sense (XML_RPC_API)."""
    return ApiError(ErrorCode.XML_RPC_API, message)
