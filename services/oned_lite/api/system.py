"""one.system.*: the daemon itself."""

from __future__ import annotations

from services.oned_lite.model.errors import ApiError, ErrorCode
from services.oned_lite.policy.caller import ONEADMIN_GID

from .call import Call
from .method import MethodTable

METHODS = MethodTable("one.system")
OPENNEBULA_VERSION = "6.8.0"
HIDDEN = "***"


@METHODS.add("version", in_disabled_zone=True, reads=True)
def version(call: Call) -> str:
    """The release whose wire behaviour this daemon has."""
    return OPENNEBULA_VERSION


@METHODS.add("config", in_disabled_zone=True, reads=True)
def config(call: Call) -> str:
    """The configuration of the leader, for those whose primary group is oneadmin; the database's password stays hidden."""
    if call.caller.gid != ONEADMIN_GID:
        raise ApiError(
            ErrorCode.AUTHORIZATION,
            f"User [{call.caller.uid}] : The oned configuration can only be retrieved by users in the oneadmin group.",
        )
    template = call.conf.template
    for database in template.vectors("DB"):
        if "PASSWD" in database:
            template = template.with_set("DB", database.with_set("PASSWD", HIDDEN))
    return template.to_xml("OPENNEBULA_CONFIGURATION")
