"""Settings files: every problem at once, with file and line where the file has them; the command itself."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from services.balancer.config import read_plan
from services.common.settings import SettingsError
from tests.support.ports import free_port

GOOD = """
listen: 127.0.0.1:{port}
status: 127.0.0.1:{status}
upstreams:
  app: {{servers: [{{address: "127.0.0.1:1"}}]}}
locations: [{{path: /, upstream: app, set_headers: {{X-Real-IP: $remote_addr}}}}]
"""


def problems(path: Path, text: str) -> list[str]:
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_plan(path)
    return [problem.removeprefix(str(path.parent) + "/") for problem in caught.value.problems]


def test_unknown_keys_and_bad_values_are_named_with_their_lines(tmp_path: Path) -> None:
    found = problems(
        tmp_path / "b.yaml", "listen: 127.0.0.1:1\nlissten: x\nupstreams:\n  app:\n    servers: []\n    keepalive: 3\n"
    )
    assert [line.split(":")[1] for line in found] == ["2", "5", "6"]
    assert "did you mean listen" in found[0]


def test_contradictions_are_listed_all_at_once(tmp_path: Path) -> None:
    text = """
listen: nonsense
upstreams:
  app:
    method: fastest
    servers: [{address: "127.0.0.1:1"}]
  other:
    servers: [{address: x}, {address: "h:1"}, {address: "h:1"}]
    health_check: {status: [abc], body: "(", uri: healthz}
locations:
  - {path: relative, upstream: app}
  - {path: /, upstream: missing, set_headers: {"Bad Name": x, X: $nope}, next_upstream: [http_418]}
"""
    found = "\n".join(problems(tmp_path / "b.yaml", text))
    for word in ("fastest", "unix:/PATH, got 'x'", "listed twice", "'abc'", "'('", "'healthz'", "'relative'", "'missing'",
                 "'Bad Name'", "$nope", "http_418", "got 'nonsense'"):  # fmt: skip
        assert word in found


LEVELS = """
clients: {send_timeout_s: 9, keepalive_s: 8, header_timeout_s: 7, line_bytes: 1000}
sites:
  - listen: 127.0.0.1:1
    clients: {keepalive_s: 4, keepalive_time_s: 90, head_bytes: 2000}
    locations:
      - {path: /, answer: {status: 204}}
      - {path: /x, answer: {status: 204}, clients: {keepalive_s: 0, keepalive_time_s: 80, lingering: always}}
  - {listen: 127.0.0.1:1, clients: {header_timeout_s: 1}, locations: [{path: /, answer: {status: 204}}]}
"""


def test_what_clients_may_do_is_said_by_the_file_the_site_or_the_location(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(LEVELS)
    listener = read_plan(path).listeners["127.0.0.1:1"]
    first, second = listener.servers
    routes = [first.locations.find(b"/"), first.locations.find(b"/x"), second.locations.find(b"/")]
    seen = [(rules.send_timeout_s, rules.keepalive_s, rules.keepalive_time_s, rules.lingering)
            for rules in (route.clients for route in routes if route is not None)]  # fmt: skip
    assert seen == [(9, 4, 90, "on"), (9, 0, 80, "always"), (9, 8, 3600, "on")]
    assert (listener.header_timeout_s, listener.limits.line, listener.limits.total) == (7, 1000, 2000)
    assert listener.aging_s == 80


def test_unsupported_nginx_directives_are_refused_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "inc.conf").write_text("location /y {\n  proxy_pass http://app;\n  proxy_cache zone;\n}\n")
    text = """events {}
http {
  upstream app { server 127.0.0.1:1; ntlm; }
  server {
    listen 127.0.0.1:8080 quic;
    location / { proxy_pass http://app; proxy_set_header X $nope; proxy_read_timeout soon; }
    include inc.conf;
  }
}
"""
    found = problems(tmp_path / "nginx.conf", text)
    assert [line.split(": ")[0] for line in found] == [
        "nginx.conf:3",
        "nginx.conf:5",
        "nginx.conf:6",
        "nginx.conf:6",
        "inc.conf:3",
    ]


def test_a_broken_nginx_conf_is_one_clear_line(tmp_path: Path) -> None:
    assert "nginx.conf:2" in problems(tmp_path / "nginx.conf", "http {\n  server {\n")[0]


def test_the_command_checks_serves_reloads_and_stops(tmp_path: Path) -> None:
    path, port, status = tmp_path / "b.yaml", free_port(), free_port()
    path.write_text(GOOD.format(port=port, status=status))
    command = [str(Path(sys.executable).with_name("balancer-lite")), "--config", str(path)]
    checked = subprocess.run([*command, "--check"], capture_output=True, text=True, timeout=20, check=True)
    assert f"127.0.0.1:{port}" in checked.stdout
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert "serving" in process.stderr.readline()
        with urllib.request.urlopen(f"http://127.0.0.1:{status}/healthz", timeout=5) as answer:
            assert answer.status == 200
        path.write_text("nonsense: 1\n")
        process.send_signal(signal.SIGHUP)
        assert "the old ones stay" in process.stderr.readline()
        path.write_text(GOOD.format(port=port, status=status))
        process.send_signal(signal.SIGHUP)
        assert "settings reloaded" in process.stderr.readline()
        began = time.monotonic()
        process.terminate()
        assert process.wait(timeout=10) == 0 and time.monotonic() - began < 5
    finally:
        process.kill()
        process.communicate()


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "b.yaml").write_text(GOOD.format(port=port, status=free_port()))
        command = [str(Path(sys.executable).with_name("balancer-lite")), "--config", str(tmp_path / "b.yaml")]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 1 and f"cannot listen on 127.0.0.1:{port}" in ended.stderr
