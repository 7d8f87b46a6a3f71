"""Reading an existing sunstone-server.conf (YAML with Ruby's symbols as keys) as settings of `sunstone-lite`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from services.common.foreign_settings import Loaded, Translation, Unused, load_either
from services.common.settings import Problem, compose, unknown_key
from services.common.settings_tree import Scalar, TreeBuilder, line_of

from .settings import SessionSettings, Settings

CREDENTIALS = "/var/lib/one/.one/sunstone_auth"
LOG_LEVELS = {"0": "error", "1": "warning", "2": "info", "3": "debug"}
LANGUAGES = {"en_US": "en", "pt_BR": "pt_BR"}


@dataclass(frozen=True, slots=True)
class Key:
    """`setting`: what the key becomes; `unused`: why it has no effect. One of them is empty."""

    setting: str = ""
    unused: str = ""


_NO_UPLOADS = Key(unused="images come from the datastores' own paths and URLs, none pass through the UI")
_NO_CONSOLES = Key(unused="there are no consoles")
_NO_SECOND_FACTOR = Key(unused="there is no second factor")
_NO_FLOW = Key(unused="there are no services of OneFlow")
_NO_FIREEDGE = Key(unused="there is no FireEdge")
_NO_SUPPORT = Key(unused="there is no support portal")
_OWN_PAGES = Key(unused="the pages have a form of their own")

KEYS: Mapping[str, Key] = {
    "tmpdir": _NO_UPLOADS,
    "max_upload_file_size": _NO_UPLOADS,
    "one_xmlrpc": Key("oned"),
    "one_xmlrpc_timeout": Key(unused="calls have a bound that fits a page"),
    "subscriber_endpoint": Key(unused="the pages ask oned themselves"),
    "host": Key("listen"),
    "port": Key("listen"),
    "sessions": Key(unused="sessions are always in Memcached"),
    "memcache_host": Key("cache"),
    "memcache_port": Key("cache"),
    "memcache_namespace": Key("cache_namespace"),
    "env": Key(unused="there is one environment"),
    "log/level": Key("log.level"),
    "log/system": Key(unused="logs go to stderr; systemd keeps them"),
    "debug_level": Key("log.level"),
    "proxy": _NO_SUPPORT,
    "no_proxy": _NO_SUPPORT,
    "auth": Key(unused="oned checks passwords; x509 and remote are refused"),
    "core_auth": Key("server_credentials"),
    "two_factor_auth_issuer": _NO_SECOND_FACTOR,
    **dict.fromkeys(
        ("webauthn_origin", "webauthn_rpname", "webauthn_timeout", "webauthn_rpid", "webauthn_algorithms"),
        _NO_SECOND_FACTOR,
    ),
    **dict.fromkeys(
        (
            *("vnc_proxy_port", "vnc_proxy_support_wss", "vnc_proxy_cert", "vnc_proxy_key", "vnc_proxy_ipv6"),
            *("vnc_client_port", "vnc_request_password", "allow_vnc_federation", "disable_guacamole_info_header"),
        ),
        _NO_CONSOLES,
    ),
    "session_expire_time": Key("session.idle_s"),
    "keep_me_logged": Key(unused="a login ends with session.absolute_s at the latest"),
    "lang": Key("language"),
    **dict.fromkeys(
        (
            *("table_order", "mode", "get_extended_vm_info", "get_extended_vm_monitoring", "paginate", "leases"),
            *("threshold_min", "threshold_low", "threshold_high", "support_fs", "routes"),
        ),
        _OWN_PAGES,
    ),
    "token_remote_support": _NO_SUPPORT,
    "oneflow_server": _NO_FLOW,
    "private_fireedge_endpoint": _NO_FIREEDGE,
    "public_fireedge_endpoint": _NO_FIREEDGE,
}
"""By name, without the colon, in the file's order; keys of `:log:` as log/KEY."""

_ALLOWED: Mapping[str, tuple[str, ...]] = {
    "sessions": ("memory", "memcache", "memcache-dalli"),
    "auth": ("opennebula", "sunstone"),
    "core_auth": ("cipher",),
}


def read_settings(path: Path) -> Loaded[Settings]:
    """The settings in `path`: a sunstone-server.conf, or YAML that may name one (`sunstone_conf`) to begin with."""
    return load_either(path, Settings, "sunstone_conf", lambda conf: _Translator(conf).run())


