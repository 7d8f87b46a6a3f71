"""``balancer-lite``: run the balancer from one settings file."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from services.balancer.config import read_plan
from services.balancer.server import Balancer
from services.balancer.site import Plan
from services.balancer.status.changes import Changes
from services.balancer.status.listener import StatusListener
from services.common import logs, runner
from services.common.settings import SettingsError

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
  kill PID                                         finishes requests in progress, then ends
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
    if arguments.check:
        print(f"{arguments.config}: ok, serves {', '.join(plan.listeners)}")
        return
    logs.setup("balancer", plan.settings.log.level, plan.settings.log.style)
    runner.run(_Process(arguments.config, plan).run, service="balancer")


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
    parser.add_argument("--check", action="store_true", help="check the settings and exit")
    return parser.parse_args()


class _Process:
    """The life of one process: start, reloads, stop."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self._path = path
        self._log = logs.get("balancer")
        self._balancer = Balancer(plan, self._log)
        self._reloads: asyncio.Queue[None] = asyncio.Queue(maxsize=1)

    async def run(self, stop: asyncio.Event) -> int:
        try:
            await self._balancer.start()
        except OSError as error:
            self._log.error("cannot start", reason=error.strerror or str(error))
            return 1
        state_file = self._balancer.plan.settings.state_file
        self._changes = changes = Changes(self._balancer, Path(state_file) if state_file else None)
        listener = StatusListener(self._balancer, changes, self._reload)
        try:
            changes.restore()
            await listener.open(self._balancer.plan.settings)
        except (OSError, ValueError) as error:
            self._log.error("cannot start", reason=str(error))
            await self._balancer.stop(grace_s=0)
            return 1
        self._log.info("serving", listen=" ".join(self._balancer.plan.listeners))
        await self._until(stop)
        await listener.close()
        await self._balancer.stop()
        return 0

    async def _until(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._ask_for_reload)
        async with asyncio.TaskGroup() as tasks:
            reloading = tasks.create_task(self._reload_when_asked())
            await stop.wait()
            reloading.cancel()
        loop.remove_signal_handler(signal.SIGHUP)

    def _ask_for_reload(self) -> None:
        if self._reloads.empty():
            self._reloads.put_nowait(None)

    async def _reload_when_asked(self) -> None:
        while True:
            await self._reloads.get()
            try:
                await self._reload()
            except ValueError as error:
                self._log.error("settings not reloaded, the old ones stay", reason=str(error))

    async def _reload(self) -> None:
        """Read the file again; raises ValueError, and then nothing has changed."""
        try:
            plan = await asyncio.to_thread(read_plan, self._path)
            await self._balancer.reload(plan)
            self._changes.restore()  # servers changed at run time stay as they are when a state file is kept
        except (SettingsError, OSError) as error:
            raise ValueError(str(error)) from None
        self._log.info("settings reloaded")


if __name__ == "__main__":
    main()
