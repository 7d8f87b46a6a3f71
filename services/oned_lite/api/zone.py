"""one.zone.*: zones, their servers, and the state of consensus."""

from __future__ import annotations

from services.oned_lite.model.errors import ApiError, ErrorCode
from services.oned_lite.model.xml import element
from services.oned_lite.model.zone import ZONES

from .call import Call
from .method import MethodTable
from .shared.register import register

METHODS = MethodTable("one.zone")

register(METHODS, ZONES, "info", "rename")


@METHODS.read("raftstatus")
def raftstatus(call: Call) -> str:
    """What this very server knows of consensus; for administrators."""
    if not call.caller.is_admin:
        raise ApiError(ErrorCode.AUTHORIZATION, f"User [{call.caller.uid}] : Not authorized to perform ADMIN ZONE.")
    status = call.cluster
    fields = (
        ("SERVER_ID", status.server_id),
        ("STATE", status.state),
        ("TERM", status.term),
        ("VOTEDFOR", status.voted_for),
        ("COMMIT", status.commit),
        ("LOG_INDEX", status.log_index),
        ("LOG_TERM", status.log_term),
        ("FEDLOG_INDEX", status.fedlog_index),
    )
    return "<RAFT>" + "".join(element(tag, value) for tag, value in fields) + "</RAFT>"
