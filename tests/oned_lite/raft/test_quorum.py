"""The clever majority maths against the definition, on random inputs."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from services.oned_lite.raft.quorum import Tally, majority, quorum_value, tally

VALUES = st.lists(st.integers(0, 20), min_size=1, max_size=7)


@given(VALUES)
def test_quorum_value_is_the_largest_that_more_than_half_have_reached(values: list[int]) -> None:
    reached = [value for value in range(21) if 2 * sum(one >= value for one in values) > len(values)]
    assert quorum_value(values) == max(reached)


@given(st.integers(1, 9))
def test_two_majorities_share_a_member(size: int) -> None:
    groups = list(combinations(range(size), majority(size)))
    assert all(set(one) & set(other) for one in groups for other in groups)


@given(st.integers(1, 9))
def test_majorities_before_and_after_a_change_of_one_server_share_a_member(size: int) -> None:
    before = combinations(range(size), majority(size))
    after = list(combinations(range(size + 1), majority(size + 1)))
    assert all(set(one) & set(other) for one in before for other in after)


@given(st.integers(1, 7), st.dictionaries(st.integers(0, 9), st.booleans()))
def test_election_is_decided_when_the_missing_votes_cannot_change_it(size: int, votes: dict[int, bool]) -> None:
    voters = range(size)
    granted = sum(votes.get(voter, False) for voter in voters)
    possible = sum(votes.get(voter, True) for voter in voters)
    expected = Tally.WON if 2 * granted > size else Tally.LOST if 2 * possible <= size else Tally.PENDING
    assert tally(voters, votes) is expected
