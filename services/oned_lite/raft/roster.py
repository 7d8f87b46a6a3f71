"""The leader's side of membership: changes one at a time, and telling removed servers (thesis chapter 4)."""

from .core import Core
from .membership import changed
from .progress import Mode
from .quorum import majority
from .replication import Replication
from .types import Configuration, MembershipChange, MembershipRefused, Promote

FAREWELL_TIMEOUTS = 10  # election timeouts for which a removed server is still told that it was


class Roster:
    def __init__(self, core: Core, replication: Replication, first_index: int) -> None:
        self._core = core
        self._replication = replication
        self._first_index = first_index
        self._farewells: dict[int, int] = {}  # removed servers that still get the log, and until when
        self._set_peers()

    @property
    def leaves_itself(self) -> bool:
        """Whether a committed configuration no longer lets this leader vote."""
        core = self._core
        configurations = core.configurations
        return configurations.current_index <= core.commit_index and core.server_id not in configurations.current.voters

    def after(self, change: MembershipChange) -> Configuration:
        """The configuration to append for `change`; raises MembershipRefused.

        A change must not overlap with the one before it, nor with one that an earlier leader may have left behind: hence
        an entry of the leader's own term first (Ongaro, "bug in single-server membership changes", raft-dev 2015).
        """
        core = self._core
        if core.commit_index < self._first_index:
            raise MembershipRefused("the leader has not committed an entry of its own term yet")
        if core.configurations.current_index > core.commit_index:
            raise MembershipRefused("the previous change of membership is not committed yet")
        if isinstance(change, Promote) and not self.learner_ready(change.server):
            raise MembershipRefused(f"server {change.server} cannot be promoted: it has not caught up")
        configuration = changed(core.configurations.current, change)
        active = sum(map(self._replication.is_active, configuration.voters))
        if active < majority(len(configuration.voters)):
            raise MembershipRefused(f"only {active} of the {len(configuration.voters)} voters would be reachable")
        return configuration

    def changed_from(self, previous: Configuration) -> None:
        """A configuration was appended and is in force. Servers it removes hear of it before they are left alone."""
        core = self._core
        removed = set(previous.members()) - {*core.configurations.current.members(), core.server_id}
        deadline_ms = core.now_ms + FAREWELL_TIMEOUTS * core.config.election_timeout_ms
        self._farewells.update(dict.fromkeys(removed, deadline_ms))
        self._set_peers()

    def tick(self) -> None:
        """Stop sending to removed servers that know that they are, or that cannot be reached."""
        core = self._core
        for server, deadline_ms in list(self._farewells.items()):
            knows = self._replication.progress[server].applied_index >= core.configurations.current_index
            if server in core.configurations.current or knows or core.now_ms >= deadline_ms:
                del self._farewells[server]
                self._set_peers()

    def learner_ready(self, server: int) -> bool:
        core = self._core
        if server not in core.configurations.current.learners or not self._replication.is_active(server):
            return False
        progress = self._replication.progress[server]
        behind = core.log.last_index - progress.match_index
        return progress.mode is Mode.REPLICATE and behind <= core.config.append_entries_max

    def _set_peers(self) -> None:
        self._replication.set_peers([*self._core.configurations.current.members(), *self._farewells])
