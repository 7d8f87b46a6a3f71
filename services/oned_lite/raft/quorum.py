"""Majorities."""

from collections.abc import Collection, Mapping
from enum import Enum


class Tally(Enum):
    PENDING = "pending"
    WON = "won"
    LOST = "lost"


def majority(size: int) -> int:
    """How many of `size` voters are a majority."""
    return size // 2 + 1


def quorum_value(values: Collection[int]) -> int:
    """The largest value that a majority has reached, given one value of every voter.

    Of match indexes it is what may be committed, of times of contact since when a majority has been heard.
    """
    return sorted(values, reverse=True)[majority(len(values)) - 1]


def tally(voters: Collection[int], votes: Mapping[int, bool]) -> Tally:
    """How an election stands. Votes of servers that are not voters count for nothing."""
    needed = majority(len(voters))
    granted = sum(1 for voter in voters if votes.get(voter) is True)
    refused = sum(1 for voter in voters if votes.get(voter) is False)
    if granted >= needed:
        return Tally.WON
    return Tally.LOST if refused > len(voters) - needed else Tally.PENDING
