"""The settings of `sunstone-lite` and what their values mean."""

import re
from pathlib import Path
from typing import Literal

import msgspec

from services.common.settings import Address
from services.sunstone_lite.cache import NAMESPACE

_NAMESPACE = re.compile(r"[!-~]{1,100}")


class SessionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Life of a login (OWASP Session Management): both limits are enforced on the server."""

    idle_s: int = 1800
    absolute_s: int = 8 * 3600

    def __post_init__(self) -> None:
        if not 60 <= self.idle_s <= self.absolute_s:
            raise ValueError("expected 60 <= idle_s <= absolute_s")


class LogSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Level and style of the log on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    style: Literal["text", "json"] = "text"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything `sunstone-lite --config FILE` reads.

    `oned` lists XML-RPC endpoints, this machine's own first. `cache` lists Memcached servers; each holds every session,
    under keys that begin with `cache_namespace`.
    `server_credentials` names a file "serveradmin:password"; with it the UI delegates through server_cipher and keeps no
    login token. `name` is shown as "served by"; it defaults to the listen address. `sunstone_conf`: a
    sunstone-server.conf whose values count where this file is silent.
    """

    listen: Address
    oned: tuple[str, ...]
    cache: tuple[Address, ...]
    cache_namespace: str = NAMESPACE
    name: str = ""
    sunstone_conf: Path | None = None
    server_credentials: Path | None = None
    session: SessionSettings = SessionSettings()
    cookie_secure: bool = False
    language: Literal["en", "pt_BR"] = "en"
    title: str = "OpenNebula"
    log: LogSettings = LogSettings()

    def __post_init__(self) -> None:
        if not self.oned or not self.cache:
            raise ValueError("oned and cache each need at least one server")
        for url in self.oned:
            if not url.startswith(("http://", "https://")):
                raise ValueError(f"oned: expected http://HOST:PORT/RPC2, got {url!r}")
        if self.server_credentials and not self.server_credentials.is_file():
            raise ValueError(f"server_credentials: no such file: {self.server_credentials}")
        if not _NAMESPACE.fullmatch(self.cache_namespace):
            raise ValueError("cache_namespace: expected 1 to 100 ASCII characters without blanks")
        if not self.name.isascii() or (not self.name.isprintable() and self.name):
            raise ValueError("name: expected plain ASCII, it goes into a header")

    @property
    def served_by(self) -> str:
        """The name this process answers under, in the footer and in `X-Served-By`."""
        return self.name or str(self.listen)
