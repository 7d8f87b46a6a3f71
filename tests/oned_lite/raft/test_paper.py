"""The Raft paper (extended version), sentence by sentence."""

import pytest

from services.oned_lite.raft import Busy, EntryKind, HardState, NotLeader, Role, SnapshotMeta
from services.oned_lite.raft.messages import (
    AppendAccepted,
    AppendEntries,
    AppendRejected,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshot,
    PreVoteRequest,
    SnapshotResponse,
    StaleTerm,
    VoteRequest,
    VoteResponse,
)
from services.oned_lite.raft.types import ENTRY_OVERHEAD_BYTES, Configuration

from .subject import ELECTION_TIMEOUT_MS, HEARTBEAT_MS, Subject, log_of, only, to

# 5.1 Raft basics


@pytest.mark.parametrize("message", [Heartbeat(5, 0, 1), AppendEntries(5, 0, 0, 0), VoteRequest(5, 9, 9)])
def test_5_1_smaller_term_is_updated_to_the_larger(message: Heartbeat) -> None:
    subject = Subject(1, 1)
    subject.receive(1, message)
    assert subject.node.term == 5
    assert subject.hard_states()[-1].term == 5


@pytest.mark.parametrize("role", [Role.CANDIDATE, Role.LEADER])
def test_5_1_candidate_or_leader_whose_term_is_out_of_date_reverts_to_follower(role: Role) -> None:
    subject = Subject(1)
    subject.become_candidate() if role is Role.CANDIDATE else subject.become_leader()
    assert subject.node.role is role
    subject.receive(1, StaleTerm(9))
    assert (subject.node.role, subject.node.term) == (Role.FOLLOWER, 9)


def test_5_1_request_with_a_stale_term_is_rejected() -> None:
    subject = Subject(1, 3)
    assert to(1, subject.receive(1, VoteRequest(2, 9, 9))) == [VoteResponse(3, False)]
    assert to(1, subject.receive(1, AppendEntries(2, 2, 3, 0))) == [StaleTerm(3)]
    assert to(1, subject.receive(1, Heartbeat(2, 2, 1))) == [StaleTerm(3)]
    assert subject.node.term == 3
    assert subject.node.leader_id is None


def test_5_1_answer_with_a_stale_term_counts_for_nothing() -> None:
    subject = Subject(1)
    subject.become_candidate()
    subject.receive(1, VoteResponse(subject.node.term - 1, True))
    subject.receive(2, VoteResponse(subject.node.term - 1, True))
    assert subject.node.role is Role.CANDIDATE


# 5.2 Leader election


def test_5_2_servers_start_as_followers() -> None:
    assert Subject(1, 2).node.role is Role.FOLLOWER


def test_5_2_follower_remains_one_as_long_as_it_hears_a_leader() -> None:
    subject = Subject(1)
    for round_number in range(1, 50):
        subject.receive(1, Heartbeat(2, 0, round_number))
        subject.wait(HEARTBEAT_MS)
        assert (subject.node.role, subject.node.leader_id) == (Role.FOLLOWER, 1)


def test_5_2_leader_sends_periodic_heartbeats_to_all_followers() -> None:
    subject = Subject().lead_with(1, 2)
    subject.answer_heartbeat(1, 2)
    sent = subject.wait(HEARTBEAT_MS)
    assert len(only(Heartbeat, to(1, sent))) == 1
    assert len(only(Heartbeat, to(2, sent))) == 1


def test_5_2_candidate_increments_its_term_and_votes_for_itself() -> None:
    subject = Subject(1, 4)
    subject.become_candidate()
    assert (subject.node.term, subject.node.vote) == (5, 0)
    assert subject.hard_states()[-1] == HardState(5, 0)


def test_5_2_candidate_asks_all_others_in_parallel() -> None:
    subject = Subject(1, 4, voters=(0, 1, 2, 3, 4))
    requests = [(peer, message) for peer, message in subject.become_candidate() if isinstance(message, VoteRequest)]
    assert [peer for peer, _ in requests] == [1, 2, 3, 4]
    assert {message for _, message in requests} == {VoteRequest(5, 2, 4)}


