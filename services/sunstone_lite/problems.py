"""What went wrong, said as what it is: an API error, a cluster condition, or a missing cache. Never as something else."""

from dataclasses import dataclass

from services.common.oned import OnedError, OnedUnavailable, OnedUnknown
from services.sunstone_lite.cache import CacheAway
from services.sunstone_lite.i18n import N_

AUTHENTICATION = 0x100
AUTHORIZATION = 0x200
NO_EXISTS = 0x400

# Endings of the messages a zone without a leader answers writes with (reference/constants.yaml, frequent_details).
_NO_LEADER = ("no leader found", "in election mode", "is replicating log")
_ZONE_DISABLED = "zone disabled"


@dataclass(frozen=True, slots=True)
class Problem:
    """HTTP status, a title and a sentence to translate, and oned's own words."""

    status: int
    title: str
    text: str
    detail: str = ""
    retry_s: int = 0


def is_authentication(error: OnedError) -> bool:
    """Whether oned did not accept the session at all."""
    return error.code == AUTHENTICATION


def is_no_leader(error: Exception) -> bool:
    """Whether the zone has no leader that could take a write."""
    return isinstance(error, OnedUnavailable | OnedError) and any(mark in str(error) for mark in _NO_LEADER)


def is_zone_disabled(error: Exception) -> bool:
    """Whether an administrator has disabled the zone, so that nothing may be changed."""
    return isinstance(error, OnedUnavailable | OnedError) and _ZONE_DISABLED in str(error)


def describe(error: Exception) -> Problem:
    """The problem behind an error of the cache or of oned."""
    if isinstance(error, CacheAway):
        return Problem(
            503,
            N_("The session store does not answer"),
            N_("Nobody can be recognised until it is back. This is not about your password; this page tries again."),
            retry_s=3,
        )
    if is_zone_disabled(error):
        return Problem(
            503,
            N_("The zone is disabled"),
            N_("An administrator has switched changes off; lists may still be read."),
            str(error),
        )
    if is_no_leader(error):
        return Problem(
            503,
            N_("The zone has no leader right now"),
            N_("Nothing can be changed until a majority of the servers agree on one; lists may still be read."),
            str(error),
            retry_s=3,
        )
    if isinstance(error, OnedUnavailable):
        return Problem(
            503,
            N_("OpenNebula does not answer"),
            N_("None of the control servers can be reached from here. Nothing was changed; this page tries again."),
            retry_s=3,
        )
    if isinstance(error, OnedUnknown):
        return Problem(
            504,
            N_("The outcome is unknown"),
            N_("The answer got lost on its way. The request may have been done: look before you repeat it."),
            str(error),
        )
    if isinstance(error, OnedError):
        return _api_error(error)
    raise error


def _api_error(error: OnedError) -> Problem:
    if error.code == AUTHORIZATION:
        return Problem(403, N_("Not allowed"), N_("Your user may not do this."), error.message)
    if error.code == NO_EXISTS:
        return Problem(404, N_("Not found"), N_("There is no such object, or it was removed."), error.message)
    return Problem(409, N_("OpenNebula refused"), N_("The request was understood and refused."), error.message)
