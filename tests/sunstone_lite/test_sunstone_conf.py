"""A sunstone-server.conf that is there already."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from services.common.settings import Address, SettingsError
from services.sunstone_lite.app import create_app
from services.sunstone_lite.sunstone_conf import CREDENTIALS, KEYS, read_settings
from tests.sunstone_lite.conftest import Memcached, browse, serve

SHIPPED = Path(__file__).parent / "sunstone-server.conf"


def write(folder: Path, text: str) -> Path:
    path = folder / "sunstone-server.conf"
    path.write_text(text)
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(SettingsError) as error:
        read_settings(path)
    return [problem.replace(f"{path.parent}/", "") for problem in error.value.problems]


def test_the_shipped_file_becomes_settings() -> None:
    settings, unused = read_settings(SHIPPED)
    assert settings.listen == Address("0.0.0.0", 9869)
    assert settings.oned == ("http://localhost:2633/RPC2",)
    assert settings.cache == (Address("localhost", 11211),)
    assert settings.cache_namespace == "opennebula.sunstone"
    assert (settings.language, settings.log.level, settings.session.idle_s) == ("en", "debug", 1800)
    names = {key.name for key in unused}
    assert {":sessions", ":log:system", ":leases", ":oneflow_server", ":vnc_proxy_cert"} < names
    assert not names & {":host", ":port", ":memcache_host", ":lang"}
    assert (":core_auth" in names) is not Path(CREDENTIALS).is_file()


def test_the_yaml_beside_it_counts_where_both_say_something(tmp_path: Path) -> None:
    write(tmp_path, ":host: 10.0.0.1\n:session_expire_time: 86400\n:lang: pt_BR\n:memcache_host: 10.0.0.9\n")
    beside = tmp_path / "sunstone.yaml"
    beside.write_text("sunstone_conf: sunstone-server.conf\ncache: ['a:1', 'b:2']\nsession: {idle_s: 600}\n")
    settings = read_settings(beside).settings
    assert settings.listen == Address("10.0.0.1", 9869)
    assert settings.cache == (Address("a", 1), Address("b", 2))
    assert (settings.session.idle_s, settings.session.absolute_s, settings.language) == (600, 86400, "pt_BR")


def test_a_language_that_is_not_there_is_told_and_english_serves(tmp_path: Path) -> None:
    settings, unused = read_settings(write(tmp_path, ":port: 9869\n:lang: es_ES\n"))
    assert settings.language == "en"
    assert str(unused[0]).endswith(
        "sunstone-server.conf:2: :lang has no effect: there is no translation into es_ES; known are en_US, pt_BR"
    )


def test_all_mistakes_are_told_in_one_list_with_file_and_line(tmp_path: Path) -> None:
    text = """:hots: 0.0.0.0
:port: 99999
:one_xmlrpc: localhost:2633
:sessions: redis
:memcache_port: [1, 2]
:log:
  :level: 9
  :colour: red
:auth: x509
:session_expire_time: soon
:port: 9870
"""
    assert problems(write(tmp_path, text)) == [
        "sunstone-server.conf:1: :hots: unknown key; did you mean host?",
        "sunstone-server.conf:2: :port: expected HOST:PORT with a port from 0 to 65535, got '127.0.0.1:99999'",
        "sunstone-server.conf:4: :sessions: expected memory or memcache or memcache-dalli, got 'redis'",
        "sunstone-server.conf:5: :memcache_port: expected one value",
        "sunstone-server.conf:7: :log:level: expected 0 to 3, got '9'",
        "sunstone-server.conf:8: :log:colour: unknown key",
        "sunstone-server.conf:9: :auth: expected opennebula or sunstone, got 'x509'",
        "sunstone-server.conf:10: :session_expire_time: expected seconds, got 'soon'",
        "sunstone-server.conf:11: :port: given twice, first on line 2",
    ]
    assert problems(write(tmp_path, "- a\n")) == ["sunstone-server.conf:1: expected :key: value"]


def test_every_key_says_what_becomes_of_it() -> None:
    assert all(bool(key.setting) is not bool(key.unused) for key in KEYS.values())


def test_check_tells_what_has_no_effect() -> None:
    command = [sys.executable, "-m", "services.sunstone_lite.main", "--config", str(SHIPPED), "--check"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert told.returncode == 0
    assert re.search(
        r"sunstone-server\.conf:\d+: :sessions has no effect: sessions are always in Memcached", told.stdout
    )
    assert told.stdout.endswith(": ok\n")


async def test_people_sign_in_to_what_the_shipped_file_describes(
    tmp_path: Path, memcached: Memcached, oned_url: str
) -> None:
    text = SHIPPED.read_text().replace("http://localhost:2633/RPC2", oned_url)
    text = text.replace(":memcache_host: localhost", f":memcache_host: {memcached.address.host}")
    text = text.replace(":memcache_port: 11211", f":memcache_port: {memcached.address.port}")
    runner, port = await serve(create_app(read_settings(write(tmp_path, text)).settings))
    try:
        async with browse(f"http://127.0.0.1:{port}") as browser:
            assert (await browser.sign_in()).url == "/"
        keys = await keys_of(memcached)
        assert keys and all(key.startswith("opennebula.sunstone:") for key in keys)
    finally:
        await runner.cleanup()


async def keys_of(memcached: Memcached) -> list[str]:
    reader, writer = await asyncio.open_connection(*memcached.address)
    writer.write(b"lru_crawler metadump all\r\n")
    lines = (await reader.readuntil(b"END\r\n")).decode().splitlines()[:-1]
    writer.close()
    await writer.wait_closed()
    return [unquote(line.split()[0].removeprefix("key=")) for line in lines]
