"""The command reader: how the bytes are cut must not matter, and nothing may grow without bound."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.cache.protocol import (
    COMMAND_LINE_LIMIT,
    FETCH_LINE_LIMIT,
    LINE_TOO_LONG,
    Command,
    Fetch,
    Quit,
    Refusal,
    Store,
    Verb,
)
from services.cache.reader import CommandReader

TALK = (
    b"set a 1 0 5\r\nx\r\ny \r\n"
    b"get a b\r\n"
    b"cas a 0 -1 0 18446744073709551615 noreply\r\n\r\n"
    b"set big 0 0 2000\r\n" + b"z" * 2000 + b"\r\n"
    b"nonsense\r\n"
    b"set bad 0 0 2\r\nabc\r\n"
    b"quit\r\n"
)


def read(*pieces: bytes, item_limit: int = 1000) -> list[Command]:
    reader = CommandReader(item_limit)
    commands = []
    for piece in pieces:
        reader.feed(piece)
        commands += list(reader.commands())
    return commands


def test_a_talk_becomes_commands_in_order() -> None:
    assert read(TALK) == [
        Store(Verb.SET, b"a", 1, 0, b"x\r\ny "),
        Fetch((b"a", b"b")),
        Store(Verb.CAS, b"a", 0, -1, b"", cas_id=2**64 - 1, noreply=True),
        Refusal(b"SERVER_ERROR object too large for cache\r\n", forget=b"big"),
        Refusal(b"ERROR\r\n"),
        Refusal(b"CLIENT_ERROR bad data chunk\r\n"),
        Refusal(b"ERROR\r\n"),
        Quit(),
    ]


@given(st.lists(st.integers(0, len(TALK)), max_size=30))
def test_where_the_bytes_are_cut_makes_no_difference(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(TALK)]
    pieces = [TALK[start:end] for start, end in pairwise(edges)]
    assert read(*pieces) == read(TALK)


@given(st.binary(max_size=300))
def test_no_bytes_whatever_upset_the_reader(noise: bytes) -> None:
    for command in read(noise, b"\r\n", noise):
        assert not isinstance(command, Refusal) or command.line == b"" or command.line.endswith(b"\r\n")


def test_a_line_longer_than_any_command_ends_the_connection() -> None:
    assert read(b"x" * (COMMAND_LINE_LIMIT + 1))[0] == Refusal(LINE_TOO_LONG, close=True)


def test_a_list_of_keys_may_be_longer_but_not_endless() -> None:
    keys = b" key" * (COMMAND_LINE_LIMIT // 4 + 1)
    assert isinstance(read(b"get" + keys + b"\r\n")[0], Fetch)
    assert read(b"get" + b" key" * (FETCH_LINE_LIMIT // 4))[0] == Refusal(LINE_TOO_LONG, close=True)


def test_an_oversized_value_is_dropped_as_it_comes() -> None:
    reader = CommandReader(item_limit=1000)
    reader.feed(b"set a 0 0 1000000 noreply\r\n")
    assert list(reader.commands()) == [Refusal(b"", forget=b"a")]
    for _ in range(100):
        reader.feed(b"x" * 10_000)
        assert list(reader.commands()) == []
        assert len(reader._buffer) == 0
    reader.feed(b"\r\nquit\r\n")
    assert list(reader.commands()) == [Quit()]


def test_the_reader_knows_when_a_command_is_half_sent() -> None:
    reader = CommandReader(item_limit=1000)
    states = []
    for piece in (b"", b"se", b"t a 0 0 3\r\n", b"xy", b"z\r\n"):
        reader.feed(piece)
        list(reader.commands())
        states.append(reader.mid_command)
    assert states == [False, True, True, True, False]
