"""What clients of the text protocol may rely on, asked of cache-lite and of the real memcached in the same words."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest
from pymemcache.client.base import Client

from tests.cache.conftest import KINDS, server
from tests.cache.raw import RawClient

LONG_KEY = b"k" * 251
BAD_LINE = b"CLIENT_ERROR bad command line format\r\n"
BAD_DELETE = b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"
BAD_EXPTIME = b"CLIENT_ERROR invalid exptime argument\r\n"
BAD_DELTA = b"CLIENT_ERROR invalid numeric delta argument\r\n"
NOT_NUMERIC = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
ERROR = b"ERROR\r\n"

SPOKEN = {
    "get without key": (b"get\r\n", ERROR),
    "gets without key": (b"gets\r\n", ERROR),
    "empty line": (b"\r\n", ERROR),
    "unknown command": (b"foo\r\n", ERROR),
    "commands are lower case": (b"GET a\r\n", ERROR),
    "get a key too long": (b"get " + LONG_KEY + b"\r\n", BAD_LINE),
    "get a key of the longest kind": (b"get " + b"k" * 250 + b"\r\n", b"END\r\n"),
    "set without anything": (b"set\r\n", ERROR),
    "set without size": (b"set a 0 0\r\n", ERROR),
    "set with too many words": (b"set a 0 0 1 2 3\r\n", ERROR),
    "set with a size that is no number": (b"set a 0 0 x\r\n", BAD_LINE),
    "set with flags that are no number": (b"set a x 0 1\r\n1\r\n", BAD_LINE + ERROR),
    "set with negative flags": (b"set a -1 0 1\r\n1\r\n", BAD_LINE + ERROR),
    "set with an expiry that is no number": (b"set a 0 x 1\r\n1\r\n", BAD_LINE + ERROR),
    "set with a negative size": (b"set a 0 0 -1\r\n", BAD_LINE),
    "set with a size beyond 31 bits": (b"set a 0 0 2147483648\r\n", BAD_LINE),
    "set a key too long": (b"set " + LONG_KEY + b" 0 0 1\r\n1\r\n", BAD_LINE + ERROR),
    "set and get": (b"set a 5 0 2\r\nxy\r\nget a\r\n", b"STORED\r\nVALUE a 5 2\r\nxy\r\nEND\r\n"),
    "set the largest flags": (
        b"set a 4294967295 0 0\r\n\r\nget a\r\n",
        b"STORED\r\nVALUE a 4294967295 0\r\n\r\nEND\r\n",
    ),
    "set with line ends of one byte": (b"set a 0 0 1\n1\r\nget a\n", b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
    "set with a word in noreply's place": (b"set a 0 0 1 loud\r\n1\r\n", b"STORED\r\n"),
    "set without reply": (b"set a 0 0 1 noreply\r\n1\r\nget a\r\n", b"VALUE a 0 1\r\n1\r\nEND\r\n"),
    "a value may hold line ends": (
        b"set a 0 0 4\r\n\r\n\r\n\r\nget a\r\n",
        b"STORED\r\nVALUE a 0 4\r\n\r\n\r\n\r\nEND\r\n",
    ),
    "a block too long": (
        b"set a 0 0 1\r\n1\r\nset a 0 0 1\r\n223\r\nget a\r\n",
        b"STORED\r\nCLIENT_ERROR bad data chunk\r\nERROR\r\nVALUE a 0 1\r\n1\r\nEND\r\n",
    ),
    "a block too long, without reply": (b"set a 0 0 1 noreply\r\n223\r\n", ERROR),
    "a block too short": (b"set a 0 0 3\r\n1\r\nabc\r\n", b"CLIENT_ERROR bad data chunk\r\nERROR\r\n"),
    "several keys": (
        b"set a 0 0 1\r\n1\r\nset b 0 0 1\r\n2\r\nget  a x  b a \r\n",
        b"STORED\r\nSTORED\r\nVALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n2\r\nVALUE a 0 1\r\n1\r\nEND\r\n",
    ),
    "spaces before a command": (b" get a\r\n", b"END\r\n"),
    "add what is new": (b"add a 0 0 1\r\n1\r\n", b"STORED\r\n"),
    "add what exists": (b"set a 0 0 1\r\n1\r\nadd a 0 0 1\r\n2\r\n", b"STORED\r\nNOT_STORED\r\n"),
    "replace what is missing": (b"replace a 0 0 1\r\n1\r\n", b"NOT_STORED\r\n"),
    "replace what exists": (
        b"set a 1 0 1\r\n1\r\nreplace a 2 0 2\r\n22\r\nget a\r\n",
        b"STORED\r\nSTORED\r\nVALUE a 2 2\r\n22\r\nEND\r\n",
    ),
    "append to what is missing": (b"append a 0 0 1\r\n1\r\n", b"NOT_STORED\r\n"),
    "append and prepend keep the flags": (
        b"set a 7 0 1\r\n1\r\nappend a 9 0 1\r\n2\r\nprepend a 8 0 1\r\n0\r\nget a\r\n",
        b"STORED\r\nSTORED\r\nSTORED\r\nVALUE a 7 3\r\n012\r\nEND\r\n",
    ),
    "cas without id": (b"cas a 0 0 1\r\n", ERROR),
    "cas with an id that is no number": (b"cas a 0 0 1 x\r\n", BAD_LINE),
    "cas of what is missing": (b"cas a 0 0 1 5\r\n1\r\n", b"NOT_FOUND\r\n"),
    "cas with another's id": (
        b"set a 0 0 1\r\n1\r\ncas a 0 0 1 0\r\n2\r\nget a\r\n",
        b"STORED\r\nEXISTS\r\nVALUE a 0 1\r\n1\r\nEND\r\n",
    ),
    "cas without reply": (b"cas a 0 0 1 5 noreply\r\n1\r\n", b""),
    "delete without key": (b"delete\r\n", ERROR),
    "delete what is missing": (b"delete a\r\n", b"NOT_FOUND\r\n"),
    "delete what exists": (b"set a 0 0 1\r\n1\r\ndelete a\r\nget a\r\n", b"STORED\r\nDELETED\r\nEND\r\n"),
    "delete with the old zero": (b"delete a 0\r\n", b"NOT_FOUND\r\n"),
    "delete with a delay": (b"delete a 10\r\n", BAD_DELETE),
    "delete two keys": (b"delete a b c\r\n", BAD_DELETE),
    "delete without reply": (b"delete a noreply\r\ndelete a 0 noreply\r\n", b""),
    "delete a key too long": (b"delete " + LONG_KEY + b"\r\n", BAD_LINE),
    "touch without time": (b"touch a\r\n", ERROR),
    "touch what is missing": (b"touch a 0\r\n", b"NOT_FOUND\r\n"),
    "touch with a time that is no number": (b"touch a x\r\n", BAD_EXPTIME),
    "touch what exists": (b"set a 0 0 1\r\n1\r\ntouch a 10\r\n", b"STORED\r\nTOUCHED\r\n"),
    "touch into the past": (b"set a 0 0 1\r\n1\r\ntouch a -1\r\nget a\r\n", b"STORED\r\nTOUCHED\r\nEND\r\n"),
    "touch without reply": (b"touch a 10 noreply\r\n", b""),
    "gat without anything": (b"gat\r\n", ERROR),
    "gat with a time that is no number": (b"gat x a\r\n", BAD_EXPTIME),
    "gat": (b"set a 1 0 2\r\nab\r\ngat 100 a b\r\n", b"STORED\r\nVALUE a 1 2\r\nab\r\nEND\r\n"),
    "gats of what is missing": (b"gats 0 a\r\n", b"END\r\n"),
    "gat a key too long": (b"gat 0 " + LONG_KEY + b"\r\n", BAD_LINE),
    "incr without delta": (b"incr a\r\n", ERROR),
    "incr what is missing": (b"incr a 1\r\n", b"NOT_FOUND\r\n"),
    "incr makes a number longer": (
        b"set n 3 0 2\r\n99\r\nincr n 1\r\nget n\r\n",
        b"STORED\r\n100\r\nVALUE n 3 3\r\n100\r\nEND\r\n",
    ),
    "decr pads what gets shorter": (
        b"set n 0 0 3\r\n100\r\ndecr n 1\r\nget n\r\n",
        b"STORED\r\n99\r\nVALUE n 0 3\r\n99 \r\nEND\r\n",
    ),
    "a padded number counts on": (b"set n 0 0 3\r\n99 \r\nincr n 1\r\n", b"STORED\r\n100\r\n"),
    "incr wraps at 64 bits": (b"set n 0 0 20\r\n18446744073709551615\r\nincr n 2\r\n", b"STORED\r\n1\r\n"),
    "decr stops at zero": (b"set n 0 0 1\r\n5\r\ndecr n 10\r\n", b"STORED\r\n0\r\n"),
    "incr by what is no number": (b"incr n x\r\n", BAD_DELTA),
    "incr by a negative number": (b"incr n -1\r\n", BAD_DELTA),
    "incr by more than 64 bits": (b"incr n 18446744073709551616\r\n", BAD_DELTA),
    "incr an empty value": (b"set n 0 0 0\r\n\r\nincr n 1\r\n", b"STORED\r\n" + NOT_NUMERIC),
    "incr a word": (b"set n 0 0 2\r\n1x\r\nincr n 1\r\n", b"STORED\r\n" + NOT_NUMERIC),
    "incr a negative value": (b"set n 0 0 2\r\n-1\r\nincr n 1\r\n", b"STORED\r\n" + NOT_NUMERIC),
    "incr without reply": (
        b"set n 0 0 1\r\n0\r\nincr n 1 noreply\r\nget n\r\n",
        b"STORED\r\nVALUE n 0 1\r\n1\r\nEND\r\n",
    ),
    "incr a key too long": (b"incr " + LONG_KEY + b" 1\r\n", BAD_LINE),
    "flush_all": (b"set a 0 0 1\r\n1\r\nflush_all\r\nget a\r\n", b"STORED\r\nOK\r\nEND\r\n"),
    "flush_all without delay": (b"set a 0 0 1\r\n1\r\nflush_all 0\r\nget a\r\n", b"STORED\r\nOK\r\nEND\r\n"),
    "flush_all without reply": (b"flush_all noreply\r\n", b""),
    "flush_all with a delay that is no number": (b"flush_all x\r\n", BAD_EXPTIME),
    "flush_all with too many words": (b"flush_all 1 2 3\r\n", ERROR),
    "verbosity without level": (b"verbosity\r\n", ERROR),
    "verbosity": (b"verbosity 0\r\n", b"OK\r\n"),
    "verbosity without reply": (b"verbosity 0 noreply\r\n", b""),
    "verbosity with a level that is no number": (b"verbosity x\r\n", BAD_LINE),
    "stats of nothing known": (b"stats nonsense\r\n", ERROR),
    "stats reset": (b"stats reset\r\n", b"RESET\r\n"),
    "born expired": (b"set a 0 -1 1\r\n1\r\nget a\r\n", b"STORED\r\nEND\r\n"),
    "an absolute time long ago": (b"set a 0 2592001 1\r\n1\r\nget a\r\n", b"STORED\r\nEND\r\n"),
    "many commands in one packet": (b"set a 0 0 1\r\n1\r\n" * 50, b"STORED\r\n" * 50),
}


@pytest.mark.parametrize("words", SPOKEN.values(), ids=SPOKEN.keys())
def test_the_server_answers_each_command_word_for_word(raw: RawClient, words: tuple[bytes, bytes]) -> None:
    asked, answer = words
    assert raw.say(asked) == answer


def test_a_command_may_arrive_a_byte_at_a_time(raw: RawClient) -> None:
    for byte in b"set a 0 0 3\r\nxyz\r\n":
        raw.send(bytes([byte]))
    assert raw.say(b"get a\r\n") == b"STORED\r\nVALUE a 0 3\r\nxyz\r\nEND\r\n"


def test_cas_stores_for_the_one_who_read_last(raw: RawClient) -> None:
    raw.say(b"set a 0 0 1\r\n1\r\n")
    cas_id = raw.say(b"gets a\r\n").split()[4]
    assert raw.say(b"cas a 0 0 1 " + cas_id + b"\r\n2\r\n") == b"STORED\r\n"
    assert raw.say(b"cas a 0 0 1 " + cas_id + b"\r\n3\r\n") == b"EXISTS\r\n"
    assert raw.say(b"get a\r\n") == b"VALUE a 0 1\r\n2\r\nEND\r\n"


def test_touch_leaves_the_cas_id_alone(raw: RawClient) -> None:
    raw.say(b"set a 0 0 1\r\n1\r\n")
    before = raw.say(b"gets a\r\n")
    raw.say(b"touch a 100\r\n")
    assert raw.say(b"gets a\r\n") == before


def test_a_value_too_large_is_refused_and_takes_the_old_one_with_it(raw: RawClient) -> None:
    big = b"x" * 1_048_576
    assert raw.say(b"set a 0 0 1\r\n1\r\nset a 0 0 1048576\r\n" + big + b"\r\nget a\r\n") == (
        b"STORED\r\nSERVER_ERROR object too large for cache\r\nEND\r\n"
    )


def test_an_add_too_large_leaves_the_old_value(raw: RawClient) -> None:
    big = b"x" * 2_000_000
    assert raw.say(b"set a 0 0 1\r\n1\r\nadd a 0 0 2000000\r\n" + big + b"\r\nget a\r\n") == (
        b"STORED\r\nSERVER_ERROR object too large for cache\r\nVALUE a 0 1\r\n1\r\nEND\r\n"
    )


def test_a_value_too_large_without_reply_is_refused_in_silence(raw: RawClient) -> None:
    big = b"x" * 2_000_000
    assert raw.say(b"set a 0 0 2000000 noreply\r\n" + big + b"\r\nget a\r\n") == b"END\r\n"


def test_a_value_just_below_a_megabyte_comes_back_whole(raw: RawClient) -> None:
    value = bytes(range(256)) * 4000
    raw.say(b"set big 0 0 %d\r\n%s\r\n" % (len(value), value))
    assert raw.say(b"get big\r\n") == b"VALUE big 0 %d\r\n%s\r\nEND\r\n" % (len(value), value)


def test_a_long_list_of_keys_is_answered(raw: RawClient) -> None:
    raw.say(b"set a 0 0 1\r\n1\r\n")
    assert raw.say(b"get" + b" a" * 5000 + b"\r\n") == b"VALUE a 0 1\r\n1\r\n" * 5000 + b"END\r\n"


def test_quit_ends_the_connection(raw: RawClient) -> None:
    raw.send(b"set a 0 0 1\r\n1\r\nquit\r\nget a\r\n")
    assert raw.read_to_end() == b"STORED\r\n"


def test_a_line_without_end_ends_the_connection(raw: RawClient) -> None:
    raw.send(b"x" * 3000)
    assert raw.read_to_end() in (b"", b"CLIENT_ERROR line too long\r\n")


def test_an_item_expires_after_its_seconds(raw: RawClient) -> None:
    raw.say(b"set a 0 1 1\r\n1\r\n")
    deadline = time.monotonic() + 5
    while raw.say(b"get a\r\n") != b"END\r\n":
        assert time.monotonic() < deadline, "still there five seconds on"
        time.sleep(0.05)


def test_an_absolute_time_ahead_keeps_the_item(raw: RawClient) -> None:
    raw.say(b"set a 0 %d 1\r\n1\r\n" % (time.time() + 1000))
    assert raw.say(b"get a\r\n") == b"VALUE a 0 1\r\n1\r\nEND\r\n"


def test_a_delayed_flush_waits_and_then_takes_everything(raw: RawClient) -> None:
    assert raw.say(b"set a 0 0 1\r\n1\r\nflush_all 2\r\nget a\r\n") == b"STORED\r\nOK\r\nVALUE a 0 1\r\n1\r\nEND\r\n"
    deadline = time.monotonic() + 6
    while raw.say(b"get a\r\n") != b"END\r\n":
        assert time.monotonic() < deadline, "still there six seconds on"
        time.sleep(0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_the_statistics_say_what_happened(kind: str, tmp_path: Path) -> None:
    # A server of its own: memcached counts items that were flushed until it comes across them.
    with server(kind, tmp_path) as port, RawClient(port) as raw:
        raw.say(b"set a 0 0 1\r\n1\r\nget a\r\nget b\r\n")
        lines = raw.say(b"stats\r\n").decode().splitlines()
    stats = dict(line.split(" ", 2)[1:] for line in lines[:-1])
    assert lines[-1] == "END"
    assert {name: stats[name] for name in ("cmd_get", "cmd_set", "get_hits", "get_misses", "curr_items")} == {
        "cmd_get": "2",
        "cmd_set": "1",
        "get_hits": "1",
        "get_misses": "1",
        "curr_items": "1",
    }
    assert {"pid", "uptime", "time", "version", "curr_connections", "limit_maxbytes", "bytes"} <= set(stats)


def test_pymemcache_works_with_every_verb(port: int) -> None:
    client = Client(("127.0.0.1", port), default_noreply=False, timeout=5)
    with closing(client):
        _exercise(client)


def _exercise(client: Client) -> None:
    client.flush_all()
    assert client.set("a", b"1") and not client.add("a", b"2") and client.replace("a", b"3")
    assert client.append("a", b"4") and client.prepend("a", b"2") and client.get("a") == b"234"
    value, cas_id = client.gets("a")
    assert value == b"234" and client.cas("a", b"10", cas_id) and client.cas("a", b"11", cas_id) is False
    assert client.incr("a", 5) == 15 and client.decr("a", 6) == 9 and client.incr("none", 1) is None
    assert client.set_many({"b": b"x", "c": b"y"}) == [] and client.get_many(["b", "c", "d"]) == {"b": b"x", "c": b"y"}
    assert client.touch("b", 100)
    assert client.delete("b") and not client.delete("b")
    assert client.version().startswith(b"1.6") and b"pid" in client.stats()
