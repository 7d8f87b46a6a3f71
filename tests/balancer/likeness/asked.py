"""Random requests, and what upstreams are to answer to them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

HOSTS = (
    "one.example", "one.example", "two.example", "WWW.One.Example", "one.example:8080", "one.example.", "deep.one.example",
    "one.org", "word.net", "three.example", "a.three.example", "none", "127.0.0.1", "[::1]:80", "two.co.uk", "",
)  # fmt: skip
PATHS = (
    "/", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c", "/b", "/b/x", "/b/x/", "/c.php", "/a/c.PHP", "/A/x",
    "/e/x y".replace(" ", "%20"),
    "/page", "/page7", "/a/12", "/b/34/x", "/%41/%62", "/a%2Fb", "/a//b", "//a", "/a/../b", "/a/./b/.", "/x/../a/..",
    "/a/b?",
    "/d%20e", "/d%20e/f", "/a/%E4%C3%A4", "/a/%22%3C%3E%5B%5D%7C%5C%5E%60", "/a/!$&'()*+,;=:@~-._", "/a/%25%3F%23",
    "/a;p=1/b", "/..", "/a/%2e%2e/b", "/%2e/a", "/e/%", "/e/%zz", "/none", "/a/b.php/c", "/a/b#frag", "/a/b?x#frag",
    "/a/.b", "/a/..b", "/a/b..", "/a/...", "/moved", "/é", "/a\\b", "/e/a+b", "/c/d", "/p/q",
)  # fmt: skip
QUERIES = ("", "", "", "", "?a=x", "?a=xz", "?A=Y&b=2", "?b=1&a=%20", "?", "??", "?a", "?a=1&a=2", "?x=/a//b", "?a=b#c")
METHODS = ("GET",) * 8 + ("POST",) * 4 + (
    "HEAD", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "get", "TRACE", "LOCK",
)  # fmt: skip
FIELDS = (
    "X-In: x", "X-In: yes", "x-in: Zed", "X-In:", "X_Under: 1", "X-Twice: 1\r\nX-Twice: 2", "Cookie: c=bbb; d=1",
    "Cookie: d=1;c=2\r\nCookie: c=3", "User-Agent: test/1", "Accept: */*", "Accept-Encoding: gzip", "TE: trailers",
    "Connection: close", "Connection: keep-alive", "Connection: X-In, keep-alive", "Keep-Alive: 5",
    "Referer: http://r.example/",
    "X-Forwarded-For: 10.1.2.3", "X-Forwarded-For: 10.1.2.3\r\nX-Forwarded-For: 10.4.5.6", "Authorization: Basic dTpw",
    "Range: bytes=0-1", "If-None-Match: \"x\"", "If-Modified-Since: Sat, 29 Oct 1994 19:43:31 GMT", "X.Odd: 1", "X-Empty: ",
    "Proxy-Connection: keep-alive", "Upgrade: websocket", "Content-Type: text/plain", "X-Tab:\ta\tb ", "X-Latin: \xe4",
    "X-Quote: a\"b\\c", "Via: 1.1 x", "Forwarded: for=1.2.3.4", "If-Match: \"y\"", "Max-Forwards: 3",
    "X-Long: " + "v" * 300,
    "If-Unmodified-Since: Sat, 29 Oct 1994 19:43:31 GMT", "Origin: http://o.example", "Host2: z", "X+Odd: 2",
)  # fmt: skip
ANSWERS = (
    "X-Up: up", "X-Twice: a\r\nX-Twice: b", "Location: http://one/a/x", "Location: /a/b?c", "Location: http://two/x/y",
    "Location: http://one.example/z", "Location: a/b", "Refresh: 5; url=http://one/q",
    "Set-Cookie: a=b; Path=/a/x; Domain=inside.example",
    "Set-Cookie: c=d; domain=.inside.example; HttpOnly\r\nSet-Cookie: e=f; Secure; Path=/",
    "Content-Type: text/html; charset=utf-8",
    "Content-Type: application/json", "ETag: \"e\"", "Last-Modified: Sat, 29 Oct 1994 19:43:31 GMT",
    "Cache-Control: no-cache",
    "X-Added: from upstream", "Connection: close", "Vary: Accept", "X-Up:", "Content-Language: pt",
    "WWW-Authenticate: Basic",
    "Expires: 0", "Accept-Ranges: bytes", "X-More: m", "Keep-Alive: timeout=5", "Content-Encoding: identity", "x-up: lower",
    "Location: https://one/a", "Location: http://one", "Location: //one/a", "Allow: GET", "Retry-After: 5", "Link: </a>",
)  # fmt: skip
STATUSES = ("200",) * 10 + (
    "201", "204", "206", "301", "302", "304", "307", "400", "401", "403", "404", "404", "410", "413", "418", "429", "500",
    "500",
    "502", "503", "503", "504", "299", "599",
)  # fmt: skip
WAYS = ("length",) * 6 + ("chunked", "chunked", "close", "slam", "garbage")
"""How the answer is framed; ``slam`` ends the connection instead, ``garbage`` says what is no answer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request; ``X-Say`` fields in it tell the upstreams in ``who`` what to answer, the others are fine."""

    number: int
    method: str
    target: str
    host: str | None
    minor: int
    fields: tuple[str, ...]
    body: bytes = b""
    framing: str = ""  # length or chunked
    expects: bool = False
    status: str = "200"
    way: str = "length"
    who: str = "abcd"
    answers: tuple[str, ...] = ()

    @property
    def wire(self) -> bytes:
        say = "~".join((self.status, self.way, self.who, *self.answers)).replace("\r\n", "^")
        lines = [f"{self.method} {self.target} HTTP/1.{self.minor}"]
        lines += [f"Host: {self.host}"] if self.host is not None else []
        lines += [f"X-Number: {self.number}", f"X-Say: {say}", *self.fields]
        body = self.body
        if self.expects:
            lines.append("Expect: 100-continue")
        if self.framing == "length":
            lines.append(f"Content-Length: {len(body)}")
        elif self.framing == "chunked":
            lines.append("Transfer-Encoding: chunked")
            half = len(body) // 2
            parts = [part for part in (body[:half], body[half:]) if part]
            body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    def __str__(self) -> str:
        return self.wire.decode("latin-1").replace("\r\n", "\n    ").rstrip()


def different(lines: Sequence[str]) -> tuple[str, ...]:
    """The last line of each name: what comes several times is written so."""
    return tuple({line.partition(":")[0].lower(): line for line in lines}.values())


def asked(rng: random.Random, number: int) -> Asked:
    method = rng.choice(METHODS)
    path = rng.choice(PATHS)
    target = path + (rng.choice(QUERIES) if "?" not in path and "#" not in path else "")
    host: str | None = rng.choice(HOSTS)
    kind = rng.random()
    if kind < 0.05:
        target = f"http://{rng.choice(HOSTS)}{target}"
    elif kind < 0.07:
        target = rng.choice(("a/b", "http://", "HTTP://one.example", "http://one.example?a=x", "/a b"))
    minor = 0 if rng.random() < 0.12 else 1
    if rng.random() < 0.05:
        host = None
    framing, body = "", b""
    if method in ("POST", "PUT", "PATCH") or rng.random() < 0.08:
        framing = rng.choice(("length", "length", "chunked"))
        body = rng.choice((b"", b"x", b"body", b"a longer body that is one" * 50))
    return Asked(
        number=number,
        method=method,
        target=target,
        host=host,
        minor=minor,
        fields=different(rng.sample(FIELDS, rng.choice((0, 0, 1, 2, 4)))),
        body=body,
        framing=framing,
        expects=bool(framing) and rng.random() < 0.1,
        status=rng.choice(STATUSES),
        way=rng.choice(WAYS),
        who=rng.choice(("abcd", "abcd", "a", "b", "cd")),
        answers=different(rng.sample(ANSWERS, rng.choice((0, 1, 2, 3)))),
    )
