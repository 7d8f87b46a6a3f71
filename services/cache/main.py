"""`cache-lite`: the command line."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from services.cache.server import CacheServer
from services.cache.settings import CacheSettings
from services.cache.status import REQUEST_LIMIT, StatusPage
from services.cache.store import ItemStore
from services.common import logs, runner
from services.common.settings import SettingsError, load

DESCRIPTION = "A cache that speaks the Memcached text protocol, for the sessions of the web UI."

EPILOG = """\
the settings file, with its defaults (only listen must be there):

  listen: 127.0.0.1:11211
  status: 127.0.0.1:11281     # HTTP /healthz and /metrics; leave it out for none
  memory_mb: 64               # items beyond it push out the least recently used
  item_max_kb: 1023           # the largest key and value together
  connections: 1024           # clients at a time
  idle_timeout_s: 3600        # 0: never
  stall_timeout_s: 30         # for a client that stops in mid-command or does not read
  log: {level: info, style: text}

examples:

  cache-lite --config cache.yaml --check
  cache-lite --config cache.yaml
  printf 'set greeting 0 60 5\\r\\nhello\\r\\nget greeting\\r\\nquit\\r\\n' | nc 127.0.0.1 11211
"""


def main() -> None:
    arguments = _parser().parse_args()
    try:
        settings = load(arguments.config, CacheSettings)
    except SettingsError as error:
        sys.exit(str(error))
    if arguments.check:
        print(f"{arguments.config}: good")
        return
    logs.setup("cache-lite", settings.log.level, settings.log.style)
    runner.run(lambda stop: _serve(settings, stop), service="cache-lite")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cache-lite",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="settings in YAML")
    parser.add_argument("--check", action="store_true", help="name every problem of the settings and stop there")
    return parser


async def _serve(settings: CacheSettings, stop: asyncio.Event) -> int:
    log = logs.get("cache")
    server = CacheServer(
        ItemStore(settings.memory_mb * 1024 * 1024, settings.item_max_kb * 1024),
        connection_limit=settings.connections,
        idle_timeout_s=settings.idle_timeout_s,
        stall_timeout_s=settings.stall_timeout_s,
    )
    try:
        await server.listen(*settings.listen)
        if settings.status is not None:
            page = StatusPage(server.store, server.facts)
            await asyncio.start_server(page.handle, *settings.status, limit=REQUEST_LIMIT)
    except OSError as error:
        log.error("cannot listen", reason=error.strerror)
        return 1
    log.info("serving", listen=str(settings.listen), memory_mb=settings.memory_mb)
    await server.run(stop)
    log.info("stopped", items=len(server.store))
    return 0


if __name__ == "__main__":
    main()