@pytest.mark.parametrize(("size", "needed"), [(3, 1), (4, 2), (5, 2), (7, 3)])
def test_5_2_candidate_wins_with_votes_of_a_majority(size: int, needed: int) -> None:
    subject = Subject(voters=range(size))
    subject.become_candidate()
    for peer in range(1, needed + 1):
        assert subject.node.role is Role.CANDIDATE
        subject.receive(peer, VoteResponse(subject.node.term, True))
    assert subject.node.role is Role.LEADER


def test_5_2_a_voter_is_counted_once() -> None:
    subject = Subject(voters=range(5))
    subject.become_candidate()
    for _ in range(3):
        subject.receive(1, VoteResponse(subject.node.term, True))
    assert subject.node.role is Role.CANDIDATE


def test_5_2_votes_of_strangers_and_learners_count_for_nothing() -> None:
    subject = Subject(learners=(3,))
    subject.become_candidate()
    for peer in (3, 7, 8):
        subject.receive(peer, VoteResponse(subject.node.term, True))
    assert subject.node.role is Role.CANDIDATE


def test_5_2_server_votes_for_one_candidate_per_term_first_come_first_served() -> None:
    subject = Subject(1)
    assert to(1, subject.receive(1, VoteRequest(2, 1, 1))) == [VoteResponse(2, True)]
    assert to(2, subject.receive(2, VoteRequest(2, 1, 1))) == [VoteResponse(2, False)]
    assert to(1, subject.receive(1, VoteRequest(2, 1, 1))) == [VoteResponse(2, True)]


def test_5_2_vote_survives_a_restart() -> None:
    subject = Subject(1, term=2, vote=1)
    assert to(2, subject.receive(2, VoteRequest(2, 1, 1))) == [VoteResponse(2, False)]


def test_5_2_winner_sends_heartbeats_at_once() -> None:
    subject = Subject(1)
    subject.become_leader()
    for peer in (1, 2):
        assert only(Heartbeat, to(peer, subject.sent))


def test_5_2_candidate_recognises_a_leader_of_its_term() -> None:
    subject = Subject(1)
    subject.become_candidate()
    subject.receive(2, Heartbeat(subject.node.term, 0, 1))
    assert (subject.node.role, subject.node.leader_id) == (Role.FOLLOWER, 2)


def test_5_2_candidate_ignores_a_leader_of_an_older_term() -> None:
    subject = Subject(1, 3)
    subject.become_candidate()
    subject.receive(2, Heartbeat(3, 0, 1))
    assert subject.node.role is Role.CANDIDATE


def test_5_2_split_vote_is_followed_by_a_new_election() -> None:
    subject = Subject(1)
    subject.become_candidate()
    term = subject.node.term
    subject.become_candidate()
    assert subject.node.term == term + 1


def test_5_2_election_timeouts_are_random_from_a_fixed_interval() -> None:
    timeouts = set()
    for seed in range(200):
        subject = Subject(1, seed=seed)
        subject.receive(1, Heartbeat(1, 0, 1))
        timeouts.add(subject.node.next_deadline_ms)
    assert len(timeouts) > 100
    assert min(timeouts) >= ELECTION_TIMEOUT_MS
    assert max(timeouts) <= ELECTION_TIMEOUT_MS * 3 // 2


# 5.3 Log replication


def test_5_3_leader_appends_the_command_and_sends_it_to_everybody() -> None:
    subject = Subject().lead_with(1, 2)
    index = subject.node.propose([b"command"], subject.now_ms)
    subject.settle()
    for peer in (1, 2):
        last = only(AppendEntries, to(peer, subject.sent))[-1]
        assert [(entry.index, entry.term, entry.kind, entry.data) for entry in last.entries] == [
            (index, subject.node.term, EntryKind.DATA, b"command")
        ]


def test_5_3_followers_refer_clients_to_the_leader() -> None:
    subject = Subject()
    subject.receive(2, Heartbeat(1, 0, 1))
    with pytest.raises(NotLeader) as refused:
        subject.node.propose([b"command"], subject.now_ms)
    assert refused.value.leader_hint == 2


