"""What the Raft dissertation adds to the paper, section by section, and what we promise beside it."""

import pytest

from services.oned_lite.raft import (
    AddLearner,
    Busy,
    Configuration,
    MembershipRefused,
    Message,
    NotLeader,
    Promote,
    Remove,
    Role,
    SnapshotMeta,
)
from services.oned_lite.raft.messages import (
    AppendAccepted,
    AppendEntries,
    AppendRejected,
    CommitNotice,
    Diverged,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshot,
    PreVoteRequest,
    PreVoteResponse,
    StaleTerm,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
    Welcome,
)

from .subject import ELECTION_TIMEOUT_MS, HEARTBEAT_MS, Subject, only, to

# 3.10 Leadership transfer


def test_3_10_target_is_told_to_campaign_once_it_has_everything() -> None:
    subject = Subject().lead_with(1, 2)
    subject.node.propose([b"last"], subject.now_ms)
    assert subject.node.transfer_leadership(2, subject.now_ms)
    subject.settle()
    assert only(TimeoutNow, subject.sent) == []
    subject.acknowledge(1)
    assert only(TimeoutNow, subject.sent) == []
    subject.acknowledge(2)
    assert only(TimeoutNow, to(2, subject.sent)) == [TimeoutNow(subject.node.term)]


def test_3_10_without_a_name_the_most_advanced_server_takes_over() -> None:
    subject = Subject(voters=range(5)).lead_with(1, 2)
    subject.node.propose([b"last"], subject.now_ms)
    subject.settle()
    subject.acknowledge(2, 3)
    subject.node.transfer_leadership(None, subject.now_ms)
    subject.settle()
    assert [peer for peer, message in subject.sent if isinstance(message, TimeoutNow)] == [2]


def test_3_10_no_proposals_during_a_transfer_which_ends_in_time() -> None:
    subject = Subject().lead_with(1, 2)
    subject.node.propose([b"missing there"], subject.now_ms)
    subject.node.transfer_leadership(2, subject.now_ms)
    with pytest.raises(Busy):
        subject.node.propose([b"x"], subject.now_ms)
    for _ in range(ELECTION_TIMEOUT_MS // HEARTBEAT_MS):
        subject.wait(HEARTBEAT_MS)
        subject.answer_heartbeat(1, 2)
    subject.node.propose([b"x"], subject.now_ms)


@pytest.mark.parametrize("target", [0, 3, 7])
def test_3_10_only_another_voter_can_take_over(target: int) -> None:
    subject = Subject(learners=(3,)).lead_with(1, 2)
    assert not subject.node.transfer_leadership(target, subject.now_ms)
    subject.node.propose([b"x"], subject.now_ms)


def test_3_10_target_campaigns_at_once_and_says_that_it_may() -> None:
    subject = Subject(1, term=1)
    subject.receive(2, Heartbeat(1, 0, 1))
    sent = subject.receive(2, TimeoutNow(1))
    assert only(VoteRequest, sent)[0] == VoteRequest(2, 1, 1, transfer=True)


def test_3_10_voters_that_hear_the_old_leader_still_vote_for_its_successor() -> None:
    subject = Subject(1, term=1)
    subject.receive(2, Heartbeat(1, 0, 1))
    assert subject.receive(1, VoteRequest(2, 1, 1, transfer=True)) == [(1, VoteResponse(2, True))]


def test_3_10_late_hand_over_of_an_old_term_is_refused() -> None:
    subject = Subject(1, 3)
    assert subject.receive(2, TimeoutNow(2)) == [(2, StaleTerm(3))]
    assert subject.node.role is Role.FOLLOWER


def test_a_leader_whose_disk_stalls_hands_over() -> None:
    subject = Subject(persist_stall_ms=500).lead_with(1, 2)
    subject.hold_disk()
    subject.node.propose([b"x"], subject.now_ms)
    subject.settle()
    subject.acknowledge(1, 2)
    assert subject.committed[-1].data != b"x"
    for _ in range(7):
        subject.wait(HEARTBEAT_MS)
        subject.answer_heartbeat(1, 2)
    assert only(TimeoutNow, subject.sent)


def test_a_leader_whose_disk_stalls_and_whom_nobody_can_succeed_does_not_keep_its_writers_waiting() -> None:
    subject = Subject(persist_stall_ms=500).lead_with(1, 2)
    subject.hold_disk()
    index = subject.node.propose([b"x"], subject.now_ms)
    subject.settle()
    for _ in range((500 + ELECTION_TIMEOUT_MS) // HEARTBEAT_MS + 2):
        subject.wait(HEARTBEAT_MS)
        subject.answer_heartbeat(1)
    assert subject.node.role is Role.FOLLOWER
    assert subject.dropped() == [index]


# 4.1 Single-server changes


def test_4_1_new_configuration_is_in_force_as_soon_as_it_is_in_the_log() -> None:
    subject = Subject().lead_with(1, 2)
    index = subject.node.change_membership(Remove(2), subject.now_ms)
    assert subject.node.configuration == Configuration((0, 1))
    subject.settle()
    subject.acknowledge(2)
    assert subject.node.commit_index < index
    subject.acknowledge(1)
    assert subject.node.commit_index == index


def test_4_1_follower_goes_back_to_the_old_configuration_if_the_entry_is_overwritten() -> None:
    leader = Subject().lead_with(1, 2)
    leader.node.change_membership(Remove(2), leader.now_ms)
    leader.settle()
    follower = Subject(server_id=1)
    for message in only(AppendEntries, to(1, leader.sent)):
        follower.receive(0, message)
    assert follower.node.configuration == Configuration((0, 1))
    follower.append(2, 9, (1, leader.node.term), 9)
    assert follower.node.configuration == Configuration((0, 1, 2))


def test_4_1_changes_do_not_overlap() -> None:
    subject = Subject(voters=range(4)).lead_with(1, 2, 3)
    subject.node.change_membership(Remove(2), subject.now_ms)
    with pytest.raises(MembershipRefused, match="previous change"):
        subject.node.change_membership(Remove(3), subject.now_ms)
    subject.settle()
    subject.acknowledge(1, 3)
    subject.node.change_membership(Remove(3), subject.now_ms)


def test_4_1_no_change_before_an_entry_of_the_own_term_is_committed() -> None:
    """The bug of 2015: two leaders in turn could each commit a change that the other's majority does not see."""
    subject = Subject(1, 1).become_leader()
    subject.receive(1, AppendAccepted(subject.node.term, 2))
    with pytest.raises(MembershipRefused, match="own term"):
        subject.node.change_membership(Remove(2), subject.now_ms)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (AddLearner(1), "member already"),
        (AddLearner(-1), "no valid id"),
        (Promote(7), "not caught up"),
        (Remove(7), "not a member"),
    ],
)
def test_4_1_meaningless_changes_are_refused(change: AddLearner | Promote | Remove, reason: str) -> None:
    subject = Subject().lead_with(1, 2)
    with pytest.raises(MembershipRefused, match=reason):
        subject.node.change_membership(change, subject.now_ms)


