from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import pytest
from msgspec import Meta, Struct

from services.common.settings import Address, SettingsError, load, parse_address, read_secret


class Log(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    level: Literal["info", "debug"] = "info"


class Server(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Annotated[int, Meta(ge=0)]
    peer: Address

    def __post_init__(self) -> None:
        if self.peer.port == 0:
            raise ValueError("a peer needs a port")


class Sqlite(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="sqlite"):
    path: Path = Path("one.db")


class Mariadb(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="mariadb"):
    user: str


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    listen: Address
    data: Path
    log: Log = Log()
    servers: tuple[Server, ...] = ()
    database: Sqlite | Mariadb = Sqlite()
    timeout_s: float = 1.0
    names: dict[str, int] = {}
    caches: list[Address] = []
    secret_file: Path | None = None
    color: Color = Color.RED
    scheduler: bool = True


GOOD = """
listen: 127.0.0.1:2633
data: state
log: {level: debug}
servers:
  - {id: 0, peer: "[::1]:2634"}
  - id: 1
    peer: host-2.example:2634
database:
  kind: mariadb
  user: oneadmin
timeout_s: 2
names: {a: 1}
caches: ["127.0.0.1:11211"]
secret_file: null
color: blue
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "lab.yaml"
    path.write_text(text)
    return path


def problems(folder: Path, text: str) -> list[str]:
    path = write(folder, text)
    with pytest.raises(SettingsError) as error:
        load(path, Settings)
    assert str(error.value).splitlines() == list(error.value.problems)
    return [problem.replace(f"{path}:", "") for problem in error.value.problems]


def test_a_file_becomes_typed_settings(tmp_path: Path) -> None:
    assert load(write(tmp_path, GOOD), Settings) == Settings(
        listen=Address("127.0.0.1", 2633),
        data=tmp_path / "state",
        log=Log(level="debug"),
        servers=(Server(id=0, peer=Address("::1", 2634)), Server(id=1, peer=Address("host-2.example", 2634))),
        database=Mariadb(user="oneadmin"),
        timeout_s=2.0,
        names={"a": 1},
        caches=[Address("127.0.0.1", 11211)],
        color=Color.BLUE,
    )


def test_an_absolute_path_stays(tmp_path: Path) -> None:
    assert load(write(tmp_path, "listen: 'a:1'\ndata: /var/lib/one"), Settings).data == Path("/var/lib/one")


def test_all_problems_are_told_at_once_with_line_and_key(tmp_path: Path) -> None:
    text = """listen: nowhere
lisen: 127.0.0.1:1
log: {level: loud}
servers:
  - id: -1
    peer: 127.0.0.1:99999
  - peer: 127.0.0.1:0
    id: x
  - {id: 0, peer: "127.0.0.1:0"}
database: {kind: oracle}
timeout_s: soon
names: {a: b}
caches: 127.0.0.1:11211
color: green
"""
    assert problems(tmp_path, text) == [
        "1: listen: expected HOST:PORT, got 'nowhere'",
        "1: data: missing",
        "2: lisen: unknown key; did you mean listen?",
        "3: log.level: expected one of info, debug, got 'loud'",
        "5: servers[0].id: expected int >= 0, got -1",
        "6: servers[0].peer: expected HOST:PORT with a port from 0 to 65535, got '127.0.0.1:99999'",
        "8: servers[1].id: expected int, got 'x'",
        "9: servers[2]: a peer needs a port",
        "10: database.kind: expected one of sqlite, mariadb, got 'oracle'",
        "11: timeout_s: expected float, got 'soon'",
        "12: names.a: expected int, got 'b'",
        "13: caches: expected array, got '127.0.0.1:11211'",
        "14: color: expected one of red, blue, got 'green'",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1: listen: missing"),
        ("# nothing", "1: listen: missing"),
        ("- a", "1: expected object, got a list"),
        ("listen: a:1\nlisten: a:2\ndata: d", "2: listen: given twice, first on line 1"),
        ("listen: a:1\ndata: [", "2: expected the node content, but found '<stream end>'"),
        ("listen: a:1\ndata: d\n1: x", "3: 1: unknown key; known are"),
        ("listen: a:1\ndata: d\nlog: null", "3: log: expected object, got nothing"),
        ("listen: a:1\ndata: 7", "2: data: expected a path, got 7"),
        ("listen: 5\ndata: d", "1: listen: expected HOST:PORT, got 5"),
        ("listen: a:1\ndata: d\ndatabase: sqlite", "3: database: expected a mapping with kind, got 'sqlite'"),
        ("listen: a:1\ndata: d\ndatabase: {}", "3: database.kind: missing; it is one of sqlite, mariadb"),
        ("listen: a:1\ndata: d\nscheduler: maybe", "3: scheduler: expected bool, got 'maybe'"),
        ("listen: a:1\ndata: d\nnames: &x {a: *x}", "found unconstructable recursive node"),
        ("listen: a:1\ndata: !!python/object:os.system d", "could not determine a constructor"),
    ],
)
def test_problems(tmp_path: Path, text: str, problem: str) -> None:
    assert any(problem in found for found in problems(tmp_path, text))


def test_anchors_and_merged_mappings_work(tmp_path: Path) -> None:
    text = "listen: a:1\ndata: d\nservers:\n  - &first {id: 0, peer: 'a:1'}\n  - {<<: *first, id: 1}\n"
    assert [server.id for server in load(write(tmp_path, text), Settings).servers] == [0, 1]


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.yaml: cannot be read: No such file or directory"):
        load(tmp_path / "none.yaml", Settings)
    path = write(tmp_path, "#" * 2_000_000)
    with pytest.raises(SettingsError, match=r"lab\.yaml: is larger than"):
        load(path, Settings)
    path.write_bytes(b"\xff")
    with pytest.raises(SettingsError, match=r"lab\.yaml: is not UTF-8 text"):
        load(path, Settings)
    path.write_bytes(b"a: \x01")
    with pytest.raises(SettingsError, match=r"lab\.yaml: unacceptable character"):
        load(path, Settings)


@pytest.mark.parametrize("text", ["", "a", ":1", "a:", "a:b", "a:-1", "a:65536", "a b:1", "::1:1", "[::1]", "a:٣"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse_address(text)


@pytest.mark.parametrize("text", ["127.0.0.1:0", "a-b.example:65535", "[fe80::1]:80"])
def test_addresses_round_trip(text: str) -> None:
    assert str(parse_address(text)) == text


def test_secrets_lose_the_newline_at_the_end_only(tmp_path: Path) -> None:
    (tmp_path / "auth").write_text(" oneadmin:pass word \n")
    assert read_secret(tmp_path / "auth") == " oneadmin:pass word "
    (tmp_path / "auth").write_text("\n")
    with pytest.raises(SettingsError, match="is empty"):
        read_secret(tmp_path / "auth")