def test_5_3_entry_is_committed_once_a_majority_has_it() -> None:
    subject = Subject(voters=range(5)).lead_with(1, 2)
    index = subject.node.propose([b"command"], subject.now_ms)
    subject.settle()
    subject.acknowledge(1)
    assert subject.node.commit_index == index - 1
    subject.acknowledge(2)
    assert subject.node.commit_index == index
    assert subject.committed[-1].data == b"command"


def test_5_3_one_follower_is_no_majority_of_itself() -> None:
    subject = Subject(voters=range(5)).lead_with(1, 2)
    index = subject.node.propose([b"command"], subject.now_ms)
    subject.settle()
    subject.acknowledge(1, 1, 1)
    assert subject.node.commit_index == index - 1


def test_5_3_learners_do_not_help_to_commit() -> None:
    subject = Subject(learners=(3, 4)).lead_with(1, 2)
    index = subject.node.propose([b"command"], subject.now_ms)
    subject.settle()
    subject.acknowledge(3, 4)
    assert subject.node.commit_index == index - 1


def test_5_3_committing_commits_everything_before() -> None:
    subject = Subject(1, 1, 2).lead_with(1)
    assert [entry.index for entry in subject.committed] == [1, 2, 3, 4]


def test_5_3_followers_learn_of_commitment_and_apply_in_order() -> None:
    subject = Subject()
    subject.append(1, 1, (0, 0), 1, 1, 1)
    assert subject.committed == []
    subject.append(1, 1, (3, 1), 1, commit=3)
    assert [entry.index for entry in subject.committed] == [1, 2, 3]


def test_5_3_follower_refuses_entries_that_do_not_follow_its_log() -> None:
    subject = Subject(1, 1)
    assert only(AppendRejected, subject.append(1, 2, (3, 1), 2))
    assert only(AppendRejected, subject.append(1, 2, (2, 2), 2))
    assert subject.terms() == [1, 1]


@pytest.mark.parametrize(
    "mine",
    [
        (1, 1, 1, 4, 4, 5, 5, 6, 6),  # figure 7, a
        (1, 1, 1, 4),  # b
        (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6),  # c
        (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7),  # d
        (1, 1, 1, 4, 4, 4, 4),  # e
        (1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3),  # f
    ],
)
def test_5_3_leader_brings_followers_to_its_own_log(mine: tuple[int, ...]) -> None:
    leaders = (1, 1, 1, 4, 4, 5, 5, 6, 6, 6)
    leader = Subject(*leaders, term=7).become_leader()
    follower = Subject(*mine, server_id=1, term=7)
    _converse(leader, follower)
    assert follower.terms()[: len(leaders) + 1] == leader.terms() == [*leaders, 8]
    assert follower.node.last_index == leader.node.last_index


def _converse(leader: Subject, follower: Subject) -> int:
    """Carry messages between the two until they have nothing to say; returns how many appends it took."""
    appends, seen = 0, 0
    while seen < len(leader.sent):
        receiver, message = leader.sent[seen]
        seen += 1
        if receiver != follower.node.server_id:
            continue
        appends += isinstance(message, AppendEntries)
        for _, answer in follower.receive(leader.node.server_id, message):
            leader.receive(follower.node.server_id, answer)
    return appends


def test_5_3_one_rejection_skips_a_whole_term_of_conflicting_entries() -> None:
    leader = Subject(1, 1, *[5] * 100, term=5).become_leader()
    follower = Subject(1, 1, *[2] * 100, server_id=1, term=5)
    assert _converse(leader, follower) <= 4
    assert follower.terms() == leader.terms()


def test_5_3_conflicting_entry_is_deleted_with_all_that_follow() -> None:
    subject = Subject(1, 1, 2, 2)
    subject.append(1, 3, (2, 1), 3)
    assert subject.terms() == [1, 1, 3]
    assert subject.outputs[-1].entries or any(
        output.entries and output.entries[0].index == 3 for output in subject.outputs
    )


def test_5_3_late_append_does_not_delete_entries_it_agrees_with() -> None:
    subject = Subject()
    subject.append(1, 1, (0, 0), 1, 1, 1)
    answer = subject.append(1, 1, (0, 0), 1)
    assert answer == [AppendAccepted(1, 1)]
    assert subject.terms() == [1, 1, 1]


