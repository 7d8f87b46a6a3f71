"""Each balancer's settings for the same three servers: same method, patience and knobs. Pure, but for finding programs.

All use least connections, HTTP/1.1 with kept connections, retries after errors and timeouts that cost the user nothing, and
none logs requests: their logs say when a server is taken out, and that is what `watch` reads. `active` switches passive
accounting off (`max_fails 0`). HAProxy retries failed connections elsewhere (`option redispatch`), and checks with the same
interval, counts and timeout as our active check.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from deploy.lab import programs
from deploy.lab.compare.plan import Checks
from services.common.settings import Address

SYSTEM_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
CHECK_URI = "/healthz"
FOREIGN = ("nginx", "haproxy")
"""Arrangements that are other people's programs, by name."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one balancer lives: what it listens on, its folder, and the port of the servers' health pages."""

    listen: Address
    probe_port: int
    folder: Path

    @property
    def settings(self) -> Path:
        return self.folder / "settings"

    @property
    def log(self) -> Path:
        return self.folder / "log"


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What to write into a file, and what to run."""

    settings: Path
    text: str
    argv: tuple[str, ...]


def installed(arrangement: str) -> bool:
    """Whether it can be run here."""
    return arrangement not in FOREIGN or program(arrangement) is not None


def arrange(name: str, checks: Checks, servers: Mapping[str, Address], place: Place) -> Arrangement:
    """The balancer called `name` in front of the servers."""
    match name:
        case "nginx":
            found = program("nginx") or "nginx"
            where = ("-c", str(place.settings), "-p", str(place.folder), "-e", "stderr")
            return Arrangement(place.settings, nginx(checks, servers, place), (found, *where))
        case "haproxy":
            found = program("haproxy") or "haproxy"
            return Arrangement(
                place.settings, haproxy(checks, servers, place), (found, "-db", "-f", str(place.settings))
            )
        case _:
            settings = place.settings.with_suffix(".yaml")
            argv = (*programs.ours("balancer-lite"), "--config", str(settings))
            return Arrangement(settings, balancer(name, checks, servers, place), argv)


def balancer(name: str, checks: Checks, servers: Mapping[str, Address], place: Place) -> str:
    """YAML of our own balancer: `name` says which of its checks work."""
    upstream: dict[str, object] = {
        "method": "least_conn",
        "servers": [
            {
                "address": str(address),
                "max_fails": 0 if name == "active" else checks.max_fails,
                "fail_timeout_s": checks.fail_timeout_s,
            }
            for address in servers.values()
        ],
    }
    if name in ("active", "both"):
        upstream["health_check"] = {
            "interval_s": checks.interval_s,
            "timeout_s": checks.probe_timeout_s,
            "fails": checks.fails,
            "passes": checks.passes,
            "uri": CHECK_URI,
            "port": place.probe_port,
        }
    location = {
        "path": "/",
        "upstream": "ui",
        "connect_timeout_s": checks.connect_timeout_s,
        "read_timeout_s": checks.read_timeout_s,
    }
    settings = {
        "listen": str(place.listen),
        "upstreams": {"ui": upstream},
        "locations": [location],
    }
    return yaml.safe_dump(settings, sort_keys=False)


def nginx(checks: Checks, servers: Mapping[str, Address], place: Place) -> str:
    """nginx.conf: one worker, passive checks as of nginx."""
    lines = "\n".join(
        f"    server {address} max_fails={checks.max_fails} fail_timeout={checks.fail_timeout_s}s;"
        for address in servers.values()
    )
    folder = place.folder
    return f"""worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
daemon off;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream ui {{
    least_conn;
{lines}
    keepalive 32;
  }}
  server {{
    listen {place.listen};
    location / {{
      proxy_pass http://ui;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_connect_timeout {_ms(checks.connect_timeout_s)}ms;
      proxy_read_timeout {_ms(checks.read_timeout_s)}ms;
    }}
  }}
}}
"""


def haproxy(checks: Checks, servers: Mapping[str, Address], place: Place) -> str:
    """haproxy.cfg: one thread, active checks."""
    inter = f"port {place.probe_port} inter {_ms(checks.interval_s)} fall {checks.fails} rise {checks.passes}"
    lines = "\n".join(f"  server {name} {address} check {inter}" for name, address in servers.items())
    return f"""global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect {_ms(checks.connect_timeout_s)}
  timeout client 60s
  timeout server {_ms(checks.read_timeout_s)}
  timeout check {_ms(checks.probe_timeout_s)}
  option redispatch 1
frontend front
  bind {place.listen}
  default_backend ui
backend ui
  balance leastconn
  option httpchk GET {CHECK_URI}
{lines}
"""


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def program(name: str) -> str | None:
    """Where nginx or HAProxy is, if it is installed."""
    return shutil.which(name) or shutil.which(name, path=SYSTEM_PATH)
