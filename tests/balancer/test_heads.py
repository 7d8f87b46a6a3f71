"""Strict framing: what could be read in two ways is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.balancer.wire.body import BodyReader
from services.balancer.wire.chunked import ChunkedScanner, chunk
from services.balancer.wire.fields import FramingError
from services.balancer.wire.outline import Framing
from services.balancer.wire.request import HeadLimits, RequestHead, RequestParser, find_head
from services.balancer.wire.response import ResponseHead, ResponseParser

pytestmark = pytest.mark.interpreted_too

LIMITS = HeadLimits()


def parse(text: bytes) -> RequestHead:
    size = find_head(text, LIMITS)
    assert size, "incomplete"
    return RequestParser(LIMITS).parse(text[:size])


def with_lines(*lines: bytes, first: bytes = b"POST /x HTTP/1.1") -> bytes:
    return b"\r\n".join([first, b"Host: h", *lines, b"", b""])


REFUSED = {
    "both lengths": with_lines(b"Content-Length: 4", b"Transfer-Encoding: chunked"),
    "two lengths": with_lines(b"Content-Length: 4", b"Content-Length: 4"),
    "list of lengths": with_lines(b"Content-Length: 4, 4"),
    "signed length": with_lines(b"Content-Length: +4"),
    "negative length": with_lines(b"Content-Length: -4"),
    "hex length": with_lines(b"Content-Length: 0x4"),
    "empty length": with_lines(b"Content-Length:"),
    "absurd length": with_lines(b"Content-Length: " + b"9" * 30),
    "two codings": with_lines(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "coding in 1.0": with_lines(b"Transfer-Encoding: chunked", first=b"POST / HTTP/1.0"),
    "folded line": with_lines(b"X: a", b" b"),
    "space before colon": with_lines(b"Content-Length : 4"),
    "space before name": with_lines(b" Content-Length: 4"),
    "no colon": with_lines(b"nonsense"),
    "empty name": with_lines(b": x"),
    "lone LF": b"GET / HTTP/1.1\nHost: h\r\n\r\n",
    "lone LF in a header": with_lines(b"X: a\nContent-Length: 3"),
    "lone CR in a header": with_lines(b"X: a\rContent-Length: 3"),
    "zero byte": with_lines(b"X: a\0b"),
    "no host": b"GET / HTTP/1.1\r\nX: y\r\n\r\n",
    "two hosts": with_lines(b"Host: other"),
    "bad host": b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "two spaces": with_lines(first=b"GET  / HTTP/1.1"),
    "tab in the line": with_lines(first=b"GET\t/ HTTP/1.1"),
    "no version": b"GET /\r\nHost: h\r\n\r\n",
    "lower-case version": with_lines(first=b"GET / http/1.1"),
    "version 1.2": with_lines(first=b"GET / HTTP/1.2"),
    "relative target": with_lines(first=b"GET x HTTP/1.1"),
    "bad method": with_lines(first=b"G@T / HTTP/1.1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_ambiguous_requests_are_refused(name: str) -> None:
    with pytest.raises(FramingError) as caught:
        parse(REFUSED[name])
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        (b"GET /" + b"a" * 9000, 414),
        (with_lines(b"X: " + b"a" * 9000), 431),
        (with_lines(*[b"X-%d: " % n + b"a" * 500 for n in range(80)]), 431),
        (with_lines(*[b"X: y"] * 101), 431),
        (with_lines(b"Transfer-Encoding: gzip, chunked"), 501),
        (with_lines(b"Transfer-Encoding: xchunked"), 501),
        (with_lines(first=b"PRI * HTTP/2.0"), 505),
        (with_lines(first=b"CONNECT / HTTP/1.1"), 405),
    ],
)
def test_refusals_with_a_status_of_their_own(text: bytes, status: int) -> None:
    with pytest.raises(FramingError) as caught:
        parse(text)
    assert caught.value.status == status


def test_a_plain_request_is_understood() -> None:
    head = parse(b"GET /a/b?c=d HTTP/1.1\r\nHost: Example.org:80\r\nConnection: close\r\nX: 1\r\nX: 2\r\n\r\n")
    assert (head.method, head.path, head.query, head.host) == (b"GET", b"/a/b", b"c=d", b"Example.org:80")
    assert not head.keep_alive and not head.has_body and head.get(b"x") == b"1, 2"


def test_the_authority_of_an_absolute_target_wins_over_host() -> None:
    assert parse(with_lines(first=b"GET http://other/x HTTP/1.1")).host == b"other"


def test_head_is_found_only_when_complete() -> None:
    whole = with_lines()
    assert [find_head(whole[:n], LIMITS) for n in range(len(whole))] == [0] * len(whole)
    assert find_head(whole + b"rest", LIMITS) == len(whole)


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.lists(st.integers(1, 400), max_size=20))
def test_chunks_decode_the_same_however_they_are_cut(pieces: list[bytes], cuts: list[int]) -> None:
    wire = b"".join(chunk(piece) for piece in pieces) + b"0\r\nX-Trailer: y\r\n\r\n"
    scanner, payload, used, data = ChunkedScanner(), [], 0, wire + b"NEXT"
    for cut in [*cuts, len(data)]:
        part, data = data[:cut], data[cut:]
        used += scanner.feed(part, payload)
        if scanner.done:
            break
    assert scanner.done and used == len(wire) and b"".join(payload) == b"".join(pieces)


@pytest.mark.parametrize(
    "wire",
    [b"-1\r\n", b"+1\r\n", b"0x1\r\n", b" 1\r\n", b"1 \r\n", b"1\n", b"g\r\n", b"\r\n", b"f" * 16 + b"\r\n",
     b"3\r\nabcd\r\n", b"3\r\nabc\n", b"1;" + b"x" * 5000, b"1;a\0b\r\n", b"0\r\nbad trailer\r\n",
     b"0\r\n" + b"".join(b"X-%d: %b\r\n" % (n, b"y" * 1000) for n in range(10)), b"0\r\n a: b\r\n"],
)  # fmt: skip
def test_malformed_chunks_are_refused(wire: bytes) -> None:
    with pytest.raises(FramingError):
        ChunkedScanner().feed(wire)


def test_a_body_ends_where_its_length_says() -> None:
    reader = BodyReader(parse(with_lines(b"Content-Length: 5")))
    assert reader.feed(b"abc") == (b"abc", 3)
    assert reader.feed(b"deGET") == (b"de", 2) and reader.complete


def response(text: bytes, **more: bool) -> ResponseHead:
    return ResponseParser().parse_answer_to(text, **more)


@pytest.mark.parametrize(
    ("text", "framing"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", Framing.LENGTH),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Framing.CHUNKED),
        (b"HTTP/1.0 200 OK\r\n\r\n", Framing.CLOSE),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", Framing.NONE),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", Framing.NONE),
    ],
)
def test_how_an_answer_ends(text: bytes, framing: Framing) -> None:
    assert response(text).framing is framing


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbroken\r\n\r\n",
    ],
)
def test_contradicting_answers_are_refused(text: bytes) -> None:
    with pytest.raises(FramingError):
        response(text)


def test_hop_by_hop_fields_do_not_reach_the_client() -> None:
    head = response(b"HTTP/1.1 200 OK\r\nConnection: x-own\r\nX-Own: 1\r\nKeep-Alive: 5\r\nX: y\r\n\r\n")
    assert head.plain == b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n"


METHODS = st.sampled_from([b"GET", b"HEAD", b"CONNECT", b"TRACE", b"get", b""])
def test_clients_are_told_the_length_even_if_the_upstream_calls_it_a_matter_of_the_connection() -> None:
    head = response(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Own: 1\r\nConnection: content-length, x-own\r\n\r\n")
    assert head.plain == b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"


TARGETS = st.sampled_from([
    b"/", b"/a?b=c", b"/%61/../b", b"*", b"http://other/x", b"/a b", b"/a\r\nX: y", b"",
    b"/ HTTP/1.1\r\nHost: h\r\n\r\nGET /b",
])  # fmt: skip


@given(st.lists(st.tuples(METHODS, TARGETS), max_size=8))
def test_a_head_with_the_fields_of_the_last_one_is_taken_as_if_it_came_alone(lines: list[tuple[bytes, bytes]]) -> None:
    parser = RequestParser(LIMITS)
    before = parser.parse(with_lines(b"X-Y: z")).block
    for method, target in lines:
        data = with_lines(b"X-Y: z", first=b"%b %b HTTP/1.1" % (method, target))
        followed = parser.follow(before, data)
        if followed is not None:
            alone = parse(data)
            assert len(data) == find_head(data, LIMITS)
            assert [getattr(followed, name) for name in ("method", "target", "host", "path", "query")] == [
                getattr(alone, name) for name in ("method", "target", "host", "path", "query")
            ]
        else:
            assert not (method in (b"GET", b"HEAD") and target in (b"/", b"/a?b=c", b"/%61/../b"))


FIELD_LINES = st.sampled_from([
    b"Content-Length: 3", b"Content-Length: 12", b"content-length: 3", b"Content-Length: x", b"Transfer-Encoding: chunked",
    b"Connection: close", b"Connection: keep-alive", b"Connection: X-Secret", b"X-Secret: 1", b"X-Secret: 2", b"Date: now",
    b"Date: then", b"Date: a\0b", b"Date : now", b" folded", b"ETag: a:b", b"ETag: \t", b"Set-Cookie: a=b",
    b"X-Accel-Expires: 1",
])  # fmt: skip
STATUS_LINES = st.sampled_from(
    [b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 500 No"]
)


@given(st.lists(st.tuples(STATUS_LINES, st.lists(FIELD_LINES, min_size=1, max_size=4)), min_size=2, max_size=12))
def test_answers_are_understood_alike_whatever_came_before_them(heads: list[tuple[bytes, list[bytes]]]) -> None:
    remembering = ResponseParser()
    for first, lines in heads:
        wire = b"\r\n".join([first, *lines, b"", b""])
        assert understood(remembering, wire) == understood(ResponseParser(), wire)
        assert remembering.read(wire[:-1]) is None or b"\r\n\r\n" in wire[:-1]


def understood(parser: ResponseParser, wire: bytes) -> object:
    try:
        head = parser.read(wire + b"body")
    except FramingError:
        return None  # of several reasons any may be found first
    assert head is not None
    fields = [(field.name, field.value) for field in head.fields]
    return (
        head.status, head.framing, head.length, head.keep_alive, head.outline.ordinary, head.plain,
        head.onward(wire + b"body"), fields,
    )  # fmt: skip
