"""An oned.conf that is there already: read, told what is wrong with it, and started from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from services.common.settings import Address, Secret, SettingsError
from services.common.template import Template, Vector, parse
from services.oned_lite.api.catalogue import TIMERS
from services.oned_lite.api.configuration import configuration, default_configuration
from services.oned_lite.server import oned_conf
from services.oned_lite.server.oned_conf import Setting, load, read_settings
from services.oned_lite.server.oned_conf_keys import KEYS, Fate
from services.oned_lite.server.settings import LogSettings, MariadbSettings, OnedSettings, SqliteSettings
from tests.support.mariadb import MariadbServer, copied_server
from tests.support.oned import SESSION, Oned, until
from tests.support.ports import free_port

SHIPPED = Path(__file__).parent / "shipped_oned.conf"
RECORDED = Path(__file__).parents[2] / "parity/scenarios/id-system.expected.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With oneadmin's password in it."""
    (tmp_path / "one_auth").write_text(SESSION + "\n")
    (tmp_path / "one_auth").chmod(0o600)
    return tmp_path


@pytest.fixture
def machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the places a server has of its own."""
    monkeypatch.setenv("ONE_AUTH", str(folder / "one_auth"))
    monkeypatch.setenv("STATE_DIRECTORY", str(folder / "state"))
    return folder


def write(folder: Path, text: str) -> Path:
    path = folder / "oned.conf"
    path.write_text(text)
    return path


def beside(folder: Path, **settings: Any) -> Path:
    """A YAML file that begins with the oned.conf in the same folder."""
    path = folder / "oned.yaml"
    path.write_text(yaml.safe_dump({"oned_conf": "oned.conf"} | settings))
    return path


def settings_of(folder: Path, text: str) -> OnedSettings:
    return read_settings(write(folder, text)).settings


def problems(path: Path) -> list[str]:
    with pytest.raises(SettingsError) as error:
        read_settings(path)
    return [problem.replace(f"{path.parent}/", "") for problem in error.value.problems]


# ---------------------------------------------------------------------- the notation
TEXT = """#***
# a comment = [ with = "signs" ]
#***

LOG = [ SYSTEM      = "file",
        # DEBUG_LEVEL = 5
        DEBUG_LEVEL = 3 ]

port = 2633   # trailing
TM_MAD_CONF = [ NAME = "shared" ]
TM_MAD_CONF = [ NAME = "ssh" ]
#OFF = 1
DEFAULT_UMASK = 177
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_settings_come_with_their_lines(tmp_path: Path, newline: str) -> None:
    path = tmp_path / "oned.conf"
    path.write_bytes(TEXT.replace("\n", newline).encode())
    conf = load(path)
    assert conf.settings == (
        Setting("LOG", Vector.of(SYSTEM="file", DEBUG_LEVEL="3"), 5),
        Setting("PORT", "2633", 9),
        Setting("TM_MAD_CONF", Vector.of(NAME="shared"), 10),
        Setting("TM_MAD_CONF", Vector.of(NAME="ssh"), 11),
        Setting("DEFAULT_UMASK", "177", 13),
    )
    assert [vector["NAME"] for vector in conf.template.vectors("TM_MAD_CONF")] == ["shared", "ssh"]
    assert [conf.line(name) for name in ("LOG/DEBUG_LEVEL", "LOG/SYSTEM", "PORT", "NONE")] == [7, 5, 9, 1]
    names = ("LOG/SYSTEM", "LOG", "PORT", "NONE", "LOG/NONE")
    assert [conf.value(name) for name in names] == ["file", None, "2633", None, None]


def test_a_file_that_is_not_in_the_notation_is_named_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, 'A = 1\nB = [ C = "1"\n  D = 2 ]\n')
    assert "oned.conf:3: Parse error: syntax error, unexpected VARIABLE" in problems(path)[0]