class _Translator:
    """One file's way into a tree of settings."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tree = TreeBuilder(path)
        self._values: dict[str, yaml.Node] = {}
        self._problems: list[Problem] = []
        self._unused: list[Unused] = []

    def run(self) -> Translation:
        for name_node, name, value in self._entries():
            self._check(name_node, name, value)
        self._places()
        self._each("log/level", self._log_level)
        self._each("debug_level", self._log_level)
        self._each("session_expire_time", self._session)
        self._each("lang", self._language)
        self._credentials()
        return Translation(self._tree.root, self._problems, self._unused)

    # ------------------------------------------------------------------ what every key must obey
    def _entries(self) -> Iterator[tuple[yaml.Node, str, yaml.Node]]:
        """Each key with its value; `:log:` in parts."""
        root = compose(self._path)
        if not isinstance(root, yaml.MappingNode):
            self._problem("", "expected :key: value", line_of(root))
            return
        for name_node, value in root.value:
            name = _symbol(name_node)
            if name == "log" and isinstance(value, yaml.MappingNode):
                yield from ((inner, f"log/{_symbol(inner)}", below) for inner, below in value.value)
            else:
                yield name_node, name, value

    def _check(self, name_node: yaml.Node, name: str, value: yaml.Node) -> None:
        key, line = KEYS.get(name), line_of(name_node)
        if key is None:
            self._problem(name, unknown_key(name, KEYS), line)
        elif name in self._values:
            self._problem(name, f"given twice, first on line {line_of(self._values[name])}", line)
        elif key.setting and not isinstance(value, yaml.ScalarNode):
            self._problem(name, "expected one value", line)
        elif name in _ALLOWED and value.value not in _ALLOWED[name]:
            self._problem(name, f"expected {' or '.join(_ALLOWED[name])}, got {value.value!r}", line)
        else:
            self._values[name] = value
            if key.unused:
                self._ignore(name, key.unused)

    def _problem(self, name: str, message: str, line: int) -> None:
        self._problems.append(Problem(str(self._path), line, f"{_written(name)}: {message}" if name else message))

    def _ignore(self, name: str, why: str) -> None:
        self._unused.append(Unused(str(self._path), self._line(name), _written(name), why))

    # ------------------------------------------------------------------ keys that become settings
    def _places(self) -> None:
        host, cache = self._text("host", "127.0.0.1"), self._text("memcache_host", "localhost")
        self._put("listen", f"{host}:{self._text('port', '9869')}", "port")
        self._put("cache", (f"{cache}:{self._text('memcache_port', '11211')}",), "memcache_port")
        self._put("oned", (self._text("one_xmlrpc", "http://localhost:2633/RPC2"),), "one_xmlrpc")
        self._put("cache_namespace", self._text("memcache_namespace", "opennebula.sunstone"), "memcache_namespace")

    def _log_level(self, name: str, text: str) -> None:
        if text in LOG_LEVELS:
            self._put("log.level", LOG_LEVELS[text], name)
        else:
            self._problem(name, f"expected 0 to 3, got {text!r}", self._line(name))

    def _session(self, name: str, text: str) -> None:
        """A login may last as long as its idle time, if that is longer than usual."""
        if text.isascii() and text.isdecimal() and len(text) < 10:
            self._put("session.idle_s", int(text), name)
            self._put("session.absolute_s", max(int(text), SessionSettings().absolute_s), name)
        else:
            self._problem(name, f"expected seconds, got {text!r}", self._line(name))

    def _language(self, name: str, text: str) -> None:
        self._put("language", LANGUAGES.get(text, "en"), name)
        if text not in LANGUAGES:
            self._ignore(name, f"there is no translation into {text}; known are {', '.join(LANGUAGES)}")

    def _credentials(self) -> None:
        if Path(CREDENTIALS).is_file():
            self._put("server_credentials", CREDENTIALS, "core_auth")
        elif "core_auth" in self._values:
            self._ignore("core_auth", f"no {CREDENTIALS}; login tokens are used, or say server_credentials in YAML")

    # ------------------------------------------------------------------ small tools
    def _each(self, name: str, put: Callable[[str, str], None]) -> None:
        """What is given without a value says nothing."""
        text = self._text(name, "")
        if text:
            put(name, text)

    def _text(self, name: str, default: str) -> str:
        node = self._values.get(name)
        return default if node is None or not node.value else str(node.value)

    def _put(self, key: str, value: Scalar | tuple[str, ...], name: str) -> None:
        self._tree.put(key, value, self._line(name), _written(name))

    def _line(self, name: str) -> int:
        return line_of(self._values[name]) if name in self._values else 1


def _symbol(node: yaml.Node) -> str:
    """`:port` is written for the symbol `port`; newer files write `port` alone here and there."""
    return str(node.value).removeprefix(":")


def _written(name: str) -> str:
    return f":{name.replace('/', ':')}"
