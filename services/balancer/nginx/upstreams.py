"""``upstream`` blocks of an nginx.conf."""

from __future__ import annotations

from typing import Any

from services.balancer.core.addresses import EXPECTED, UNIX, valid_address
from services.balancer.nginx.directives import Directive, Problems, number, seconds
from services.balancer.nginx.table import permitted
from services.balancer.settings import KeepAlive, Queue, Server, Upstream

UNUSABLE = "unusable:1"  # in the place of an address that is wrong


class UpstreamReader:
    """Reads one upstream block at a time; ``state_file`` is what their ``state`` directives name."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self.state_file = ""

    def read(self, upstream: Directive) -> Upstream:
        servers: list[Server] = []
        values: dict[str, Any] = {}
        keepalive: dict[str, Any] = {}
        for directive in permitted(upstream.block or (), "upstream", self._problems):
            name = directive.name
            if name == "server":
                servers.append(self._server(directive))
                address = servers[-1].address
                if address != UNUSABLE and address in [server.address for server in servers[:-1]]:
                    self._problems.add(directive, f"{directive.text} stands there already; give it a weight instead")
            elif name in ("least_conn", "ip_hash"):
                values["method"] = name
            elif name == "hash":
                values["hash_key"] = self._problems.template(directive, directive.text)
                values["method"] = "hash consistent" if "consistent" in directive.args[1:] else "hash"
            elif name == "random":
                values["method"] = self._random(directive)
            elif name == "queue":
                values["queue"] = self._queue(directive)
            elif name == "state":
                self._state(directive)
            elif name == "keepalive":
                keepalive["connections"] = number(directive, self._problems)
            elif name == "keepalive_requests":
                keepalive["requests"] = number(directive, self._problems)
            elif name == "zone":
                values["zone"] = True  # workers share memory of its own, whatever name and size say
            else:  # keepalive_timeout and keepalive_time
                key = "idle_s" if name == "keepalive_timeout" else "life_s"
                keepalive[key] = seconds(directive, self._problems)
        if not servers:
            self._problems.add(upstream, f"{upstream.text} has no server")
            servers = [Server(address="127.0.0.1:1")]
        return Upstream(servers=servers, keepalive=KeepAlive(**keepalive), **values)

    def _server(self, directive: Directive) -> Server:
        values: dict[str, Any] = {}
        for argument in directive.args[1:]:
            key, equals, value = argument.partition("=")
            if argument == "weight=0":
                self._problems.add(directive, "expected a weight from 1 on; down takes a server out")
            elif key in ("weight", "max_fails", "max_conns") and value.isdigit():
                values[key] = int(value)
            elif key in ("weight", "max_fails", "max_conns") and equals:
                self._problems.add(directive, f"expected a number, got {argument}")
            elif key == "fail_timeout" and equals:
                values["fail_timeout_s"] = int(seconds(directive, self._problems, value))
            elif key == "slow_start" and equals:
                values["slow_start_s"] = seconds(directive, self._problems, value)
            elif argument in ("backup", "down", "drain"):
                values[argument] = True
            elif argument == "resolve":
                pass  # a name is looked up at every connect
            else:
                self._problems.add(directive, f"parameter {argument} is not supported")
        address = with_port(directive.text)
        if not valid_address(address):
            self._problems.add(directive, f"{EXPECTED}, got {directive.text!r}")
            address = UNUSABLE
        return Server(address=address, **values)

    def _random(self, directive: Directive) -> str:
        if directive.args in ((), ("two",), ("two", "least_conn")):
            return "random two" if directive.args else "random"
        self._problems.wrong(directive, "nothing, two, or two least_conn")
        return "random"

    def _queue(self, directive: Directive) -> Queue:
        timeout = next((a.partition("=")[2] for a in directive.args[1:] if a.startswith("timeout=")), "60s")
        return Queue(size=number(directive, self._problems), timeout_s=seconds(directive, self._problems, timeout))

    def _state(self, directive: Directive) -> None:
        if self.state_file not in ("", directive.text):
            self._problems.add(directive, f"one file keeps the changes of all upstreams, and that is {self.state_file}")
        self.state_file = self.state_file or directive.text


def with_port(address: str, port: int = 80) -> str:
    """An address with a default port when it has none, and could have one."""
    if address.startswith(UNIX):
        return address
    host, colon, given = address.rpartition(":")
    return address if colon and host and given.isdigit() and not host.endswith(":") else f"{address}:{port}"