# ---------------------------------------------------------------------- the file that OpenNebula ships
def test_the_shipped_file_becomes_settings(machine: Path) -> None:
    found = read_settings(write(machine, SHIPPED.read_text()))
    settings = found.settings
    assert settings.listen == Address("0.0.0.0", 2633)
    assert (settings.data, settings.credentials) == (machine / "state", machine / "one_auth")
    assert settings.datastores == Path("/var/lib/one/datastores")
    assert (settings.database, settings.cluster) == (SqliteSettings(), None)
    assert (settings.raft.election_timeout_ms, settings.raft.heartbeat_ms) == (5000, 500)
    assert settings.raft.log_retention_entries == 250_000
    assert settings.log == LogSettings(level="debug")
    assert settings.events == Address("127.0.0.1", 2101)
    assert [key.name for key in found.unused] == [
        *("LOG/SYSTEM", "LOG/USE_VMS_LOCATION", "MONITORING_INTERVAL_DB_UPDATE", "SCRIPTS_REMOTE_DIR", "DB/TIMEOUT"),
        *("FEDERATION/MASTER_ONED", "FEDERATION/MODE", "FEDERATION/ZONE_ID"),
        *("RAFT/LIMIT_PURGE", "RAFT/LOG_PURGE_TIMEOUT", "RAFT/XMLRPC_TIMEOUT_MS", "NETWORK_SIZE"),
        *("IM_MAD", "VM_MAD", "TM_MAD", "DATASTORE_MAD", "MARKET_MAD", "IPAM_MAD", "AUTH_MAD"),
    ]


def test_system_config_is_what_the_real_daemon_made_of_the_shipped_file() -> None:
    """The recording daemon had the shipped file with the changes that are made here."""
    recorded = parse(json.loads(RECORDED.read_text())[7]["answer"][1]).without("ONE_KEY")
    given = load(SHIPPED).template.merge(
        parse(
            'LISTEN_ADDRESS = "127.0.0.1"\n'
            'AUTH_MAD = [ EXECUTABLE = "one_auth_mad", AUTHN = "server_cipher,dummy" ]\n'
            'HM_MAD = [ EXECUTABLE = "one_hm", ARGUMENTS = "-p 5800 -l 6300 -b 127.0.0.1" ]\n'
            'VM_MAD = [ NAME="dummy", SUNSTONE_NAME="Testing", EXECUTABLE="one_vmm_dummy", TYPE="xml",'
            ' KEEP_SNAPSHOTS="yes", COLD_NIC_ATTACH="yes", LIVE_RESIZE="yes" ]\n'
        )
    )
    port = recorded.get_int("PORT", 0)
    place = Path("@VAR@/datastores")
    assert configuration(given, datastore_location=place, port=port).template == recorded
    ours = default_configuration(datastore_location=place, port=port).template
    assert ours.without("LISTEN_ADDRESS") == recorded.without("LISTEN_ADDRESS")


def test_what_a_file_leaves_out_is_as_the_daemon_has_it_built_in() -> None:
    found = configuration(
        Template.of(RAFT=Vector.of(LOG_RETENTION="5"), TM_MAD_CONF=Vector.of(NAME="shared", LN_TARGET="SELF")),
        datastore_location=Path("/d"),
        port=1,
    )
    assert found.restricted("VM_RESTRICTED_ATTR") == frozenset()
    assert found.template.vectors("RAFT") == (Vector.of(LOG_RETENTION="5"),)
    transfers = found.template.vectors("TM_MAD_CONF")
    assert [one["NAME"] for one in transfers].count("shared") == 1
    assert transfers[0] == Vector.of(NAME="shared", LN_TARGET="SELF")
    assert "ceph" in [one["NAME"] for one in transfers]


def test_without_a_file_the_configuration_tells_of_the_settings(folder: Path) -> None:
    server = {"id": 3, "name": "s", "endpoint": "http://10.0.0.1:2633/RPC2"}
    path = folder / "oned.yaml"
    more = {"database": {"kind": "mariadb", "user": "one", "password": "hush"}, "credentials": "one_auth"}
    cluster = {"server_id": 3, "servers": [server]}
    path.write_text(yaml.safe_dump({"listen": "10.0.0.1:2633", "data": "own", "cluster": cluster} | more))
    said = oned_conf.attributes(read_settings(path).settings)
    found = default_configuration(datastore_location=Path("/d"), port=2633, instead=said).template
    assert found.get("LISTEN_ADDRESS") == "10.0.0.1"
    assert [vector["SERVER_ID"] for vector in found.vectors("FEDERATION")] == ["3"]
    assert [vector["BACKEND"] for vector in found.vectors("DB")] == ["mysql"]
    assert [vector["ELECTION_TIMEOUT_MS"] for vector in found.vectors("RAFT")] == ["1000"]
    assert [vector["LIMIT_PURGE"] for vector in found.vectors("RAFT")] == ["100000"]
    assert "hush" not in found.to_text()


def test_intervals_of_the_file_set_the_timers() -> None:
    given = Template.of(MONITORING_INTERVAL_DATASTORE="7", MONITORING_INTERVAL_MARKET="0")
    conf = configuration(given, datastore_location=Path("/d"), port=1)
    intervals = {timer.name: timer.configured(conf).interval_s for timer in TIMERS}
    assert intervals["datastores"] == 7.0
    assert intervals["marketplaces"] == 600.0


