"""Becoming leader: timeouts, pre-votes and votes (Raft paper sections 5.2 and 5.4.1, thesis sections 4.2.3 and 9.6)."""

from collections.abc import Callable

from .core import Core
from .messages import PreVoteRequest, PreVoteResponse, VoteRequest, VoteResponse
from .quorum import Tally, tally
from .types import Role


class Elections:
    """`won` is called once this server has the votes of a majority."""

    def __init__(self, core: Core, won: Callable[[], None]) -> None:
        self._core = core
        self._won = won
        self._votes: dict[int, bool] = {}

    @property
    def may_campaign(self) -> bool:
        """Voters may, and servers whose removal is not committed yet: they may be the only ones to complete it."""
        core = self._core
        committed = core.configurations.at(core.commit_index)
        voter = core.server_id in core.configurations.current.voters or core.server_id in committed.voters
        return voter and not (core.removed or core.failed or core.emptied)

    def tick(self) -> None:
        core = self._core
        if core.role is Role.LEADER or core.now_ms < core.election_deadline_ms:
            return
        core.leader_id = None
        if not self.may_campaign:
            core.arm_retry()
        else:
            self.start()

    def start(self) -> None:
        """Ask whether an election would be won; a single voter need not ask."""
        core = self._core
        if core.configurations.current.voters == (core.server_id,):
            self.campaign()
            return
        core.role = Role.PRE_CANDIDATE
        core.leader_id = None
        self._arm_pre_vote()
        self._votes = {core.server_id: True}
        request = PreVoteRequest(
            core.term + 1, core.log.last_index, core.log.last_term, core.configurations.current_index
        )
        for peer in self._others():
            core.send(peer, request)

    def campaign(self, transfer: bool = False) -> None:
        """Stand in the next term. Its own vote counts, and the requests leave, once term and vote are durable."""
        core = self._core
        core.become_follower(core.term)
        core.enter_term(core.term + 1, core.server_id)
        core.role = Role.CANDIDATE
        self._votes = {}
        core.send(core.server_id, VoteResponse(core.term, granted=True))
        request = VoteRequest(core.term, core.log.last_index, core.log.last_term, transfer)
        for peer in self._others():
            core.send(peer, request)

    def leader_disconnected(self) -> None:
        """The leader's connection closed, so its process is probably gone: look at once, but not all together."""
        core = self._core
        core.leader_id = None
        core.leader_contact_ms = None
        core.leader_lost_ms = core.now_ms
        core.election_deadline_ms = core.now_ms + core.rng.randint(0, core.config.heartbeat_ms // 2)

    def on_pre_vote_request(self, sender: int, request: PreVoteRequest) -> None:
        core = self._core
        granted = request.term > core.term and self._would_vote(request)
        answer = PreVoteResponse(request.term if granted else core.term, granted, self._is_removed(sender, request))
        core.send(sender, answer)
        if granted and core.role is Role.PRE_CANDIDATE and self._precedes(sender, request):
            core.become_follower(core.term)  # stands aside, or both would split the votes

    def on_pre_vote_response(self, sender: int, response: PreVoteResponse) -> None:
        core = self._core
        if not response.granted and response.term > core.term and not core.blank:
            core.become_follower(response.term)
        if core.role is not Role.PRE_CANDIDATE:
            return
        if response.removed:
            core.removed = True
            core.become_follower(core.term)
        elif response.term == core.term + 1 or not response.granted:
            self._votes[sender] = response.granted
            self._count(self.campaign)

    def on_vote_request(self, sender: int, request: VoteRequest) -> None:
        core = self._core
        if request.term < core.term:
            core.send(sender, VoteResponse(core.term, granted=False))
            return
        if (self._hears_leader() and not request.transfer) or self._must_abstain(request):
            return
        if request.term > core.term:
            core.become_follower(request.term)
        granted = core.vote == sender or (
            core.vote is None and core.log.is_behind(request.last_index, request.last_term)
        )
        if granted and core.vote is None:
            core.become_follower(core.term)
            core.enter_term(core.term, sender)
        core.send(sender, VoteResponse(core.term, granted))

    def on_vote_response(self, sender: int, response: VoteResponse) -> None:
        if self._core.role is Role.CANDIDATE:
            self._votes[sender] = response.granted
            self._count(self._won)

    def on_timeout_now(self) -> None:
        """The leader hands over: nobody needs to be asked whether it still leads."""
        if self.may_campaign:
            self.campaign(transfer=True)

    def _count(self, won: Callable[[], None]) -> None:
        core = self._core
        result = tally(core.configurations.current.voters, self._votes)
        if result is Tally.WON:
            won()
        elif result is Tally.LOST and core.role is Role.CANDIDATE:
            core.become_follower(core.term)

    def _would_vote(self, request: PreVoteRequest) -> bool:
        log = self._core.log
        up_to_date = log.is_behind(request.last_index, request.last_term)
        return up_to_date and not self._hears_leader() and not self._must_abstain(request)

    def _hears_leader(self) -> bool:
        """Whether a leader is alive, so that others' campaigns must not disturb it (thesis section 4.2.3)."""
        core = self._core
        if core.role is Role.LEADER:
            return True
        contact_ms = core.leader_contact_ms
        return contact_ms is not None and core.now_ms - contact_ms < core.config.election_timeout_ms

    def _must_abstain(self, request: PreVoteRequest | VoteRequest) -> bool:
        """A server that has nothing cannot know whether it lost entries that the candidate lacks too, and neither can one
        that has been given some of them again.

        Where everybody starts with nothing there is nothing to lose.
        """
        return self._core.emptied or (self._core.blank and request.last_index > 0)

    def _is_removed(self, sender: int, request: PreVoteRequest) -> bool:
        """Whether `sender` was removed by a configuration it has not heard of."""
        core = self._core
        index, committed = core.configurations.dated(core.commit_index)
        return index > request.configuration_index and sender not in committed

    def _precedes(self, sender: int, request: PreVoteRequest) -> bool:
        core = self._core
        theirs = (request.last_term, request.last_index, -sender)
        return theirs > (core.log.last_term, core.log.last_index, -core.server_id)

    def _others(self) -> list[int]:
        core = self._core
        return [voter for voter in core.configurations.current.voters if voter != core.server_id]

    def _arm_pre_vote(self) -> None:
        """Ask again soon while the leader's closed connection may not have been noticed by the others."""
        core = self._core
        lost_ms = core.leader_lost_ms
        if lost_ms is None or core.now_ms - lost_ms > core.config.election_timeout_ms:
            core.arm_retry()
            return
        heartbeat_ms = core.config.heartbeat_ms
        core.election_deadline_ms = core.now_ms + core.rng.randint(heartbeat_ms // 2, heartbeat_ms * 3 // 2)
