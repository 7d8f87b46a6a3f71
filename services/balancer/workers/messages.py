"""What the crew's master and its workers say to each other."""

from __future__ import annotations

from services.balancer.channel import Message, WithDescriptor
from services.balancer.core.roster import Member
from services.balancer.settings import Settings
from services.balancer.status.figures import Figures

# From the master


class Socket(WithDescriptor, frozen=True, kw_only=True):
    """A listening socket, the next one of its address."""

    address: str


class Zone(WithDescriptor, frozen=True, kw_only=True):
    """The memory of a group, and the column to count in."""

    group: str
    column: int


class Limits(WithDescriptor, frozen=True, kw_only=True):
    """The memory of limits, and the column to count in."""

    column: int


class Rates(WithDescriptor, frozen=True, kw_only=True):
    """The memory of limits of rate."""


class Adopt(Message, frozen=True, kw_only=True):
    """Serve by these settings, with groups that are as told; answered by Adopted."""

    settings: Settings
    rosters: dict[str, tuple[Member, ...]]


class Roster(Message, frozen=True, kw_only=True):
    """A group changed."""

    group: str
    members: tuple[Member, ...]


class Accept(Message, frozen=True, kw_only=True):
    """Accept on these of every address' sockets, and on no others; answered by Accepting."""

    numbers: tuple[int, ...]


class Ask(Message, frozen=True, kw_only=True):
    """Asks for figures."""


class Leave(Message, frozen=True, kw_only=True):
    """Stop accepting and end; after ``grace_s`` seconds at the latest, without it when the last client has left."""

    grace_s: float | None


# From a worker


class Adopted(Message, frozen=True, kw_only=True):
    """The settings are in force, unless there is a problem."""

    problem: str = ""


class Accepting(Message, frozen=True, kw_only=True):
    pass


class Report(Message, frozen=True, kw_only=True):
    """Figures, as asked for, and once more before the end."""

    figures: Figures


ToWorker = Socket | Zone | Limits | Rates | Adopt | Roster | Accept | Ask | Leave
ToMaster = Adopted | Accepting | Report
