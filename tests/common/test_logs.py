import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from services.common import logs


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    structlog.reset_defaults()


def test_text_is_one_readable_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("oned")
    logs.get("raft").info("became leader", term=3, peer="a b", none=None)
    time, line = capsys.readouterr().err.split(" ", 1)
    assert time.endswith("Z")
    assert line == 'info     raft: became leader  term=3 peer="a b" none=None\n'


def test_json_has_the_service_and_all_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("oned", style="json")
    logs.get("raft").warning("slow disk", ms=12.5)
    event = json.loads(capsys.readouterr().err)
    assert event.pop("timestamp")
    assert event == {"service": "oned", "logger": "raft", "level": "warning", "event": "slow disk", "ms": 12.5}


def test_nothing_below_the_level(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("oned", level="error")
    logs.get("raft").info("hidden")
    assert capsys.readouterr().err == ""
    with pytest.raises(ValueError, match="log level is one of debug, info"):
        logs.setup("oned", level="loud")


@pytest.mark.parametrize("style", ["text", "json"])
def test_what_clients_send_cannot_forge_a_line(capsys: pytest.CaptureFixture[str], style: str) -> None:
    logs.setup("oned", style="json" if style == "json" else "text")
    logs.get("api").info("call\nforged", name="x\n2026-01-01 info", other="\x1b[31m\u2028")
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("name", ["password", "session", "token", "cookie_secret", "Authorization"])
def test_secrets_are_masked(capsys: pytest.CaptureFixture[str], name: str) -> None:
    logs.setup("oned")
    logs.get("api").info("call", **{name: "oneadmin:pw"})
    assert capsys.readouterr().err.endswith(f"{name}=***\n")


def test_exceptions_come_with_their_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("oned")
    try:
        raise KeyError("x")
    except KeyError:
        logs.get("api").exception("failed")
    first, second, *_, last = capsys.readouterr().err.splitlines()
    assert first.endswith("api: failed")
    assert second.startswith("Traceback")
    assert last == "KeyError: 'x'"


def test_libraries_log_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("oned")
    logging.getLogger("asyncio").warning("slow %s", "callback")
    assert capsys.readouterr().err.endswith(" warning  asyncio: slow callback\n")