def test_5_3_leader_never_overwrites_its_own_log() -> None:
    subject = Subject(1, 1, 2).become_leader()
    subject.receive(1, AppendRejected(subject.node.term, 3, 0, 0, 0))
    assert subject.terms() == [1, 1, 2, 3]


def test_5_3_leader_retries_until_every_follower_has_every_entry() -> None:
    subject = Subject().become_leader()
    subject.receive(2, HeartbeatResponse(subject.node.term, 1, 0, 0, 0, None))
    for _ in range(3):
        before = len(only(AppendEntries, to(2, subject.sent)))
        subject.wait(HEARTBEAT_MS)
        subject.acknowledge(1)
        round_number = only(Heartbeat, to(2, subject.sent))[-1].round
        subject.receive(2, HeartbeatResponse(subject.node.term, round_number, 0, 0, 0, None))
        assert len(only(AppendEntries, to(2, subject.sent))) > before


# 5.4 Safety


@pytest.mark.parametrize(
    ("mine", "last_index", "last_term", "granted"),
    [
        ((1, 2), 2, 2, True),
        ((1, 2), 3, 2, True),
        ((1, 2), 1, 3, True),
        ((1, 2), 1, 2, False),
        ((1, 2), 9, 1, False),
        ((), 0, 0, True),
    ],
)
def test_5_4_1_voter_denies_its_vote_if_its_own_log_is_more_up_to_date(
    mine: tuple[int, ...], last_index: int, last_term: int, granted: bool
) -> None:
    subject = Subject(*mine, term=3)
    assert to(1, subject.receive(1, VoteRequest(4, last_index, last_term))) == [VoteResponse(4, granted)]


def test_5_4_2_entries_of_older_terms_are_not_committed_by_counting_replicas() -> None:
    """Figure 8: entry 2 is on a majority, and yet a server with a later term could still overwrite it."""
    subject = Subject(1, 2, term=3, voters=range(5)).become_leader()
    subject.receive(1, AppendAccepted(subject.node.term, 2))
    subject.receive(2, AppendAccepted(subject.node.term, 2))
    assert subject.node.commit_index == 0
    subject.acknowledge(1, 2)
    assert subject.node.commit_index == 3


def test_5_4_2_heartbeat_commits_nothing_the_leader_was_not_seen_to_have() -> None:
    """An uncommitted entry of an older term must not be taken for the leader's at the same index."""
    subject = Subject(1, 1, term=1)
    subject.receive(2, Heartbeat(2, 2, 1))
    assert subject.node.commit_index == 0
    subject.append(2, 2, (1, 1), 2, commit=2)
    assert [entry.term for entry in subject.committed] == [1, 2]


def test_5_4_2_append_commits_nothing_beyond_what_it_verified() -> None:
    subject = Subject(1, 1, 1, term=1)
    subject.append(2, 2, (1, 1), commit=3)
    assert subject.node.commit_index == 1


# 7 Log compaction


def _snapshot_meta(index: int, term: int) -> SnapshotMeta:
    return SnapshotMeta(index, term, Configuration((0, 1, 2)))


def test_7_leader_sends_a_snapshot_if_the_next_entry_is_gone() -> None:
    subject = Subject(*[1] * 10, snapshot=_snapshot_meta(8, 1), applied=8).become_leader()
    subject.receive(1, AppendRejected(subject.node.term, 10, 3, 1, 3))
    assert subject.wanted_snapshots() == [1]
    subject.node.send_snapshot(1, subject.node.snapshot_meta(8), b"state", subject.now_ms)
    subject.settle()
    assert to(1, subject.sent)[-1] == InstallSnapshot(2, _snapshot_meta(8, 1), 0, 5, b"state")


def test_7_snapshot_is_sent_in_chunks_one_after_the_other() -> None:
    subject = Subject(*[1] * 9, snapshot=_snapshot_meta(8, 1), applied=8, snapshot_chunk_bytes=2).become_leader()
    subject.receive(1, AppendRejected(2, 9, 3, 1, 3))
    subject.node.send_snapshot(1, _snapshot_meta(8, 1), b"state", subject.now_ms)
    subject.settle()
    for offset, data in ((2, b"at"), (4, b"e")):
        sent = subject.receive(1, SnapshotResponse(2, 8, offset))
        assert to(1, sent) == [InstallSnapshot(2, _snapshot_meta(8, 1), offset, 5, data)]
    sent = subject.receive(1, AppendAccepted(2, 8))
    assert [append.prev_index for append in only(AppendEntries, sent)] == [8]