# ---------------------------------------------------------------------- keys one by one
def test_a_mysql_database(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYSQL_UNIX_PORT", str(machine / "one_auth"))
    remote = 'DB = [ BACKEND = "mysql", SERVER = "10.0.0.9", PORT = 3307, USER = "u", PASSWD = "p=1", DB_NAME = "n" ]'
    assert settings_of(machine, remote).database == MariadbSettings(
        user="u", password=Secret("p=1"), name="n", host="10.0.0.9", port=3307
    )
    assert settings_of(machine, 'DB = [ BACKEND = "mysql", SERVER = "localhost", PORT = 0 ]').database == (
        MariadbSettings(user="oneadmin", password=Secret("oneadmin"), socket=machine / "one_auth")
    )


def test_hooks_get_oneds_arguments_and_nothing_more(machine: Path) -> None:
    command = machine / "vip.sh"
    command.touch()
    text = f'RAFT_LEADER_HOOK = [ COMMAND = "{command}", ARGUMENTS = "leader eth0 10.0.0.2/24;x" ]'
    assert settings_of(machine, text).raft.leader_hook == (
        "/bin/sh",
        "-c",
        f"exec {command} leader eth0 '10.0.0.2/24;x'",
    )


def test_the_yaml_beside_it_counts_where_both_say_something(folder: Path) -> None:
    write(folder, 'PORT = 2700\nDB = [ BACKEND = "mysql" ]\nRAFT = [ BROADCAST_TIMEOUT_MS = 50 ]')
    path = beside(
        folder, data="own", credentials="one_auth", database={"kind": "sqlite"}, raft={"election_timeout_ms": 300}
    )
    settings = read_settings(path).settings
    assert settings.listen == Address("0.0.0.0", 2700)
    assert settings.data == folder / "own"
    assert settings.database == SqliteSettings()
    assert (settings.raft.election_timeout_ms, settings.raft.heartbeat_ms) == (300, 50)


def test_a_zone_needs_its_servers_and_usual_peers_need_not_be_said(folder: Path) -> None:
    write(folder, 'LISTEN_ADDRESS = "10.0.0.2"\nFEDERATION = [\n  MODE = "STANDALONE",\n  SERVER_ID = 1 ]')
    alone = beside(folder, data="own", credentials="one_auth")
    assert len(problems(alone)) == 1
    assert problems(alone)[0].startswith("oned.conf:4: cluster: servers: missing; where an oned.conf says SERVER_ID")
    servers = [{"id": n, "name": f"s{n}", "endpoint": f"http://10.0.0.{n + 1}:2633/RPC2"} for n in range(3)]
    settings = read_settings(beside(folder, data="own", credentials="one_auth", cluster={"servers": servers})).settings
    assert settings.cluster is not None
    assert settings.cluster.own.name == "s1"
    assert settings.cluster.own.peer_address == settings.peer_listen == Address("10.0.0.2", 2634)


# ---------------------------------------------------------------------- mistakes
def test_all_mistakes_are_told_in_one_list_with_file_and_line(folder: Path) -> None:
    write(
        folder,
        """PORTT = 2
LISTEN_ADDRESS = "not a host"
DB = [ BACKEND = "postgresql" ]
LOG = file
RAFT = [
    # LOG_RETENTION = 5
    ELECTION_TIMOUT_MS = 1,
    LOG_RETENTION = many ]
PORT = 2
PORT = 3
FEDERATION = [ MODE = "SLAVE",
               MASTER_ONED = "http://m:2633/RPC2" ]
VM_SUBMIT_ON_HOLD = true
DEFAULT_UMASK = 9
RAFT_FOLLOWER_HOOK = [ COMMAND = "/none.sh" ]
MAX_CONN = 1
MAC_PREFIX = [ A = 1 ]
""",
    )
    path = beside(folder, data="own", credentials="one_auth", scheduler="often")
    lines = path.read_text().splitlines()
    assert problems(path) == [
        "oned.conf:1: PORTT: unknown key; did you mean PORT?",
        "oned.conf:2: LISTEN_ADDRESS: expected HOST:PORT, got 'not a host:2633'",
        "oned.conf:3: DB/BACKEND: expected sqlite or mysql (also for MariaDB), got 'postgresql'",
        "oned.conf:4: LOG: expected [ KEY = VALUE, ... ]",
        "oned.conf:7: RAFT/ELECTION_TIMOUT_MS: unknown key; did you mean ELECTION_TIMEOUT_MS?",
        "oned.conf:8: RAFT/LOG_RETENTION: expected a whole number, got 'many'",
        "oned.conf:10: PORT: given twice, first on line 9",
        "oned.conf:11: FEDERATION/MODE: expected STANDALONE, got 'SLAVE': zones do not federate here",
        "oned.conf:13: VM_SUBMIT_ON_HOLD: expected YES or NO, got 'true'",
        "oned.conf:14: DEFAULT_UMASK: expected three octal digits, got '9'",
        "oned.conf:15: RAFT_FOLLOWER_HOOK/COMMAND: no such file: /none.sh",
        "oned.conf:16: MAX_CONN: expected int >= 8, got 1",
        "oned.conf:17: MAC_PREFIX: expected one value",
        f"oned.yaml:{lines.index('scheduler: often') + 1}: scheduler: expected bool, got 'often'",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("PORT = 70000", "oned.conf:1: PORT: expected 1 to 65535, got 70000"),
        ("LOG = [ DEBUG_LEVEL = 9 ]", "oned.conf:1: LOG/DEBUG_LEVEL: expected 0 to 5, got 9"),
        ("VM_HOOK = [ NAME = x ]", "oned.conf:1: VM_HOOK: unknown key"),
        ('DB = [ PASSWD = "hush", PASWD = "hush" ]', "oned.conf:1: DB/PASWD: unknown key; did you mean PASSWD?"),
    ],
)
def test_mistakes(machine: Path, text: str, problem: str) -> None:
    found = problems(write(machine, text))
    assert found == [problem] or found[0].startswith(problem)
    assert "hush" not in "".join(found)


