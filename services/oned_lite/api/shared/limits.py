"""one.{user,group}.quota and one.{user,group}quota.update: limits for one, and for all who have none of their own."""

from __future__ import annotations

from services.common.template import Template, TemplateError, parse
from services.oned_lite.api.call import Call
from services.oned_lite.model.errors import ApiError, ErrorCode, action, unauthorized
from services.oned_lite.model.quota import defaults_xml
from services.oned_lite.policy import quotas
from services.oned_lite.policy.caller import ONEADMIN_GID


def set_limits(call: Call, side: str, oid: int, text: str) -> None:
    """For a user or a group. Sections before a bad one are applied even so."""
    try:
        quotas.set_limits(call.tx, side, oid, _parsed(text))
    except quotas.BadQuota as fault:
        raise ApiError(ErrorCode.ACTION, str(fault), keeps_changes=True) from None


def set_defaults(call: Call, side: str, text: str) -> str:
    """Only for those whose primary group is oneadmin. Returns all default quotas of that side."""
    if call.caller.gid != ONEADMIN_GID:
        raise unauthorized(call.caller.uid, "The default quotas can only be updated by users in the oneadmin group")
    try:
        quotas.set_defaults(call.tx, side, _parsed(text))
    except quotas.BadQuota as fault:
        raise ApiError(ErrorCode.ACTION, str(fault), keeps_changes=True) from None
    return defaults_xml(call.tx, side)


def _parsed(text: str) -> Template:
    try:
        return parse(text)
    except TemplateError as error:
        raise action(str(error)) from None
