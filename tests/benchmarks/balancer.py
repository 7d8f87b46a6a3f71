"""CPU seconds per request of the balancer, nginx and HAProxy: same machine, same run, same upstreams.

    python -m tests.benchmarks.balancer [--quick] [--only balancer,nginx] [--rounds 5]
    python -m tests.benchmarks.balancer --only balancer,balancer-2,balancer-2z

Each proxy runs one worker (balancer-2 two, balancer-2z two with a zone) with keep-alive to two nginx upstreams, least
connections, passive and (where it has them) active checks, X-Real-IP, and no access log. The load is closed-loop. CPU
time is that of the proxy's processes (user and system) from /proc, so it does not depend on how fast the upstreams or the
load are. Rounds alternate between the proxies, there and back. Medians are printed, ratios to nginx (of the same round: a
machine may be faster or slower the next minute) with their range, and whether the balancer keeps within the bars it is held
to. Latencies are those of a machine that load and servers share, so few rounds say little of them. Distinct requests have a
path, a query and an answer head of their own. As root, peers that are missing are installed. ``deploy/compile`` first:
otherwise the balancer runs interpreted, and that is what is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.balancer import acceleration
from tests.support.ports import free_port

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    path: str
    connections: int
    requests: int
    distinct: bool = False
    tls: bool = False
    bar: float = 1.0  # times nginx's CPU time


PACKAGES = {"nginx": "nginx-light", "haproxy": "haproxy"}
IDLE_CONNECTIONS = 5000
IDLE_BAR_KB = 10.0

CASES = (
    Case("100 B, 64 connections", "/small", 64, 40_000),
    Case("100 B, 64 connections, distinct requests", "/small", 64, 40_000, distinct=True),
    Case("100 B, 1000 connections", "/small", 1000, 40_000),
    Case("100 B, 64 connections, TLS", "/small", 64, 30_000, tls=True, bar=1.5),
    Case("1 MB, 64 connections", "/large", 64, 1_500),
    Case("1 MB, 1000 connections", "/large", 1000, 2_000),
)

UPSTREAM = """
worker_processes 1; pid {dir}/upstream.pid; error_log /dev/null; daemon off;
events {{ worker_connections 16384; }}
http {{
  access_log off; keepalive_requests 100000000; sendfile on; tcp_nopush on;
  server {{
    listen 127.0.0.1:{a} backlog=4096; listen 127.0.0.1:{b} backlog=4096; root {dir}/www; default_type text/plain;
    rewrite ^/(small|large)/ /$1 break; add_header X-Asked $request_uri;
  }}
}}
"""
NGINX = """
worker_processes 1; pid {dir}/nginx.pid; error_log /dev/null; daemon off;
events {{ worker_connections 16384; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2;
  fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  upstream app {{
    least_conn; server 127.0.0.1:{a} max_fails=3 fail_timeout=10; server 127.0.0.1:{b} max_fails=3 fail_timeout=10;
    keepalive 1024; keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096; listen 127.0.0.1:{tls_port} ssl backlog=4096;
    ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem; ssl_protocols TLSv1.2 TLSv1.3;
    location / {{
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header X-Real-IP $remote_addr; proxy_set_header Host $http_host;
    }}
  }}
}}
"""
HAPROXY = """
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 60s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{port} backlog 4096
  bind 127.0.0.1:{tls_port} ssl crt {dir}/both.pem backlog 4096
  http-request set-header X-Real-IP %[src]
  default_backend app
backend app
  balance leastconn
  option httpchk GET /small
  http-reuse always
  server a 127.0.0.1:{a} check inter 5s
  server b 127.0.0.1:{b} check inter 5s
"""
BALANCER = """
sites:
  - listen: 127.0.0.1:{port}
    locations: &locations
      - {{path: /, upstream: app, set_headers: {{X-Real-IP: $remote_addr}}}}
  - listen: 127.0.0.1:{tls_port}
    tls: {{certificate: {dir}/cert.pem, key: {dir}/key.pem}}
    locations: *locations
status: 127.0.0.1:{status}
clients: {{keepalive_requests: 100000000}}
upstreams:
  app:
    method: least_conn
    keepalive: {{connections: 1024, requests: 100000000}}
    servers:
      - {{address: "127.0.0.1:{a}", max_fails: 3, fail_timeout_s: 10}}
      - {{address: "127.0.0.1:{b}", max_fails: 3, fail_timeout_s: 10}}
    health_check: {{interval_s: 5, uri: /small}}