def test_a_daemon_without_credentials_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in password is for trying things out, not for a file that listens everywhere."""
    monkeypatch.setenv("ONE_AUTH", str(tmp_path / "none"))
    assert problems(write(tmp_path, "PORT = 2633")) == ["oned.conf:1: credentials: no such file: none"]


def test_a_password_is_in_no_representation(machine: Path) -> None:
    text = 'DB = [ BACKEND = "mysql", PASSWD = "hush" ]'
    assert "hush" not in repr(settings_of(machine, text))
    assert "hush" not in repr(load(machine / "oned.conf"))


def test_every_key_says_what_becomes_of_it() -> None:
    assert {key.fate for key in KEYS.values()} == set(Fate)
    assert all(key.says and not key.says.endswith(".") for key in KEYS.values())


# ---------------------------------------------------------------------- real daemons
@pytest.fixture
def started() -> Iterator[list[Oned]]:
    daemons: list[Oned] = []
    yield daemons
    for one in daemons:
        one.kill()


def start(daemons: list[Oned], folder: Path, port: int, config: Path) -> Oned:
    daemons.append(Oned(folder, port, "--config", str(config)).start())
    return daemons[-1]


def test_a_daemon_starts_from_the_shipped_file_and_obeys_it(machine: Path, started: list[Oned]) -> None:
    port, events = free_port(), free_port()
    text = re.sub(r"^PORT = 2633$", f"PORT = {port}\nVM_SUBMIT_ON_HOLD = YES", SHIPPED.read_text(), flags=re.MULTILINE)
    text = text.replace("-p 2101", f"-p {events}") + f'DATASTORE_LOCATION = "{machine}/datastores"\n'
    oned = start(started, machine, port, write(machine, text)).ready()

    shown = parse(oned.call("one.system.config")[1])
    assert (
        shown
        == configuration(
            load(machine / "oned.conf").template, datastore_location=machine / "datastores", port=port
        ).template.without_empty_vectors()
    )
    assert [one["NAME"] for one in shown.vectors("VM_MAD")] == ["kvm", "qemu", "lxd", "lxc", "firecracker", "vcenter"]
    vm = oned.call("one.vm.allocate", "CPU = 1\nMEMORY = 64", False)[1]
    assert "<STATE>2</STATE>" in oned.call("one.vm.info", vm)[1]
    log = oned.log.read_text()
    assert log.count("keys that have no effect") == 1
    assert "AUTH_MAD" in log and "VM_RESTRICTED_ATTR" not in log


@pytest.fixture
def database(mariadb_folder: Path) -> Iterator[tuple[MariadbServer, int]]:
    """A MariaDB that is reached over TCP with a password, and its port."""
    server, port = copied_server(mariadb_folder, "oned-conf"), free_port()
    server.start("--skip-networking=OFF", "--bind-address=127.0.0.1", f"--port={port}")
    server.execute("CREATE USER 'one'@'127.0.0.1' IDENTIFIED BY 'p#ss word'; GRANT ALL ON *.* TO 'one'@'127.0.0.1'")
    yield server, port
    server.kill()


@pytest.mark.timeout(120)
def test_a_daemon_keeps_its_state_in_the_database_of_the_file(
    machine: Path, started: list[Oned], database: tuple[MariadbServer, int]
) -> None:
    server, database_port = database
    port = free_port()
    text = f"""
