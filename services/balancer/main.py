"""``balancer-lite``: run the balancer from one settings file."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from importlib import metadata
from pathlib import Path

from services.balancer import acceleration
from services.balancer.config import read_plan
from services.balancer.pidfile import read_pid
from services.balancer.program import Program
from services.balancer.upgrade import READY_S
from services.common import logs, runner
from services.common.settings import SettingsError

LOOK_S = 0.05

_EPILOG = """\
A settings file that balances two web servers by least connections:

  listen: 127.0.0.1:8080
  status: 127.0.0.1:8081          # dashboard, /api/status, /metrics, /healthz
  upstreams:
    sunstone:
      method: least_conn          # or round_robin, ip_hash, hash, hash consistent, random, random two
      servers:                    # passive checks: out after max_fails failures, for fail_timeout_s seconds
        - {address: "127.0.20.21:9869", max_fails: 3, fail_timeout_s: 10}
        - {address: "127.0.20.22:9869", max_fails: 3, fail_timeout_s: 10}
      health_check:               # active checks, if wanted
        {interval_s: 1, fails: 2, passes: 1, uri: /healthz, status: [200]}
  locations:
    - {path: /, upstream: sunstone, set_headers: {X-Real-IP: $remote_addr}}

Try it:
  balancer-lite --config balancer.yaml --check     lists every problem of the file
  balancer-lite --config balancer.yaml             runs in the foreground
  kill -HUP PID                                    reads the file again, drops nothing
  kill PID                                         lets requests in progress finish for a few seconds, then ends
  kill -QUIT PID                                   ends when the last client has left
  balancer-lite --config balancer.yaml --upgrade   replaces the running program by a new one (needs pid_file)
  curl -s http://127.0.0.1:8081/api/status         what it knows of each server

Drain a server at run time:
  curl -X PATCH -H 'Content-Type: application/json' -d '{"drain": true}' \\
       http://127.0.0.1:8081/api/upstreams/sunstone/servers/0
"""


def main() -> None:
    arguments = _arguments()
    try:
        plan = read_plan(arguments.config)
    except SettingsError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    if arguments.upgrade:
        sys.exit(_upgrade(plan.settings.pid_file) or None)
    if arguments.check:
        print(f"{arguments.config}: ok, serves {', '.join(plan.listeners)}")
        return
    logs.setup("balancer", plan.settings.log.level, plan.settings.log.style)
    runner.run(Program(arguments.config, plan).run, service="balancer")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="balancer-lite",
        description="A reverse proxy with nginx's semantics, and passive and active health checks.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config",
        type=Path,
        required=True,
        metavar="FILE",
        help="YAML, or an nginx.conf (*.conf)",
    )
    version = f"balancer-lite {metadata.version('onelite')} ({acceleration.description()})"
    parser.add_argument("--version", action="version", version=version)
    parser.add_argument("--check", action="store_true", help="check the settings and exit")
    parser.add_argument(
        "--upgrade", action="store_true", help="replace the running program by a new one; no connection is lost"
    )
    return parser.parse_args()


def _upgrade(pid_file: str) -> str:
    """Have the running program replaced by a new one; returns what went wrong. The settings have been checked."""
    if not pid_file:
        return "needs pid_file in the settings, to find the program that runs"
    path = Path(pid_file)
    old = read_pid(path)
    if not old:
        return f"{path} names no process"
    try:
        os.kill(old, signal.SIGUSR2)
        if not _replaced(path, old):
            return f"no new program came up, process {old} goes on; its log says why"
        os.kill(old, signal.SIGQUIT)
    except OSError as error:
        return f"process {old}: {error.strerror}"
    print(f"process {read_pid(path)} serves; process {old} ends when its last client has left")
    return ""


def _replaced(path: Path, old: int) -> bool:
    """Wait for the pid file to name a new program; false once it names the old one again, which had stepped aside."""
    aside = False
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        pid = read_pid(path)
        if pid not in (0, old):
            return True
        if aside and pid == old:
            return False
        aside = aside or not pid
        time.sleep(LOOK_S)
    return False


if __name__ == "__main__":
    main()
