"""Rules and error pages of a settings file; what they do is compared with nginx in test_nginx_parity_rules.py."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.balancer.support import Upstream, fields_of, request, running, settings_for
from tests.balancer.test_nginx_parity_rules import echo
from tests.balancer.test_settings import problems

Start = Callable[..., Awaitable[Upstream]]

LOCATIONS: list[dict[str, Any]] = [
    {
        "path": "/",
        "upstream": "app",
        "set_headers": {"X-Kind": "$kind", "X-Id": "$request_id", "X-Same": "$id"},
        "rules": [
            {"set": {"kind": "any", "id": "$request_id"}},
            {
                "when": ["$arg_special"],
                "rules": [{"set": {"kind": "special"}}, {"when": ["$arg_stop"], "then": "break"}],
            },
            {"pattern": "^/old/(.*)$", "uri": "/new/$1?was=old", "keep_query": True},
            {"pattern": "^", "uri": "/never"},
        ],
    },
    {
        "path": "/gone",
        "answer": {"status": 404},
        "error_pages": [{"statuses": [404], "to": "@app", "status": "answer"}],
    },
    {"path": "/lost", "answer": {"status": 404}, "error_pages": [{"statuses": [404], "to": "/plain", "status": 410}]},
    {"path": "= /plain", "internal": True, "answer": {"status": 200, "text": "plain"}},
    {"path": "@app", "upstream": "app"},
]


async def test_rules_and_pages_of_a_settings_file(upstream: Start) -> None:
    server = await upstream("a", echo)
    async with running(settings_for([server], locations=LOCATIONS)) as balancer:
        seen = {}
        for path in ("/old/x", "/old/x?y=1", "/z?special=1&stop=1", "/z", "/gone", "/lost", "/plain"):
            client = await balancer.client()
            client.send(request("GET", path))
            got = await client.answer()
            lines = got.body.decode().splitlines()
            seen[path] = (got.status, *[line for line in lines if line.startswith(("GET", "x-kind", "plain"))])
        assert seen == {
            "/old/x": (200, "GET /new/x?was=old HTTP/1.1", "x-kind: any"),
            "/old/x?y=1": (200, "GET /new/x?was=old&y=1 HTTP/1.1", "x-kind: any"),
            "/z?special=1&stop=1": (200, "GET /z?special=1&stop=1 HTTP/1.1", "x-kind: special"),
            "/z": (200, "GET /never HTTP/1.1", "x-kind: any"),
            "/gone": (200, "GET /gone HTTP/1.1"),
            "/lost": (410, "plain"),
            "/plain": seen["/plain"],
        }
        assert seen["/plain"][0] == 404
        for head in server.heads:
            fields = fields_of(head)
            assert fields.get("x-id") == fields.get("x-same"), "a request keeps its number"


WRONG = """
listen: 127.0.0.1:1
upstreams: {app: {servers: [{address: "unix:relative"}]}}
locations:
  - path: /
    upstream: app
    rules:
      - {}
      - {set: {host: x}}
      - {answer: {status: 403}, uri: /x}
      - {when: [$a, is, b], rules: [{uri: $nope}]}
    error_pages:
      - {statuses: [404], to: "@none"}
      - {statuses: [405]}
      - {statuses: [406], to: elsewhere}
  - {path: "@named", upstream: app, upstream_uri: /x}
"""


def test_rules_and_pages_that_cannot_be_are_all_named(tmp_path: Path) -> None:
    found = problems(tmp_path / "b.yaml", WRONG)
    told = [line.removeprefix("b.yaml: ").partition(":")[0] for line in found]
    rules, pages = "locations[0].rules", "locations[0].error_pages"
    assert sorted(told) == sorted((
        "upstreams.app.servers[0].address", f"{rules}[0]", f"{rules}[1].set", f"{rules}[2]", f"{rules}[3].when",
        f"{rules}[3].rules[0].uri", f"{pages}[0].to", f"{pages}[1]", f"{pages}[2].to", "locations[1].upstream_uri",
    ))  # fmt: skip


async def test_a_page_is_asked_for_without_the_body_that_was_too_large(upstream: Start) -> None:
    """In chunks, so that it is known only while it comes; nginx never answers such a request."""
    server = await upstream("app", echo)
    pages = [{"statuses": [413], "to": "/sorry?why=$status"}]
    async with running(settings_for([server], location={"max_body_bytes": 3, "error_pages": pages})) as balancer:
        client = await balancer.client()
        client.send(request("POST", "/", "Transfer-Encoding: chunked") + b"2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n")
        got = await client.answer()
        assert (got.status, got.fields["connection"]) == (413, "close")
        assert got.body.splitlines()[1] == b"GET /sorry?why=413 HTTP/1.1"
        assert fields_of(server.heads[0]).keys().isdisjoint(("content-length", "transfer-encoding"))


async def test_an_upstream_that_knows_no_chunks_is_told_the_length(upstream: Start) -> None:
    server = await upstream("app")
    location = {"http_version": "1.0", "request_buffering": False}
    async with running(settings_for([server], location=location)) as balancer:
        client = await balancer.client()
        client.send(request("POST", "/", "Transfer-Encoding: chunked") + b"2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n")
        assert (await client.answer()).status == 200
        assert fields_of(server.heads[0])["content-length"] == "4" and server.bodies == [b"body"]
