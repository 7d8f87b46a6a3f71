"""The balancer that is played with: everything switched on, and all times short."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.balancer.support import Upstream

LIMIT = 3
SHORT_S = 0.6
VARIANTS = 5


@dataclass(frozen=True)
class Scene:
    """Its servers, and where it speaks TLS; ``wild`` servers do as clients tell them, ``calm`` ones answer well."""

    calm: list[Upstream]
    wild: list[Upstream]
    single: list[Upstream]
    secure: list[Upstream]
    tls_port: int
    certificate: Path

    def settings(self, variant: int) -> dict[str, Any]:
        """``variant`` changes what a reload may change."""
        tls = {"certificate": str(self.certificate), "key": str(self.certificate.with_suffix(".key"))}
        locations = self._locations(variant)
        return {
            "locations": locations,
            "sites": [{"listen": f"127.0.0.1:{self.tls_port}", "tls": tls, "locations": locations}],
            "clients": {
                "header_timeout_s": SHORT_S, "body_timeout_s": SHORT_S, "send_timeout_s": SHORT_S, "keepalive_s": 5,
                "keepalive_requests": 20 + variant, "lingering_time_s": 1, "lingering_timeout_s": 0.3,
                "reset_timedout": variant == 3,
            },
            "upstreams": self._groups(variant),
        }  # fmt: skip

    def _locations(self, variant: int) -> list[dict[str, Any]]:
        limit = {"key": "$http_x_key", "most": LIMIT, "zone": "limited"}
        rate = {"key": "$http_x_key", "per_s": 20, "burst": 6}
        page = {"statuses": [500, 502, 503, 504], "to": "@calm", "status": "answer"}
        more = [_location("/more/")] if variant == 2 else []
        return [
            {"path": "/own", "answer": {"status": 200, "text": "own"}},
            {"path": "/calm/", "upstream": "calm", "clients": {"body_timeout_s": 30}},
            {"path": "@calm", "upstream": "calm"},
            _location("/wild/", next_upstream=["error", "timeout", "invalid_header", "http_500", "http_503"]),
            _location("/raw/", buffering=False, request_buffering=False),
            _location("/zip/", gzip={"types": ["*"]}),
            _location("/kept/", ignore_client_abort=True, conn_limits=[{**limit, "most": 30}]),
            _location("/tight/", upstream="tight"),
            _location(
                "/limited/", upstream="single", conn_limits=[limit], conn_limit_status=429, next_upstream=["off"]
            ),
            _location("/rated/", rate_limits=[rate], rate_limit_status=429),
            _location("/page/", intercept_errors=True, error_pages=[page]),
            _location("/secure/", upstream="secure"),
            *more,
        ]

    def _groups(self, variant: int) -> dict[str, Any]:
        zone = variant != 1
        kept = {"connections": 3, "idle_s": SHORT_S, "requests": 7}
        queue = {"size": 5, "timeout_s": SHORT_S}
        groups = {
            "calm": _group(self.calm, zone=zone, keepalive={**kept, "requests": 1000}),
            "wild": _group(self.wild, zone=zone, keepalive=kept, max_fails=(0, 0, 3)[variant % 3]),
            "tight": _group(self.wild[:2], zone=zone, keepalive=kept, max_conns=2, queue=queue),
            "single": _group(self.single, keepalive=kept),
            "secure": _group(self.secure, keepalive=kept, tls={}),
        }
        if variant == 4:
            groups["spare"] = _group(self.calm, zone=True, keepalive=kept)
        return groups


def _group(servers: list[Upstream], *, max_fails: int = 0, max_conns: int = 0, **more: Any) -> Any:
    each = {"max_fails": max_fails, "fail_timeout_s": 1, "max_conns": max_conns}
    return {"method": "least_conn", "servers": [{"address": up.address, **each} for up in servers], **more}


def _location(path: str, upstream: str = "wild", **more: Any) -> dict[str, Any]:
    times = {"connect_timeout_s": SHORT_S, "send_timeout_s": SHORT_S, "read_timeout_s": SHORT_S}
    return {"path": path, "upstream": upstream, **times, **more}