LISTEN_ADDRESS = 127.0.0.1
PORT = {port}
DB = [ BACKEND = "mysql", SERVER = "127.0.0.1", PORT = {database_port}, USER = "one", PASSWD = "p#ss word",
       DB_NAME = "fromconf" ]
"""
    oned = start(started, machine, port, write(machine, text)).ready()
    assert oned.call("one.template.allocate", "NAME = kept")[0] is True
    shown = parse(oned.call("one.system.config")[1]).vector("DB")
    assert shown is not None and (shown["PASSWD"], shown["DB_NAME"]) == ("***", "fromconf")
    assert oned.stop()[0] == 0
    server.execute("SELECT 1 / (COUNT(*) = 1) FROM fromconf.template_pool WHERE name = 'kept'")

    (machine / "oned.conf").write_text(text.replace("p#ss word", "wr#ng one"))
    refused = start(started, machine, port, machine / "oned.conf")
    assert refused.process is not None and refused.process.wait(timeout=30) == 1
    log = refused.log.read_text()
    assert "cannot start: the database" in log
    assert "p#ss" not in log and "wr#ng" not in log


@pytest.mark.timeout(120)
def test_three_servers_become_a_zone_from_their_own_files_and_one_in_common(folder: Path, started: list[Oned]) -> None:
    ports = [free_port() for _ in range(3)]
    servers = [
        {"id": n, "name": f"s{n}", "endpoint": f"http://127.0.0.1:{port}/RPC2", "peer": f"127.0.0.1:{free_port()}"}
        for n, port in enumerate(ports)
    ]
    for number, port in enumerate(ports):
        place = folder / f"server{number}"
        place.mkdir()
        write(
            place,
            f"LISTEN_ADDRESS = 127.0.0.1\nPORT = {port}\nFEDERATION = [ SERVER_ID = {number} ]\n"
            "RAFT = [ ELECTION_TIMEOUT_MS = 1500, BROADCAST_TIMEOUT_MS = 100 ]\n",
        )
        common = beside(place, data="own", credentials="../one_auth", cluster={"servers": servers})
        start(started, place, port, common)
    for one in started:
        one.ready()
    leader = until(lambda: next((one for one in started if one.leads()), None))
    other = next(one for one in started if one is not leader)
    assert other.call("one.template.allocate", "NAME = t")[0] is True
    config = parse(other.call("one.system.config")[1])
    assert config.get_int("PORT") == leader.port, "a follower shows the leader's"


@pytest.mark.timeout(120)
def test_a_server_alone_becomes_a_zone_and_keeps_its_data(folder: Path, started: list[Oned]) -> None:
    """As OpenNebula's documents have it: tell the zone of the server, restart it with its id, add the others."""
    servers = [
        {
            "id": n,
            "name": f"s{n}",
            "endpoint": f"http://127.0.0.1:{free_port()}/RPC2",
            "peer": f"127.0.0.1:{free_port()}",
        }
        for n in range(2)
    ]

    def begin(number: int, server_id: int, **cluster: Any) -> Oned:
        place, port = folder / f"server{number}", urlsplit(str(servers[number]["endpoint"])).port
        place.mkdir(exist_ok=True)
        assert port is not None
        write(place, f"LISTEN_ADDRESS = 127.0.0.1\nPORT = {port}\nFEDERATION = [ SERVER_ID = {server_id} ]\n")
        more = {"cluster": cluster} if cluster else {}
        return start(started, place, port, beside(place, data="own", credentials="../one_auth", **more)).ready()

    def add(through: Oned, number: int) -> None:
        given = servers[number]
        text = f'SERVER = [ NAME = s{number}, ENDPOINT = "{given["endpoint"]}", PEER = "{given["peer"]}" ]'
        assert through.call("one.zone.addserver", 0, text)[0] is True

    alone = begin(0, -1)
    assert alone.call("one.template.allocate", "NAME = old")[0] is True
    add(alone, 0)
    assert alone.stop()[0] == 0
    first = begin(0, 0, servers=servers[:1])
    add(first, 1)
    second = begin(1, 1, servers=servers, join=True)
    until(lambda: first.health()["voters"] == [0, 1])
    until(lambda: "<NAME>old</NAME>" in second.call("one.templatepool.info", -2, -1, -1)[1])