def test_4_1_last_voter_cannot_be_removed() -> None:
    subject = Subject(voters=(0,))
    with pytest.raises(MembershipRefused, match="last voter"):
        subject.node.change_membership(Remove(0), subject.now_ms)


def test_4_1_change_that_leaves_no_working_majority_is_refused() -> None:
    subject = Subject().lead_with(1)
    with pytest.raises(MembershipRefused, match="1 of the 2"):
        subject.node.change_membership(Remove(1), subject.now_ms)
    subject.node.change_membership(Remove(2), subject.now_ms)


# 4.2 Availability


def test_4_2_1_learner_is_promoted_only_when_caught_up() -> None:
    subject = Subject(*[1] * 100, append_entries_max=10).lead_with(1, 2)
    subject.node.change_membership(AddLearner(3), subject.now_ms)
    subject.settle()
    subject.acknowledge(1, 2)
    subject.receive(3, AppendAccepted(subject.node.term, 50))
    assert not subject.node.learner_ready(3)
    with pytest.raises(MembershipRefused, match="not caught up"):
        subject.node.change_membership(Promote(3), subject.now_ms)
    subject.receive(3, AppendAccepted(subject.node.term, 98))
    assert subject.node.learner_ready(3)
    subject.node.change_membership(Promote(3), subject.now_ms)
    assert subject.node.configuration == Configuration((0, 1, 2, 3))


