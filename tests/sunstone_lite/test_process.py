"""The process: settings, command line, graceful stop, clients that dawdle."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from services.common.settings import SettingsError, load
from services.sunstone_lite.connections import Usher
from services.sunstone_lite.settings import Settings
from tests.sunstone_lite.conftest import Browser, Memcached, serve, wait_until
from tests.support.ports import free_port, listens

COMMAND = [sys.executable, "-m", "services.sunstone_lite.main"]


def settings_file(folder: Path, **changes: str) -> Path:
    lines = {"listen": "127.0.0.1:9869", "oned": '["http://127.0.0.1:2633/RPC2"]', "cache": '["127.0.0.1:11211"]'}
    path = folder / "sunstone.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in {**lines, **changes}.items() if value))
    return path


def test_the_least_settings_are_three_lines(tmp_path: Path) -> None:
    settings = load(settings_file(tmp_path), Settings)
    assert settings.served_by == "127.0.0.1:9869" and settings.session.idle_s == 1800


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"oned": ""}, "oned: missing"),
        ({"oned": "[]"}, "at least one"),
        ({"oned": '["127.0.0.1:2633"]'}, "http://HOST:PORT/RPC2"),
        ({"listen": "nowhere"}, "listen: expected HOST:PORT"),
        ({"cache": '["127.0.0.1"]'}, "cache[0]: expected HOST:PORT"),
        ({"session": "{idle_s: 10}"}, "60 <= idle_s"),
        ({"server_credentials": "missing_file"}, "no such file"),
        ({"language": "de"}, "language: expected one of"),
        ({"sessions": "{}"}, "did you mean session?"),
        ({"name": '"a\\r\\nX: y"'}, "name"),
    ],
)
def test_check_names_what_is_wrong(tmp_path: Path, changes: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=r"sunstone\.yaml") as caught:
        load(settings_file(tmp_path, **changes), Settings)
    assert named in str(caught.value)


def test_check_and_help_on_the_command_line(tmp_path: Path) -> None:
    good = subprocess.run([*COMMAND, "--config", settings_file(tmp_path), "--check"], capture_output=True, text=True)
    assert good.returncode == 0 and "ok" in good.stdout
    bad = subprocess.run(
        [*COMMAND, "--config", settings_file(tmp_path, listen="x"), "--check"], capture_output=True, text=True
    )
    assert bad.returncode == 1 and "sunstone.yaml:1: listen" in bad.stderr and "Traceback" not in bad.stderr
    assert "Examples" in subprocess.run([*COMMAND, "--help"], capture_output=True, text=True).stdout


@pytest.fixture
def running(tmp_path: Path, memcached: Memcached) -> tuple[subprocess.Popen[str], int]:
    port = free_port()
    config = settings_file(tmp_path, listen=f"127.0.0.1:{port}", cache=f'["{memcached.address}"]')
    process = subprocess.Popen([*COMMAND, "--config", str(config)], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: listens(port), 15)
    return process, port


def test_sigterm_stops_it_in_time_even_with_connections_open(running: tuple[subprocess.Popen[str], int]) -> None:
    process, port = running
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/login") as answer:
        assert answer.status == 200
    with socket.create_connection(("127.0.0.1", port)) as half_sent, socket.create_connection(("127.0.0.1", port)):
        half_sent.sendall(b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nuser=")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=10)
    assert process.returncode == 0 and time.monotonic() - began < 5
    assert "Traceback" not in log


def test_a_port_that_is_taken_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = settings_file(tmp_path, listen=f"127.0.0.1:{taken.getsockname()[1]}")
        ended = subprocess.run([*COMMAND, "--config", config], capture_output=True, text=True, timeout=20)
    assert ended.returncode == 1 and "cannot listen" in ended.stderr and "Traceback" not in ended.stderr


async def hang_up(*writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        writer.transport.abort()
    await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


async def test_a_client_that_never_ends_its_request_harms_nobody(ui: str, browser: object) -> None:
    port = int(ui.rpartition(":")[2])
    dawdlers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(50)]
    for _, writer in dawdlers:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        await writer.drain()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    await hang_up(writer, *(each for _, each in dawdlers))


def connections(runner: web.AppRunner) -> list[web.RequestHandler]:
    assert runner.server is not None
    return runner.server.connections


async def comes_true(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110  (what is waited for is not ours to signal)
        await asyncio.sleep(0.01)


async def was_hung_up_on(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


async def test_dawdlers_are_closed_when_their_time_is_over_and_busy_connections_are_not() -> None:
    usher = Usher(idle_s=60, connections_max=100)
    release = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        async def wait(_: web.Request) -> web.StreamResponse:
            await release.wait()
            return web.Response(text="done")

        return await usher.attend(request, wait)

    app = web.Application()
    app.add_routes([web.get("/", slow)])
    runner, port = await serve(app)
    busy_reader, busy = await asyncio.open_connection("127.0.0.1", port)
    busy.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    dawdling_reader, dawdling = await asyncio.open_connection("127.0.0.1", port)
    dawdling.write(b"GET / HTTP/1.1\r\nX-Slow:")
    async with asyncio.timeout(5):
        await comes_true(lambda: len(connections(runner)) == 2 and usher.busy == 1)
        usher.close_idle(connections(runner), now=1000)
        usher.close_idle(connections(runner), now=1061)
        assert await was_hung_up_on(dawdling_reader)
        release.set()
        assert (await busy_reader.read()).endswith(b"done")
    await hang_up(busy, dawdling)
    await runner.cleanup()


async def test_of_too_many_connections_the_longest_idle_go_first() -> None:
    usher = Usher(idle_s=60, connections_max=1)
    runner, port = await serve(web.Application())
    first_reader, first = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(5):
        await comes_true(lambda: len(connections(runner)) == 1)
        usher.close_idle(connections(runner), now=1)
        second_reader, second = await asyncio.open_connection("127.0.0.1", port)
        await comes_true(lambda: len(connections(runner)) == 2)
        usher.close_idle(connections(runner), now=2)
        assert await was_hung_up_on(first_reader)
    assert not second_reader.at_eof()
    await hang_up(first, second)
    await runner.cleanup()


@pytest.mark.parametrize("body", [b"csrf=%ff%fe\xff", b"\xff\xfe=1"])
async def test_a_form_that_is_not_text_is_refused(signed_in: Browser, body: bytes) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with signed_in.http.post(signed_in.base + "/logout", data=body, headers=headers) as answer:
        assert answer.status in (400, 403)