"""
TWO_WORKERS = f"{BALANCER}workers: 2\n"
BALANCERS = {
    "balancer": BALANCER,
    "balancer-2": TWO_WORKERS,
    "balancer-2z": TWO_WORKERS.replace("method: least_conn", "method: least_conn\n    zone: true"),
}


@dataclass(frozen=True)
class Proxy:
    """A running proxy."""

    name: str
    pid: int
    port: int
    tls_port: int


@dataclass(frozen=True)
class Sample:
    """One measurement."""

    cpu_us: float
    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int
    rss_kib: int


@contextlib.contextmanager
def process(*command: str) -> Iterator[int]:
    """Run a program for the time of the block."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield child.pid
    finally:
        child.terminate()
        child.wait(timeout=15)


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    sys.exit(f"nothing listens on port {port}")


def family(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(child for each in children for child in family(int(each)))]


def cpu_seconds(pid: int) -> float:
    total = 0
    for each in family(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def rss_kib(pid: int) -> int:
    return sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) * PAGE // 1024 for each in family(pid))


def measure(proxy: Proxy, case: Case, requests: int) -> Sample:
    port = proxy.tls_port if case.tls else proxy.port
    command = [sys.executable, "-m", "tests.benchmarks.balancer_load", str(port), case.path, str(case.connections)]
    command += [str(requests), *(["--distinct"] if case.distinct else []), *(["--tls"] if case.tls else [])]
    before = cpu_seconds(proxy.pid)
    load = subprocess.run(command, capture_output=True, check=True, text=True, timeout=400)
    used = cpu_seconds(proxy.pid) - before
    result = json.loads(load.stdout)
    return Sample(
        used / result["answers"] * 1e6, result["answers"] / result["seconds"], result["p50_ms"], result["p99_ms"],
        result["errors"], rss_kib(proxy.pid),
    )  # fmt: skip


@contextlib.contextmanager
def proxies(directory: Path, only: set[str]) -> Iterator[list[Proxy]]:
    """Start the upstreams and the proxies."""
    made = recipes(directory)
    a, b, *ports = (free_port() for _ in range(2 + 3 * len(made)))
    directory.chmod(0o755)  # the upstream nginx may run as another user
    (directory / "www").mkdir()
    (directory / "www" / "small").write_bytes(b"x" * 100)
    (directory / "www" / "large").write_bytes(b"x" * 1_000_000)
    make_certificate(directory)
    with contextlib.ExitStack() as stack:
        values = {"dir": directory, "a": a, "b": b}
        (directory / "upstream.conf").write_text(UPSTREAM.format(**values))
        stack.enter_context(process("nginx", "-e", "/dev/null", "-c", str(directory / "upstream.conf")))
        wait_for(a)
        running = []
        for index, (name, text, command) in enumerate(made):
            if name not in only:
                continue
            port, tls_port, status = ports[3 * index : 3 * index + 3]
            Path(command[-1]).write_text(text.format(port=port, tls_port=tls_port, status=status, **values))
            pid = stack.enter_context(process(*command))
            wait_for(port)
            running.append(Proxy(name, pid, port, tls_port))
        yield running


def install(only: set[str]) -> None:
    """Have nginx, which is the upstream as well, and the other peers that are to be measured."""
    missing = [package for program, package in PACKAGES.items()
               if program in {"nginx", *only} and shutil.which(program) is None]  # fmt: skip
    if not missing:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if os.geteuid() or shutil.which("apt-get") is None:
        sys.exit(f"not installed: {' '.join(missing)}; as root: {' '.join(command)}")
    print(f"installing {' '.join(missing)}", flush=True)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})


def recipes(directory: Path) -> list[tuple[str, str, list[str]]]:
    balancer = str(Path(sys.executable).with_name("balancer-lite"))
    return [
        ("nginx", NGINX, ["nginx", "-e", "/dev/null", "-c", str(directory / "nginx.conf")]),
        ("haproxy", HAPROXY, ["haproxy", "-db", "-f", str(directory / "haproxy.cfg")]),
        *((name, text, [balancer, "--config", str(directory / f"{name}.yaml")]) for name, text in BALANCERS.items()),
    ]


def make_certificate(directory: Path) -> None:
    cert, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=bench.example.org", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    (directory / "both.pem").write_bytes(cert.read_bytes() + key.read_bytes())


HEADS = ("CPU µs/request", "to nginx", "requests/s", "p50 ms", "p99 ms", "RSS MiB", "errors")