def test_7_follower_installs_the_snapshot_once_complete_and_discards_its_log() -> None:
    subject = Subject(1, 1, 1)
    meta = _snapshot_meta(8, 2)
    assert to(1, subject.receive(1, InstallSnapshot(3, meta, 0, 5, b"st"))) == [SnapshotResponse(3, 8, 2)]
    assert subject.installs() == []
    assert to(1, subject.receive(1, InstallSnapshot(3, meta, 2, 5, b"ate"))) == [AppendAccepted(3, 8)]
    assert [(install.meta, install.data) for install in subject.installs()] == [(meta, b"state")]
    assert (subject.node.first_index, subject.node.last_index, subject.node.last_term) == (9, 8, 2)
    assert subject.append(1, 3, (8, 2), 3) == [AppendAccepted(3, 9)]


def test_7_chunk_out_of_order_is_asked_for_again() -> None:
    subject = Subject(1)
    meta = _snapshot_meta(8, 2)
    assert to(1, subject.receive(1, InstallSnapshot(3, meta, 2, 5, b"ate"))) == [SnapshotResponse(3, 8, 0)]
    subject.receive(1, InstallSnapshot(3, meta, 0, 5, b"st"))
    assert to(1, subject.receive(1, InstallSnapshot(3, meta, 0, 5, b"st"))) == [SnapshotResponse(3, 8, 2)]


def test_7_chunks_of_two_leaders_are_never_mixed() -> None:
    subject = Subject(1)
    subject.receive(1, InstallSnapshot(3, _snapshot_meta(8, 2), 0, 5, b"st"))
    answer = subject.receive(2, InstallSnapshot(4, _snapshot_meta(8, 2), 2, 5, b"ATE"))
    assert to(2, answer) == [SnapshotResponse(4, 8, 0)]


def test_7_snapshot_of_a_prefix_of_the_log_keeps_the_rest() -> None:
    subject = Subject(1, 1, 1)
    subject.receive(1, InstallSnapshot(2, _snapshot_meta(2, 1), 0, 5, b"state"))
    assert subject.installs() == []
    assert subject.terms() == [1, 1, 1]
    assert subject.node.commit_index == 2


def test_7_lost_chunk_is_repeated() -> None:
    subject = Subject(*[1] * 9, snapshot=_snapshot_meta(8, 1), applied=8, snapshot_chunk_bytes=2).become_leader()
    subject.receive(1, AppendRejected(2, 9, 3, 1, 3))
    subject.node.send_snapshot(1, _snapshot_meta(8, 1), b"state", subject.now_ms)
    subject.settle()
    subject.wait(HEARTBEAT_MS)
    round_number = only(Heartbeat, to(1, subject.sent))[-1].round
    sent = subject.receive(1, HeartbeatResponse(2, round_number, 0, 0, 0, None))
    assert [chunk.offset for chunk in only(InstallSnapshot, sent)] == [0]


def test_7_log_goes_on_behind_a_snapshot_after_a_restart() -> None:
    subject = Subject(1, 1, 1, 2, 2, snapshot=_snapshot_meta(3, 1), applied=3)
    assert (subject.node.first_index, subject.node.commit_index) == (4, 3)
    assert subject.append(1, 3, (5, 2), 3, commit=6) == [AppendAccepted(3, 6)]
    assert [entry.index for entry in subject.committed] == [4, 5, 6]


# 8 Client interaction


def test_8_leader_commits_an_entry_of_its_own_at_the_start_of_its_term() -> None:
    subject = Subject(1, 1).become_leader()
    assert subject.terms() == [1, 1, 2]
    assert not subject.node.leader_ready
    subject.acknowledge(1)
    assert subject.node.commit_index == 3
    assert subject.node.leader_ready


