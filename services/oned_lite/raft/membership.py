"""Configurations over the log, and the one-server-at-a-time changes between them (thesis chapter 4)."""

from collections.abc import Iterable

from .types import (
    AddLearner,
    Configuration,
    Demote,
    Entry,
    EntryKind,
    MembershipChange,
    MembershipRefused,
    Promote,
    decode_configuration,
)


class ConfigurationHistory:
    """Every configuration the log holds, behind the one in force at its base.

    A configuration is in force on a server from the moment its entry is in the log, committed or not, and goes with it.
    """

    def __init__(self, base_index: int, base: Configuration, entries: Iterable[Entry] = ()) -> None:
        self._history: list[tuple[int, Configuration]] = [(base_index, base)]
        self.extend(entries)

    @property
    def current(self) -> Configuration:
        return self._history[-1][1]

    @property
    def current_index(self) -> int:
        """The index of the entry the current configuration came with; that of the base if no entry did."""
        return self._history[-1][0]

    @property
    def from_log(self) -> bool:
        """Whether a server that receives the log learns the current configuration from it."""
        return self.current_index > 0

    def at(self, index: int) -> Configuration:
        """The configuration in force at `index`."""
        return self.dated(index)[1]

    def dated(self, index: int) -> tuple[int, Configuration]:
        """The configuration in force at `index` and where it came from."""
        return next((found for found in reversed(self._history) if found[0] <= index), self._history[0])

    def extend(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.kind is EntryKind.CONFIGURATION:
                self._history.append((entry.index, decode_configuration(entry.data)))

    def truncate(self, first: int) -> None:
        while len(self._history) > 1 and self._history[-1][0] >= first:
            self._history.pop()

    def compact(self, index: int) -> None:
        while len(self._history) > 1 and self._history[1][0] <= index:
            del self._history[0]


def changed(configuration: Configuration, change: MembershipChange) -> Configuration:
    """`configuration` after `change`; raises MembershipRefused if that means nothing."""
    server = change.server
    if isinstance(change, AddLearner):
        if server < 0 or server in configuration:
            raise MembershipRefused(f"server {server} cannot be added: it is a member already or no valid id")
        return Configuration(configuration.voters, (*configuration.learners, server))
    learners = tuple(learner for learner in configuration.learners if learner != server)
    if isinstance(change, Promote):
        if server not in configuration.learners:
            raise MembershipRefused(f"server {server} cannot be promoted: it is not a learner")
        return Configuration(tuple(sorted((*configuration.voters, server))), learners)
    if server not in configuration:
        raise MembershipRefused(f"server {server} cannot be removed: it is not a member")
    voters = tuple(voter for voter in configuration.voters if voter != server)
    if not voters:
        raise MembershipRefused(f"server {server} cannot be removed: it is the last voter")
    return Configuration(voters, (*learners, server) if isinstance(change, Demote) else learners)
