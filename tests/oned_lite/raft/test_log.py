import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.oned_lite.raft import BrokenInvariant, Entry, EntryKind, RaftConfig
from services.oned_lite.raft.log import Log

from .subject import log_of

TERMS = st.lists(st.integers(1, 6), max_size=12).map(sorted)


def test_log_behind_a_snapshot_knows_the_term_of_its_base_only() -> None:
    log = Log(3, 2, log_of(1, 1, 2, 2, 3)[3:])
    assert [log.term_at(index) for index in (2, 3, 4, 5, 6)] == [None, 2, 2, 3, None]
    assert (log.last_index, log.last_term) == (5, 3)


def test_entries_must_follow() -> None:
    log = Log(0, 0, log_of(1, 1))
    with pytest.raises(BrokenInvariant):
        log.extend(log_of(1, 1, 1, 1)[3:])
    with pytest.raises(BrokenInvariant):
        log.extend([Entry(3, 0, EntryKind.DATA, b"")])


def test_batch_keeps_to_both_limits_but_is_never_empty() -> None:
    log = Log(0, 0, [Entry(index, 1, EntryKind.DATA, b"x" * 68) for index in range(1, 11)])
    assert len(log.batch(1, 4, 10_000)) == 4
    assert len(log.batch(1, 100, 350)) == 3
    assert len(log.batch(1, 100, 1)) == 1
    assert log.batch(11, 100, 100) == ()


@given(TERMS, st.integers(0, 12), st.data())
def test_size_is_that_of_the_entries_held(terms: list[int], cut: int, data: st.DataObject) -> None:
    log = Log(0, 0, log_of(*terms))
    log.truncate(max(1, min(cut, len(terms)) + 1))
    log.compact(data.draw(st.integers(0, log.last_index)))
    assert log.size_bytes == sum(entry.size for entry in log.slice(log.base_index + 1, log.last_index))


@given(TERMS, st.integers(0, 12), st.integers(0, 15), st.integers(0, 7))
def test_last_at_most_is_the_last_index_that_can_agree(terms: list[int], base: int, index: int, term: int) -> None:
    base = min(base, len(terms))
    base_term = terms[base - 1] if base else 0
    log = Log(base, base_term, log_of(*terms)[base:])
    whole = {0: 0} | dict(enumerate(terms, 1))
    found = log.last_at_most(index, term)
    true = max(position for position, at in whole.items() if position <= index and at <= term)
    if true >= base:
        assert found == true
    else:
        assert true <= found < base


@given(TERMS, TERMS)
def test_no_conflict_means_that_everything_is_there(mine: list[int], theirs: list[int]) -> None:
    log = Log(0, 0, log_of(*mine))
    conflict = log.first_conflict(log_of(*theirs))
    shared = next((n for n, pair in enumerate(zip(mine, theirs, strict=False)) if pair[0] != pair[1]), None)
    if conflict is None:
        assert theirs == mine[: len(theirs)]
    else:
        assert conflict.index == (min(len(mine), len(theirs)) if shared is None else shared) + 1


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="election_timeout_ms: 150"):
        RaftConfig(server_id=0, election_timeout_ms=150, heartbeat_ms=100)
    with pytest.raises(ValueError, match="inflight_max: must be positive"):
        RaftConfig(server_id=0, inflight_max=0)
    with pytest.raises(ValueError, match="server_id"):
        RaftConfig(server_id=-1)
