"""one.system.*: the daemon itself."""

from __future__ import annotations

from .call import Call
from .method import MethodTable

METHODS = MethodTable("one.system")
OPENNEBULA_VERSION = "6.8.0"


@METHODS.add("version", in_disabled_zone=True, reads=True)
def version(call: Call) -> str:
    """The release whose wire behaviour this daemon has."""
    return OPENNEBULA_VERSION
