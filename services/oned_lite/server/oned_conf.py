"""Reading an existing oned.conf: its values as settings, by the table of keys (`oned_conf_keys`).

The same file gives the daemon's configuration (`template`): what one.system.config shows and policies go by.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from services.common.foreign_settings import Loaded, Translation, Unused, load_either
from services.common.settings import Problem, SettingsError, read_text, unknown_key
from services.common.settings_tree import Scalar, TreeBuilder
from services.common.template import Template, TemplateError, Value, Vector
from services.common.template.reader import stored_name
from services.common.template.text_form import line_of, read

from .oned_conf_keys import DRIVER_VECTORS, KEYS, NAMES, VECTORS, Fate, Form, Key
from .settings import MariadbSettings, OnedSettings

DATA = "/var/lib/oned-lite"
"""Where systemd does not say it (StateDirectory=)."""
CREDENTIALS = "/var/lib/one/.one/one_auth"
HOOKS = Path("/var/lib/one/remotes/hooks")
"""Where oned looks for the commands of hooks."""
DATASTORES = "/var/lib/one/datastores"
DATABASE_SOCKETS = ("/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock")
"""For the MySQL library, the server `localhost` means what MYSQL_UNIX_PORT says or one of these, whatever the port."""
LOG_LEVELS = ("error", "warning", "info", "debug", "debug", "debug")
_FORMS = {
    Form.NUMBER: re.compile(r"\s*[+-]?[0-9]{1,18}\s*"),
    Form.YES_NO: re.compile(r"yes|no|", re.IGNORECASE),
    Form.OCTAL: re.compile(r"[0-7]{3}"),
}


class Setting(NamedTuple):
    """One setting as it stands in the file."""

    name: str
    value: Value
    line: int


@dataclass(frozen=True, slots=True)
class OnedConf:
    """A whole file. `settings` are in the file's order, `template` has the same in a template's order."""

    path: Path
    settings: tuple[Setting, ...] = field(repr=False)  # a password may be among them
    _lines: tuple[str, ...] = field(repr=False)

    @property
    def template(self) -> Template:
        return Template.of([(setting.name, setting.value) for setting in self.settings])

    def value(self, name: str) -> str | None:
        """Of NAME or VECTOR/KEY; None where the file does not say it."""
        vector, _, key = name.partition("/")
        found = next((setting.value for setting in self.settings if setting.name == vector), None)
        if isinstance(found, Vector):
            return found.text(key)
        return None if key else found

    def line(self, name: str) -> int:
        """Where NAME or VECTOR/KEY stands, as exactly as can be said; 1 where it does not."""
        vector, _, key = name.partition("/")
        start = next((setting.line for setting in self.settings if setting.name == vector), 1)
        if not key:
            return start
        says = re.compile(rf"[^#]*\b{re.escape(key)}\s*=", re.IGNORECASE)
        end = next((setting.line for setting in self.settings if setting.line > start), len(self._lines) + 1)
        return next((number for number in range(start, end) if says.match(self._lines[number - 1])), start)


def load(path: Path) -> OnedConf:
    """The settings in `path`. SettingsError, naming file and line, if it is not in the notation."""
    text = read_text(path).replace("\r\n", "\n")
    try:
        settings = tuple(Setting(stored_name(item.name), item.value, line_of(text, item.offset)) for item in read(text))
    except TemplateError as error:
        raise SettingsError(f"{path}:{error.line or 1}: {error}") from error
    return OnedConf(path, settings, tuple(text.split("\n")))


def read_settings(path: Path) -> Loaded[OnedSettings]:
    """The settings in `path`: an oned.conf, or YAML that may name one (`oned_conf`) to begin with."""
    return load_either(path, OnedSettings, "oned_conf", lambda conf: _Translator(load(conf)).run(), whole=("database",))


def attributes(settings: OnedSettings) -> Template:
    """The other way round: what an oned.conf would say of settings that came without one. No password is among it."""
    raft, database = settings.raft, Vector.of(BACKEND="sqlite")
    if isinstance(settings.database, MariadbSettings):
        server = "localhost" if settings.database.socket else settings.database.host
        names = {"USER": settings.database.user, "DB_NAME": settings.database.name, "SERVER": server}
        database = Vector.of(names, BACKEND="mysql", PORT=str(settings.database.port))
    server_id = -1 if settings.cluster is None else settings.cluster.server_id
    return Template.of(
        LISTEN_ADDRESS=settings.listen.host,
        DB=database,
        FEDERATION=Vector.of(MODE="STANDALONE", ZONE_ID="0", SERVER_ID=str(server_id), MASTER_ONED=""),
        RAFT=Vector.of(
            ELECTION_TIMEOUT_MS=str(raft.election_timeout_ms),
            BROADCAST_TIMEOUT_MS=str(raft.heartbeat_ms),
            LOG_RETENTION=str(raft.log_retention_entries),
        ),
    )


class _Translator:
    """One file's way into a tree of settings."""

    def __init__(self, conf: OnedConf) -> None:
        self._conf = conf
        self._tree = TreeBuilder(conf.path)
        self._problems: list[Problem] = []
        self._wrong: set[str] = set()
        self._unused: dict[str, Unused] = {}

    def run(self) -> Translation:
        for setting in self._conf.settings:
            self._check(setting)
        self._settings()
        return Translation(self._tree.root, tuple(self._problems), tuple(self._unused.values()))

    # ------------------------------------------------------------------ what every key must obey
    def _check(self, setting: Setting) -> None:
        name, value = setting.name, setting.value
        if name not in NAMES:
            self._problem(name, unknown_key(name, NAMES), setting.line)
        elif isinstance(value, Vector) != (name in VECTORS or name in DRIVER_VECTORS):
            expected = "[ KEY = VALUE, ... ]" if isinstance(value, str) else "one value"
            self._problem(name, f"expected {expected}", setting.line)
        elif self._given_before(setting) and not self._key(name).often:
            self._problem(name, f"given twice, first on line {self._conf.line(name)}", setting.line)
        else:
            for key, text in _parts(setting):
                self._check_value(key, text, setting)

    def _key(self, name: str) -> Key:
        return KEYS.get(name) or KEYS[next(key for key in KEYS if key.startswith(f"{name}/"))]

    def _given_before(self, setting: Setting) -> bool:
        return next(one for one in self._conf.settings if one.name == setting.name) is not setting

    def _check_value(self, name: str, text: str, setting: Setting) -> None:
        key, line = KEYS.get(name), self._conf.line(name) if "/" in name else setting.line
        if key is None:
            vector, _, unknown = name.partition("/")
            known = [one.partition("/")[2] for one in KEYS if one.startswith(f"{vector}/")]
            self._problem(name, unknown_key(unknown, known), line)
        elif key.form in _FORMS and not _FORMS[key.form].fullmatch(text):
            self._problem(name, f"expected {key.form.value}, got {text!r}", line)
        elif key.fate is Fate.SHOWN:
            self._ignore(name, line, key.says)

    def _problem(self, name: str, message: str, line: int | None = None) -> None:
        line = self._conf.line(name) if line is None else line
        self._wrong.add(name)
        self._problems.append(Problem(str(self._conf.path), line, f"{name}: {message}"))

    def _ignore(self, name: str, line: int, why: str) -> None:
        self._unused.setdefault(name, Unused(str(self._conf.path), line, name, why))

    # ------------------------------------------------------------------ keys that become settings
    def _settings(self) -> None:
        self._put("data", os.environ.get("STATE_DIRECTORY") or DATA, "data")
        self._put("credentials", os.environ.get("ONE_AUTH") or CREDENTIALS, "credentials")
        self._put("datastores", self._text("DATASTORE_LOCATION", DATASTORES), "DATASTORE_LOCATION")
        self._listen()
        self._database()
        self._zone()
        for name, key in (("RAFT_LEADER_HOOK", "raft.leader_hook"), ("RAFT_FOLLOWER_HOOK", "raft.follower_hook")):
            self._hook(name, key)
        self._numbers(
            {
                "RAFT/ELECTION_TIMEOUT_MS": "raft.election_timeout_ms",
                "RAFT/BROADCAST_TIMEOUT_MS": "raft.heartbeat_ms",
                "RAFT/LOG_RETENTION": "raft.log_retention_entries",
                "MAX_CONN": "http.connections",
            }
        )
        level = self._number("LOG/DEBUG_LEVEL", 3)
        if 0 <= level < len(LOG_LEVELS):
            self._put("log.level", LOG_LEVELS[level], "LOG/DEBUG_LEVEL")
        else:
            self._problem("LOG/DEBUG_LEVEL", f"expected 0 to {len(LOG_LEVELS) - 1}, got {level}")
        self._events()

    def _listen(self) -> None:
        host, port = self._text("LISTEN_ADDRESS", "0.0.0.0"), self._number("PORT", 2633)
        if not 0 < port < 65536:
            self._problem("PORT", f"expected 1 to 65535, got {port}")
        else:
            self._put("listen", f"[{host}]:{port}" if ":" in host else f"{host}:{port}", "LISTEN_ADDRESS")

    def _database(self) -> None:
        backend = self._text("DB/BACKEND", "sqlite")
        if backend == "mysql":
            self._mysql()
        elif backend == "sqlite":
            self._put("database.kind", "sqlite", "DB/BACKEND")
        else:
            self._problem("DB/BACKEND", f"expected sqlite or mysql (also for MariaDB), got {backend!r}")

    def _mysql(self) -> None:
        self._put("database.kind", "mariadb", "DB/BACKEND")
        self._put("database.user", self._text("DB/USER", "oneadmin"), "DB/USER")
        self._put("database.password", self._text("DB/PASSWD", "oneadmin"), "DB/PASSWD")
        self._put("database.name", self._text("DB/DB_NAME", "opennebula"), "DB/DB_NAME")
        server = self._text("DB/SERVER", "localhost")
        sockets = (os.environ.get("MYSQL_UNIX_PORT"), *DATABASE_SOCKETS)
        socket = next((path for path in sockets if path and Path(path).exists()), None)
        if server == "localhost" and socket is not None:
            self._put("database.socket", socket, "DB/SERVER")
        else:
            self._put("database.host", "127.0.0.1" if server == "localhost" else server, "DB/SERVER")
            self._put("database.port", self._number("DB/PORT", 0) or 3306, "DB/PORT")

    def _zone(self) -> None:
        mode = self._text("FEDERATION/MODE", "STANDALONE")
        if mode.upper() != "STANDALONE":
            self._problem("FEDERATION/MODE", f"expected STANDALONE, got {mode!r}: zones do not federate here")
        server_id = self._number("FEDERATION/SERVER_ID", -1)
        if server_id >= 0:
            self._put("cluster.server_id", server_id, "FEDERATION/SERVER_ID")

    def _hook(self, name: str, key: str) -> None:
        """oned adds nothing to the arguments, and we add the term: here it becomes the shell's `$0`, out of the way."""
        command, arguments = self._value(f"{name}/COMMAND"), self._text(f"{name}/ARGUMENTS", "")
        if not command:
            return
        program = HOOKS / command
        if program.is_file():
            script = f"exec {shlex.join([str(program), *arguments.split()])}"
            self._put(key, ("/bin/sh", "-c", script), f"{name}/COMMAND")
        else:
            self._problem(f"{name}/COMMAND", f"no such file: {program}")

    def _events(self) -> None:
        """The hook driver publishes the event stream; here the daemon itself does."""
        arguments = self._conf.value("HM_MAD/ARGUMENTS")
        if arguments is None:
            return
        given = dict(re.findall(r"-([a-z])\s+(\S+)", arguments))
        if importlib.util.find_spec("zmq") is None:
            why = "the event stream needs pyzmq: pip install 'onelite[events]'"
            self._ignore("HM_MAD", self._conf.line("HM_MAD"), why)
        else:
            self._put("events", f"{given.get('b', '127.0.0.1')}:{given.get('p', '2101')}", "HM_MAD")

    # ------------------------------------------------------------------ small tools
    def _value(self, name: str) -> str | None:
        """None also where it is wrong, so that everything else can be looked at."""
        return None if self._wrong & {name, name.partition("/")[0]} else self._conf.value(name)

    def _text(self, name: str, default: str) -> str:
        return self._value(name) or default

    def _number(self, name: str, default: int) -> int:
        return int(self._value(name) or default)

    def _numbers(self, settings: dict[str, str]) -> None:
        for name, key in settings.items():
            text = self._value(name)
            if text is not None:
                self._put(key, int(text), name)

    def _put(self, key: str, value: Scalar | tuple[str, ...], name: str) -> None:
        self._tree.put(key, value, self._conf.line(name), name)


def _parts(setting: Setting) -> Iterator[tuple[str, str]]:
    """The keys that a setting consists of, with their values; drivers are taken as a whole."""
    if isinstance(setting.value, str) or setting.name in DRIVER_VECTORS:
        yield setting.name, setting.value if isinstance(setting.value, str) else ""
    else:
        yield from ((f"{setting.name}/{key}", text) for key, text in setting.value)