def test_8_first_entry_of_all_tells_the_configuration() -> None:
    subject = Subject().lead_with(1)
    assert [entry.kind for entry in subject.committed] == [EntryKind.CONFIGURATION]
    again = Subject(1).lead_with(1)
    assert again.committed[-1].kind is EntryKind.CONFIGURATION  # the log given holds none


# Figure 2: persistent state is updated on stable storage before answering


def test_figure_2_vote_is_not_sent_before_it_is_durable() -> None:
    subject = Subject(1)
    subject.hold_disk()
    assert subject.receive(1, VoteRequest(2, 1, 1)) == []
    assert subject.release_disk() == [(1, VoteResponse(2, True))]


def test_figure_2_candidate_asks_for_votes_once_its_own_is_durable() -> None:
    subject = Subject(1)
    subject.hold_disk()
    assert only(VoteRequest, subject.become_candidate()) == []
    subject.receive(1, VoteResponse(2, True))
    assert subject.roles()[-1] is Role.CANDIDATE
    assert len(only(VoteRequest, subject.release_disk())) == 2
    assert subject.roles()[-1] is Role.LEADER


def test_figure_2_append_is_acknowledged_once_it_is_durable() -> None:
    subject = Subject(term=1)
    subject.receive(1, Heartbeat(1, 0, 1))
    subject.hold_disk()
    assert subject.append(1, 1, (0, 0), 1, 1) == []
    assert subject.append(1, 1, (0, 0), 1) == []
    assert [message.index for message in only(AppendAccepted, subject.release_disk())] == [2, 1]


def test_figure_2_what_was_truncated_while_being_written_does_not_count_as_durable() -> None:
    subject = Subject(1, term=1)
    subject.receive(1, Heartbeat(1, 0, 1))
    subject.hold_disk()
    subject.append(1, 1, (1, 1), 1, 1, 1)
    first_ticket = subject.outputs[-1].ticket
    subject.append(2, 2, (2, 1), 2)
    subject.node.persisted(first_ticket, subject.now_ms)
    assert subject.node.durable_index == 2
    assert only(AppendAccepted, subject.release_disk()) == [AppendAccepted(2, 3)]
    assert subject.node.durable_index == 3


def test_figure_2_promises_of_a_term_that_is_over_are_dropped() -> None:
    subject = Subject(1)
    subject.hold_disk()
    subject.receive(1, VoteRequest(2, 1, 1))
    subject.receive(2, VoteRequest(3, 1, 1))
    assert subject.release_disk() == [(2, VoteResponse(3, True))]


def test_committed_entries_wait_for_the_own_disk_too() -> None:
    subject = Subject(term=1)
    subject.receive(1, Heartbeat(1, 0, 1))
    subject.hold_disk()
    subject.append(1, 1, (0, 0), 1, 1, commit=2)
    assert (subject.node.commit_index, subject.committed) == (2, [])
    subject.release_disk()
    assert subject.committed == log_of(1, 1)


def test_entries_are_given_out_to_be_written_once() -> None:
    subject = Subject(term=1)
    subject.append(1, 1, (0, 0), 1, 1)
    subject.append(1, 1, (0, 0), 1, 1, 1)
    assert [[entry.index for entry in output.entries] for output in subject.outputs if output.entries] == [[1, 2], [3]]


# Limits


def test_proposals_beyond_the_limit_of_uncommitted_bytes_are_refused() -> None:
    subject = Subject(uncommitted_bytes_max=2 * ENTRY_OVERHEAD_BYTES + 10).lead_with(1)
    subject.node.propose([b"12345678"], subject.now_ms)
    with pytest.raises(Busy):
        subject.node.propose([b"901"], subject.now_ms)
    subject.settle()
    subject.acknowledge(1)
    subject.node.propose([b"901"], subject.now_ms)


def test_one_proposal_may_be_larger_than_the_limit() -> None:
    subject = Subject(uncommitted_bytes_max=10).become_leader()
    subject.node.propose([b"x" * 100], subject.now_ms)


def test_pre_vote_request_names_the_log_it_would_stand_with() -> None:
    subject = Subject(1, 4)
    assert only(PreVoteRequest, subject.time_out())[0] == PreVoteRequest(5, 2, 4, 0)