def show(case: Case, samples: dict[str, list[Sample]]) -> None:
    """Print one case: medians over the rounds, of CPU also of its ratio to nginx."""
    print(f"\n{case.name}\n  {'':10}" + "".join(f"{head:>{len(head) + 2}}" for head in HEADS), flush=True)
    theirs = samples.get("nginx", [])
    for name, each in samples.items():
        cells = [
            f"{median(each, 'cpu_us'):.1f}", f"{statistics.median(ratios(each, theirs, 'cpu_us')):.2f}" if theirs else "-",
            f"{median(each, 'per_second'):.0f}",
            f"{median(each, 'p50_ms'):.2f}", f"{median(each, 'p99_ms'):.2f}", f"{median(each, 'rss_kib') / 1024:.1f}",
            str(sum(sample.errors for sample in each)),
        ]  # fmt: skip
        row = "".join(f"{cell:>{len(head) + 2}}" for cell, head in zip(cells, HEADS, strict=True))
        print(f"  {name:10}{row}", flush=True)


def median(samples: list[Sample], field: str) -> float:
    return statistics.median([getattr(sample, field) for sample in samples])


def ratios(ours: list[Sample], theirs: list[Sample], field: str) -> list[float]:
    """Of each round."""
    return [getattr(mine, field) / getattr(other, field) for mine, other in zip(ours, theirs, strict=True)]


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} [{min(values):.2f}–{max(values):.2f}]"


def verdict(case: Case, samples: dict[str, list[Sample]]) -> str:
    """What the balancer's figures are worth beside nginx's."""
    cpu, p99 = (ratios(samples["balancer"], samples["nginx"], field) for field in ("cpu_us", "p99_ms"))
    kept = "kept" if statistics.median(cpu) <= case.bar and statistics.median(p99) <= 1 else "MISSED"
    return f"{case.name}: CPU {spread(cpu)} (bar {case.bar}), p99 {spread(p99)} (bar 1.0): {kept}"


def idle_kb(proxy: Proxy) -> float:
    """What a connection costs that was served once and stays: growth of the proxy's memory in kB by connection."""
    request = b"GET /small HTTP/1.1\r\nHost: bench.example.org\r\n\r\n"
    before = rss_kib(proxy.pid)
    with contextlib.ExitStack() as stack:
        for _ in range(IDLE_CONNECTIONS):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port), 10))
            sock.sendall(request)
            if not sock.recv(4096).startswith(b"HTTP/1.1 200"):
                sys.exit(f"{proxy.name} does not keep {IDLE_CONNECTIONS} connections")
        return (rss_kib(proxy.pid) - before) * 1.024 / IDLE_CONNECTIONS


def measure_idle(running: list[Proxy]) -> str:
    """Print what idle connections cost; to be asked before the load has grown anybody's heap."""
    print(f"\n{IDLE_CONNECTIONS} idle connections, kB each", flush=True)
    costs = {proxy.name: idle_kb(proxy) for proxy in running}
    for name, cost in costs.items():
        print(f"  {name:10}{cost:8.2f}", flush=True)
    ours = costs.get("balancer", 0.0)
    return f"idle connection: {ours:.1f} kB (bar {IDLE_BAR_KB}): {'kept' if ours < IDLE_BAR_KB else 'MISSED'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a fifth of the requests, one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="nginx,haproxy,balancer")
    parser.add_argument("--case", type=int, action="append", help="number of a case, from 0; may be repeated")
    arguments = parser.parse_args()
    chosen = [CASES[index] for index in arguments.case] if arguments.case else CASES
    rounds, share = (1, 5) if arguments.quick else (arguments.rounds, 1)
    only = set(arguments.only.split(","))
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    install(only)
    print(f"The balancer runs {acceleration.description()}.")
    with tempfile.TemporaryDirectory(prefix="balancer-bench-") as name, proxies(Path(name), only) as running:
        verdicts = [measure_idle(running)] if not arguments.case else []
        for case in chosen:
            samples: dict[str, list[Sample]] = {proxy.name: [] for proxy in running}
            for proxy in running:
                measure(proxy, case, max(200, case.connections))  # warms caches and connections up
            for index in range(rounds):
                for proxy in running[:: -1 if index % 2 else 1]:
                    samples[proxy.name].append(measure(proxy, case, case.requests // share))
            show(case, samples)
            if samples.keys() >= {"nginx", "balancer"}:
                verdicts.append(verdict(case, samples))
        print("\nBars\n  " + "\n  ".join(verdicts))


if __name__ == "__main__":
    main()