def test_4_2_1_silent_learner_is_not_ready() -> None:
    subject = Subject().lead_with(1, 2)
    subject.node.change_membership(AddLearner(3), subject.now_ms)
    subject.settle()
    subject.acknowledge(1, 2, 3)
    assert subject.node.learner_ready(3)
    for _ in range(ELECTION_TIMEOUT_MS // HEARTBEAT_MS + 1):
        subject.wait(HEARTBEAT_MS)
        subject.answer_heartbeat(1, 2)
    assert not subject.node.learner_ready(3)


@pytest.mark.parametrize("voters", [(1, 2), ()])
def test_4_2_1_only_voters_campaign(voters: tuple[int, ...]) -> None:
    subject = Subject(1, voters=voters, learners=(0,))
    assert subject.wait(10 * ELECTION_TIMEOUT_MS) == []
    assert subject.node.role is Role.FOLLOWER


def test_4_2_2_leader_that_removes_itself_leads_until_that_is_committed_and_then_leaves() -> None:
    subject = Subject().lead_with(1, 2)
    subject.node.change_membership(Remove(0), subject.now_ms)
    subject.settle()
    subject.acknowledge(1)
    assert subject.roles()[-1] is Role.LEADER
    subject.acknowledge(2)
    assert subject.roles()[-1] is Role.FOLLOWER
    assert subject.node.removed
    assert only(TimeoutNow, subject.sent)
    subject.sent.clear()
    assert subject.wait(10 * ELECTION_TIMEOUT_MS) == []


def test_4_2_2_server_may_complete_its_own_removal() -> None:
    """The entry that removes it may have reached nobody else, whose logs are then too short to be elected."""
    leader = Subject(voters=range(4)).lead_with(1, 2, 3)
    leader.node.change_membership(Remove(3), leader.now_ms)
    leader.settle()
    removed = Subject(server_id=3, voters=range(4))
    for message in only(AppendEntries, to(3, leader.sent)):
        removed.receive(0, message)
    removed.become_leader()
    removed.acknowledge(1, 2)
    assert removed.node.removed
    assert removed.roles()[-1] is Role.FOLLOWER


def test_4_2_3_removed_server_hears_of_it_from_the_leader() -> None:
    subject = Subject().lead_with(1, 2)
    index = subject.node.change_membership(Remove(2), subject.now_ms)
    subject.settle()
    subject.acknowledge(1)
    subject.acknowledge(2)
    sent = subject.wait(HEARTBEAT_MS)
    assert only(Heartbeat, to(2, sent))[0].commit == index
    heartbeat = only(Heartbeat, to(2, subject.sent))[-1]
    subject.receive(2, HeartbeatResponse(subject.node.term, heartbeat.round, index, index, index, None))
    subject.answer_heartbeat(1)
    assert to(2, subject.wait(2 * HEARTBEAT_MS)) == []


def test_4_2_3_removed_server_that_missed_it_learns_when_it_asks_for_votes() -> None:
    subject = Subject().lead_with(1, 2)
    subject.node.change_membership(Remove(2), subject.now_ms)
    subject.settle()
    subject.acknowledge(1)
    answers = only(PreVoteResponse, subject.receive(2, PreVoteRequest(subject.node.term + 1, 1, 1, 1)))
    assert [answer.removed for answer in answers] == [True]

    quiet = Subject(1, server_id=2)
    quiet.time_out()
    quiet.receive(0, answers[0])
    assert quiet.node.removed
    assert quiet.wait(10 * ELECTION_TIMEOUT_MS) == []


def test_4_2_3_server_added_again_takes_part_again() -> None:
    subject = Subject(1, server_id=2)
    subject.time_out()
    subject.receive(0, PreVoteResponse(1, False, removed=True))
    subject.receive(0, Heartbeat(1, 0, 1))
    assert not subject.node.removed
    assert only(PreVoteRequest, subject.wait(2 * ELECTION_TIMEOUT_MS))


def test_4_2_3_vote_request_is_ignored_while_a_leader_is_heard() -> None:
    subject = Subject(1, term=1)
    subject.receive(1, Heartbeat(1, 0, 1))
    subject.wait(ELECTION_TIMEOUT_MS - 1)
    assert subject.receive(2, VoteRequest(7, 9, 9)) == []
    assert subject.node.term == 1
    subject.wait(1)
    assert subject.receive(2, VoteRequest(7, 9, 9)) == [(2, VoteResponse(7, True))]


def test_4_2_3_leader_is_not_disturbed_by_vote_requests() -> None:
    subject = Subject(1).lead_with(1, 2)
    assert subject.receive(2, VoteRequest(9, 99, 9)) == []
    assert subject.node.role is Role.LEADER


def test_4_2_3_strangers_cannot_end_a_leadership() -> None:
    subject = Subject(1).lead_with(1, 2)
    subject.receive(7, StaleTerm(99))
    assert subject.node.role is Role.LEADER


# 6.2 and 9.6 Check-quorum and pre-vote


def test_6_2_leader_without_a_majority_steps_down_and_says_so() -> None:
    subject = Subject(voters=range(5)).lead_with(1, 2)
    subject.node.read_index(7, subject.now_ms)
    index = subject.node.propose([b"a", b"b"], subject.now_ms)
    for _ in range(ELECTION_TIMEOUT_MS // HEARTBEAT_MS - 1):
        subject.wait(HEARTBEAT_MS)
        subject.receive(1, StaleTerm(subject.node.term))
    assert subject.roles()[-1] is Role.LEADER
    subject.wait(HEARTBEAT_MS)
    assert Role.FOLLOWER in subject.roles()[-2:]
    assert subject.dropped() == [index, index + 1]
    assert subject.failed_reads() == [7]


def test_6_2_leader_that_hears_a_majority_stays() -> None:
    subject = Subject(voters=range(5)).lead_with(1, 2)
    for _ in range(50):
        subject.wait(HEARTBEAT_MS)
        subject.answer_heartbeat(1, 2)
    assert subject.node.role is Role.LEADER


def test_6_2_learners_are_no_majority() -> None:
    subject = Subject(learners=(3, 4)).lead_with(1, 2)
    for _ in range(ELECTION_TIMEOUT_MS // HEARTBEAT_MS):
        subject.wait(HEARTBEAT_MS)
        subject.answer_heartbeat(3, 4)
    assert subject.node.role is not Role.LEADER


def test_9_6_server_without_a_majority_does_not_raise_its_term() -> None:
    subject = Subject(1, term=1)
    subject.wait(100 * ELECTION_TIMEOUT_MS)
    assert subject.node.term == 1
    assert only(VoteRequest, subject.sent) == []


def test_9_6_asking_changes_nothing_at_the_asked() -> None:
    subject = Subject(1, term=1)
    assert subject.receive(1, PreVoteRequest(2, 1, 1, 0)) == [(1, PreVoteResponse(2, True))]
    assert subject.receive(2, PreVoteRequest(2, 1, 1, 0)) == [(2, PreVoteResponse(2, True))]
    assert (subject.node.term, subject.node.vote) == (1, None)
    assert subject.hard_states() == []


def test_9_6_pre_vote_is_refused_while_a_leader_is_heard() -> None:
    subject = Subject(1, term=1)
    subject.receive(1, Heartbeat(1, 0, 1))
    assert only(PreVoteResponse, subject.receive(2, PreVoteRequest(2, 9, 1, 0))) == [PreVoteResponse(1, False)]
    leader = Subject(1).lead_with(1, 2)
    assert only(PreVoteResponse, leader.receive(2, PreVoteRequest(9, 9, 9, 0))) == [PreVoteResponse(2, False)]


def test_9_6_pre_vote_is_refused_to_a_log_that_could_not_win() -> None:
    subject = Subject(1, 2)
    assert only(PreVoteResponse, subject.receive(2, PreVoteRequest(3, 5, 1, 0))) == [PreVoteResponse(2, False)]


def test_9_6_asker_with_an_old_term_catches_up_with_it() -> None:
    subject = Subject(1, term=1)
    subject.time_out()
    subject.receive(1, PreVoteResponse(5, False))
    assert (subject.node.term, subject.node.role) == (5, Role.FOLLOWER)


def test_9_6_of_two_that_ask_at_once_one_stands_aside() -> None:
    first, second = Subject(1, server_id=0), Subject(1, server_id=1)
    asks_first, asks_second = only(PreVoteRequest, first.time_out())[0], only(PreVoteRequest, second.time_out())[0]
    first.receive(1, asks_second)
    second.receive(0, asks_first)
    assert (first.node.role, second.node.role) == (Role.PRE_CANDIDATE, Role.FOLLOWER)


# 6.4 Linearizable reads


def test_6_4_read_waits_for_a_majority_to_answer_a_later_heartbeat() -> None:
    subject = Subject(voters=range(5)).lead_with(1, 2)
    subject.answer_heartbeat(1, 2)
    subject.node.read_index(7, subject.now_ms)
    subject.settle()
    assert subject.reads == []
    subject.answer_heartbeat(1)
    assert subject.reads == []
    subject.answer_heartbeat(2)
    assert [(read.context, read.index) for read in subject.reads] == [(7, 1)]


def test_6_4_answer_to_an_earlier_heartbeat_confirms_nothing() -> None:
    subject = Subject().lead_with(1, 2)
    earlier = only(Heartbeat, to(1, subject.sent))[-1].round
    subject.answer_heartbeat(1, 2)
    subject.node.read_index(7, subject.now_ms)
    subject.settle()
    subject.receive(2, HeartbeatResponse(subject.node.term, earlier, 1, 1, 0, None))
    assert subject.reads == []


def test_6_4_read_waits_for_an_entry_of_the_own_term() -> None:
    subject = Subject(1, 1, applied=1).become_leader()
    subject.node.read_index(7, subject.now_ms)
    subject.settle()
    subject.answer_heartbeat(1, 2)
    subject.answer_heartbeat(1, 2)
    assert subject.reads == []
    subject.acknowledge(1)
    assert [(read.context, read.index) for read in subject.reads] == [(7, 3)]


def test_6_4_read_waits_until_its_index_is_applied() -> None:
    subject = Subject().lead_with(1, 2)
    subject.answer_heartbeat(1, 2)
    subject.hold_disk()
    index = subject.node.propose([b"x"], subject.now_ms)
    subject.settle()
    subject.acknowledge(1, 2)
    subject.node.read_index(7, subject.now_ms)
    subject.settle()
    subject.answer_heartbeat(1, 2)
    assert (subject.node.commit_index, subject.reads) == (index, [])
    subject.release_disk()
    assert [(read.context, read.index) for read in subject.reads] == [(7, index)]


def test_6_4_many_reads_share_a_heartbeat_round() -> None:
    subject = Subject().lead_with(1, 2)
    subject.answer_heartbeat(1, 2)
    before = len(only(Heartbeat, to(1, subject.sent)))
    for context in range(100):
        subject.node.read_index(context, subject.now_ms)
    subject.settle()
    assert len(only(Heartbeat, to(1, subject.sent))) == before + 1
    subject.answer_heartbeat(1)
    assert [read.context for read in subject.reads] == list(range(100))


def test_6_4_followers_refuse_reads() -> None:
    with pytest.raises(NotLeader):
        Subject().node.read_index(1, 0)


def test_6_4_leader_that_wakes_from_a_long_pause_steps_down_before_it_answers() -> None:
    subject = Subject().lead_with(1, 2)
    subject.answer_heartbeat(1, 2)
    subject.node.read_index(7, subject.now_ms)
    subject.settle()
    subject.jump(10 * ELECTION_TIMEOUT_MS)
    subject.answer_heartbeat(1)
    assert subject.reads == []
    assert subject.failed_reads() == [7]


# 10.2 Writing and sending in parallel


def test_10_2_1_leader_sends_while_it_writes() -> None:
    subject = Subject().lead_with(1, 2)
    subject.hold_disk()
    index = subject.node.propose([b"x"], subject.now_ms)
    subject.settle()
    assert only(AppendEntries, to(1, subject.sent))[-1].entries[-1].index == index


def test_10_2_1_own_copy_counts_once_it_is_durable() -> None:
    subject = Subject().lead_with(1, 2)
    subject.hold_disk()
    index = subject.node.propose([b"x"], subject.now_ms)
    subject.settle()
    subject.acknowledge(1)
    assert subject.node.commit_index == index - 1
    subject.release_disk()
    assert subject.node.commit_index == index


def test_10_2_1_entry_may_commit_without_the_leaders_disk() -> None:
    subject = Subject().lead_with(1, 2)
    subject.hold_disk()
    index = subject.node.propose([b"x"], subject.now_ms)
    subject.settle()
    subject.acknowledge(1, 2)
    assert subject.node.commit_index == index


def test_10_2_2_appends_are_pipelined_within_a_window() -> None:
    subject = Subject(inflight_max=3).lead_with(1, 2)
    before = len(only(AppendEntries, to(1, subject.sent)))
    for _ in range(10):
        subject.node.propose([b"x"], subject.now_ms)
        subject.settle()
    assert len(only(AppendEntries, to(1, subject.sent))) == before + 3
    sent = subject.receive(1, AppendAccepted(subject.node.term, 2))
    assert only(AppendEntries, sent)[-1].entries[-1].index == subject.node.last_index


def test_proposals_between_two_takes_travel_together() -> None:
    subject = Subject().lead_with(1, 2)
    before = len(only(AppendEntries, to(1, subject.sent)))
    for _ in range(10):
        subject.node.propose([b"x"], subject.now_ms)
    subject.settle()
    assert [len(append.entries) for append in only(AppendEntries, to(1, subject.sent))[before:]] == [10]


def test_an_append_keeps_to_its_limits() -> None:
    subject = Subject(append_entries_max=4, append_bytes_max=200).lead_with(1, 2)
    before = len(only(AppendEntries, to(1, subject.sent)))
    subject.node.propose([b"x"] * 6 + [b"y" * 100] * 2 + [b"z" * 1000], subject.now_ms)
    subject.settle()
    assert [len(append.entries) for append in only(AppendEntries, to(1, subject.sent))[before:]] == [4, 3, 1, 1]


def test_a_slow_peer_does_not_slow_the_others() -> None:
    subject = Subject(inflight_max=2).lead_with(1, 2)
    for _ in range(50):
        index = subject.node.propose([b"x"], subject.now_ms)
        subject.settle()
        subject.acknowledge(1)
        assert subject.node.commit_index == index


def test_idle_followers_hear_of_a_commit_at_once() -> None:
    subject = Subject().lead_with(1, 2)
    index = subject.node.propose([b"x"], subject.now_ms)
    subject.settle()
    subject.acknowledge(1)
    assert to(1, subject.sent)[-1] == CommitNotice(subject.node.term, index)
    follower = Subject(server_id=1)
    for message in to(1, subject.sent):
        follower.receive(0, message)
    assert follower.node.commit_index == index


def test_lost_append_is_noticed_by_the_next_heartbeat() -> None:
    subject = Subject().lead_with(1, 2)
    subject.answer_heartbeat(1)
    index = subject.node.propose([b"x"], subject.now_ms)
    subject.settle()
    subject.wait(HEARTBEAT_MS)
    round_number = only(Heartbeat, to(1, subject.sent))[-1].round
    answer = HeartbeatResponse(subject.node.term, round_number, index - 1, index - 1, 0, None)
    sent = subject.receive(1, answer)
    assert [append.prev_index for append in only(AppendEntries, to(1, sent))] == [index - 1]


def test_lost_acknowledgement_is_made_up_for_by_the_next_heartbeat() -> None:
    subject = Subject().lead_with(1, 2)
    index = subject.node.propose([b"x"], subject.now_ms)
    subject.wait(HEARTBEAT_MS)
    round_number = only(Heartbeat, to(1, subject.sent))[-1].round
    subject.receive(1, HeartbeatResponse(subject.node.term, round_number, index, index, 0, None))
    assert subject.node.commit_index == index


def test_restarted_follower_is_asked_again_where_it_stands() -> None:
    """It cannot commit anything until an append tells it what of its log is the leader's."""
    subject = Subject().lead_with(1, 2)
    subject.wait(HEARTBEAT_MS)
    round_number = only(Heartbeat, to(1, subject.sent))[-1].round
    sent = subject.receive(1, HeartbeatResponse(subject.node.term, round_number, 0, 0, 0, None))
    assert [(append.prev_index, append.entries) for append in only(AppendEntries, to(1, sent))] == [(1, ())]


# Single server


def test_a_single_server_leads_as_soon_as_its_vote_is_durable() -> None:
    subject = Subject(1, voters=(0,))
    assert subject.now_ms == 0
    assert subject.node.role is Role.LEADER
    assert subject.node.leader_ready


def test_a_single_server_commits_what_is_on_its_disk_and_reads_at_once() -> None:
    subject = Subject(voters=(0,))
    subject.hold_disk()
    index = subject.node.propose([b"x"], subject.now_ms)
    subject.settle()
    assert subject.node.commit_index == index - 1
    subject.release_disk()
    assert subject.node.commit_index == index
    subject.node.read_index(7, subject.now_ms)
    subject.settle()
    assert [read.context for read in subject.reads] == [7]


# Closed connections


def test_closed_connection_of_the_leader_starts_an_election_at_once() -> None:
    subject = Subject(1)
    subject.receive(1, Heartbeat(2, 0, 1))
    subject.node.peer_disconnected(1, subject.now_ms)
    assert subject.node.leader_id is None
    assert only(PreVoteRequest, subject.wait(HEARTBEAT_MS))


def test_who_saw_the_connection_close_no_longer_protects_the_leader() -> None:
    subject = Subject(1)
    subject.receive(1, Heartbeat(2, 0, 1))
    subject.node.peer_disconnected(1, subject.now_ms)
    assert only(PreVoteResponse, subject.receive(2, PreVoteRequest(3, 1, 1, 0))) == [PreVoteResponse(3, True)]


def test_closed_connection_of_another_follower_means_nothing() -> None:
    subject = Subject(1)
    subject.receive(1, Heartbeat(2, 0, 1))
    subject.node.peer_disconnected(2, subject.now_ms)
    assert subject.node.leader_id == 1
    assert subject.wait(HEARTBEAT_MS) == []


def test_leader_probes_again_over_a_new_connection() -> None:
    subject = Subject().lead_with(1, 2)
    subject.node.propose([b"lost"], subject.now_ms)
    subject.settle()
    subject.node.peer_disconnected(1, subject.now_ms)
    subject.settle()
    subject.sent.clear()
    subject.node.peer_connected(1)
    subject.settle()
    assert [append.prev_index for append in only(AppendEntries, to(1, subject.sent))] == [1]


# Failing disks


@pytest.mark.parametrize(
    "message", [VoteRequest(5, 9, 9), PreVoteRequest(5, 9, 9, 0), AppendEntries(1, 1, 1, 0), Heartbeat(1, 0, 1)]
)
def test_server_whose_write_failed_neither_votes_nor_answers_nor_campaigns(message: Message) -> None:
    subject = Subject(1)
    subject.node.persist_failed(subject.now_ms)
    assert subject.receive(1, message) == []
    assert subject.wait(10 * ELECTION_TIMEOUT_MS) == []
    assert subject.node.failed


def test_leader_whose_write_failed_hands_over_and_gives_up() -> None:
    subject = Subject().lead_with(1, 2)
    index = subject.node.propose([b"x"], subject.now_ms)
    subject.node.persist_failed(subject.now_ms)
    subject.settle()
    assert subject.node.role is Role.FOLLOWER
    assert only(TimeoutNow, subject.sent)
    assert subject.dropped() == [index]
    assert all(not output.entries for output in subject.outputs[-1:])


def test_what_waited_for_a_failed_write_is_never_sent() -> None:
    subject = Subject(1)
    subject.hold_disk()
    subject.receive(1, VoteRequest(2, 1, 1))
    subject.node.persist_failed(subject.now_ms)
    assert subject.release_disk() == []


# Lost disks


def test_server_with_nothing_does_not_vote_for_one_with_something() -> None:
    """It may have acknowledged entries before it lost its disk that this candidate lacks."""
    subject = Subject()
    assert subject.receive(1, VoteRequest(7, 5, 3)) == []
    assert only(PreVoteResponse, subject.receive(1, PreVoteRequest(7, 5, 3, 0))) == [PreVoteResponse(0, False)]
    subject.time_out()
    subject.receive(1, PreVoteResponse(7, False))
    assert subject.node.term == 0


def test_founding_servers_vote_for_each_other() -> None:
    assert Subject().receive(1, VoteRequest(1, 0, 0)) == [(1, VoteResponse(1, True))]


def test_following_a_leader_uses_up_the_vote_of_its_term() -> None:
    subject = Subject()
    subject.receive(1, Heartbeat(7, 0, 1))
    subject.node.peer_disconnected(1, subject.now_ms)
    assert subject.receive(2, VoteRequest(7, 9, 9)) == [(2, VoteResponse(7, False))]


def test_follower_that_lost_its_disk_is_filled_again() -> None:
    subject = Subject(1, 1).lead_with(1, 2)
    subject.wait(HEARTBEAT_MS)
    follower = Subject(server_id=1)
    for _ in range(5):
        subject.sent.clear()
        subject.wait(HEARTBEAT_MS)
        seen = 0
        while seen < len(subject.sent):
            receiver, message = subject.sent[seen]
            seen += 1
            if receiver == 1:
                for _, answer in follower.receive(0, message):
                    subject.receive(1, answer)
    assert follower.terms() == subject.terms()


def test_server_that_was_given_some_entries_again_votes_for_nobody_and_does_not_campaign() -> None:
    subject = Subject(server_id=0)
    subject.receive(1, Heartbeat(7, 5, 1))
    assert only(AppendAccepted, subject.append(1, 7, (0, 0), 1, 1, commit=5)) == [AppendAccepted(7, 2, emptied=True)]
    assert subject.hard_states()[-1].emptied
    subject.node.peer_disconnected(1, subject.now_ms)
    assert subject.receive(2, VoteRequest(8, 9, 9)) == []
    assert only(PreVoteRequest, subject.wait(5 * ELECTION_TIMEOUT_MS)) == []


def test_founding_server_that_hears_of_no_commit_takes_part_at_once() -> None:
    subject = Subject()
    assert only(AppendAccepted, subject.append(1, 1, (0, 0), 1)) == [AppendAccepted(1, 1)]
    assert not subject.node.emptied


def test_server_counts_again_once_its_log_says_that_it_only_learns() -> None:
    subject = Subject()
    subject.append(1, 7, (0, 0), 1, 1, commit=5)
    subject.receive(1, Welcome(7, 3))
    assert subject.node.emptied
    subject.append(1, 7, (2, 1), 7)
    subject.receive(1, Welcome(7, 3))
    assert not subject.node.emptied
    assert not subject.hard_states()[-1].emptied


def emptied(subject: Subject, peer: int) -> None:
    """`peer` answers the latest heartbeat with a log as long as the leader's, and says that it had lost its disk."""
    rounds = [message.round for message in only(Heartbeat, to(peer, subject.sent))]
    last_index = subject.node.last_index
    answer = HeartbeatResponse(subject.node.term, rounds[-1], last_index, last_index, 0, None, emptied=True)
    subject.receive(peer, answer)


def test_copies_of_a_server_that_lost_its_disk_do_not_count() -> None:
    subject = Subject(voters=range(5)).lead_with(1, 2)
    index = subject.node.propose([b"x"], subject.now_ms)
    subject.settle()
    subject.receive(1, AppendAccepted(subject.node.term, index, emptied=True))
    subject.receive(2, AppendAccepted(subject.node.term, index))
    assert subject.node.commit_index < index
    late = subject.node.propose([b"y"], subject.now_ms)
    subject.settle()
    subject.receive(1, AppendAccepted(subject.node.term, late))
    assert subject.node.commit_index < index, "an answer from before it lost its disk"
    subject.receive(3, AppendAccepted(subject.node.term, index))
    assert subject.node.commit_index == index


def test_server_that_lost_its_disk_is_not_counted_on_whatever_it_answers_first() -> None:
    subject = Subject(voters=range(4)).lead_with(1, 2)
    subject.receive(3, AppendRejected(subject.node.term, subject.node.last_index, 0, 0, 0, emptied=True))
    for _ in range(ELECTION_TIMEOUT_MS // HEARTBEAT_MS // 2):
        subject.wait(HEARTBEAT_MS)
    assert subject.node.configuration == Configuration((0, 1, 2), (3,)), "it learns again"


def test_server_that_lost_its_disk_confirms_no_read() -> None:
    subject = Subject(voters=range(5)).lead_with(1, 2)
    subject.answer_heartbeat(1, 2)
    subject.node.read_index(7, subject.now_ms)
    subject.settle()
    emptied(subject, 1)
    subject.answer_heartbeat(2)
    assert subject.reads == []
    subject.answer_heartbeat(3)
    assert [read.context for read in subject.reads] == [7]


def test_leader_that_hears_only_servers_that_lost_their_disks_steps_down() -> None:
    subject = Subject().lead_with(1, 2)
    for _ in range(ELECTION_TIMEOUT_MS // HEARTBEAT_MS + 1):
        subject.wait(HEARTBEAT_MS)
        if subject.node.role is Role.LEADER:
            emptied(subject, 1)
    assert subject.node.role is Role.FOLLOWER


def test_voter_that_lost_its_disk_is_made_a_learner_and_told_once_that_is_committed() -> None:
    subject = Subject().lead_with(1, 2)
    emptied(subject, 1)
    subject.wait(HEARTBEAT_MS)
    assert subject.node.configuration == Configuration((0, 2), (1,))
    assert only(Welcome, subject.sent) == []
    emptied(subject, 1)
    assert not subject.node.learner_ready(1)
    subject.wait(HEARTBEAT_MS)
    assert only(Welcome, subject.sent) == []
    subject.acknowledge(2)
    subject.wait(HEARTBEAT_MS)
    assert only(Welcome, to(1, subject.sent)) == [Welcome(subject.node.term, subject.node.last_index)]
    subject.receive(1, AppendAccepted(subject.node.term, subject.node.last_index))
    assert subject.node.learner_ready(1)


# Comparing states


def test_follower_whose_state_differs_is_named_and_told() -> None:
    subject = Subject().lead_with(1, 2)
    subject.wait(HEARTBEAT_MS)
    round_number = only(Heartbeat, to(1, subject.sent))[-1].round
    subject.receive(1, HeartbeatResponse(subject.node.term, round_number, 1, 1, 1, 666))
    subject.receive(2, HeartbeatResponse(subject.node.term, round_number, 1, 1, 1, 1))
    sent = subject.wait(HEARTBEAT_MS)
    assert only(Diverged, to(1, sent)) == [Diverged(subject.node.term, 1, 1)]
    assert [(found.server_id, found.expected, found.actual) for found in subject.diverged] == [(1, 1, 666)]
    assert only(Diverged, subject.wait(HEARTBEAT_MS)) == []


def test_leader_contradicted_by_a_majority_is_the_one_who_is_wrong() -> None:
    subject = Subject().lead_with(1, 2)
    subject.wait(HEARTBEAT_MS)
    round_number = only(Heartbeat, to(1, subject.sent))[-1].round
    for peer in (1, 2):
        subject.receive(peer, HeartbeatResponse(subject.node.term, round_number, 1, 1, 1, 666))
    sent = subject.wait(HEARTBEAT_MS)
    assert only(Diverged, sent) == []
    assert [(found.server_id, found.expected, found.actual) for found in subject.diverged] == [(0, 666, 1)]


def test_follower_told_that_it_differs_says_so() -> None:
    subject = Subject()
    subject.append(1, 1, (0, 0), 1, commit=1)
    subject.receive(1, Diverged(1, 1, 666))
    assert [(found.server_id, found.index, found.expected, found.actual) for found in subject.diverged] == [
        (0, 1, 666, 1)
    ]


# Compaction


def test_compacting_forgets_entries_but_not_the_configuration() -> None:
    subject = Subject(voters=(0,))
    subject.node.propose([b"x"] * 10, subject.now_ms)
    subject.settle()
    before = subject.node.log_bytes
    subject.node.compact(subject.node.snapshot_meta(8))
    assert (subject.node.first_index, subject.node.last_index) == (9, 11)
    assert subject.node.log_bytes < before
    assert subject.node.configuration == Configuration((0,))
    assert subject.node.snapshot_meta(8) == SnapshotMeta(8, 1, Configuration((0,)))


def test_snapshot_carries_the_configuration_of_its_index() -> None:
    subject = Subject(voters=(0,))
    index = subject.node.change_membership(AddLearner(1), subject.now_ms)
    subject.settle()
    assert subject.node.snapshot_meta(index - 1).configuration == Configuration((0,))
    assert subject.node.snapshot_meta(index).configuration == Configuration((0,), (1,))


def test_only_what_is_applied_can_be_compacted() -> None:
    subject = Subject(1, 1, 1)
    with pytest.raises(ValueError, match="cannot compact"):
        subject.node.compact(SnapshotMeta(2, 1, Configuration((0, 1, 2))))


def test_installed_snapshot_is_durable_before_it_is_acknowledged() -> None:
    subject = Subject(1, term=3)
    subject.receive(1, Heartbeat(3, 0, 1))
    subject.hold_disk()
    meta = SnapshotMeta(8, 2, Configuration((0, 1)))
    assert subject.receive(1, InstallSnapshot(3, meta, 0, 1, b"s")) == []
    assert subject.release_disk() == [(1, AppendAccepted(3, 8))]
    assert subject.node.configuration == Configuration((0, 1))
