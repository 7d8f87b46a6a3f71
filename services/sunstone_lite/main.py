"""`sunstone-lite`: the web UI as a process."""

import argparse
import asyncio
import sys
from pathlib import Path

from aiohttp import web

from services.common import logs, runner
from services.common.settings import SettingsError
from services.sunstone_lite.app import create_app
from services.sunstone_lite.connections import IDLE_S
from services.sunstone_lite.settings import Settings
from services.sunstone_lite.site import SITE
from services.sunstone_lite.sunstone_conf import read_settings

GRACE_S = 3.0

HELP = """\
The web UI of an OpenNebula zone. It keeps nothing in the process: sessions live in Memcached, everything else in
oned, so several of them can stand behind a balancer and any one may die.
"""

EXAMPLES = """\
A settings file (all keys but the first three have defaults):

  listen: 127.0.20.21:9869
  oned:                              # this machine's own first; the others are asked when it does not answer
    - http://127.0.20.21:2633/RPC2
    - http://127.0.20.22:2633/RPC2
  cache: ["127.0.0.1:11211"]         # name several, and any one of them may die
  name: frontend1                    # shown as "served by"
  server_credentials: sunstone_auth  # "serveradmin:password"; without it, login tokens of oned are used
  session: {idle_s: 1800, absolute_s: 28800}
  cookie_secure: false               # true behind HTTPS: __Host- cookies
  language: en                       # when the browser asks for none we have; or pt_BR
  title: My cloud
  log: {level: info, style: text}

A sunstone-server.conf that is there already (docs/configuration.md says what becomes of each key) will do, alone or with
a YAML file that says more:

  sunstone_conf: /etc/one/sunstone-server.conf
  cache: ["10.0.0.1:11211", "10.0.0.2:11211"]

Examples:
  sunstone-lite --config sunstone.yaml            run in the foreground; SIGTERM stops it
  sunstone-lite --config sunstone.yaml --check    name every problem of the file and exit
  sunstone-lite --config /etc/one/sunstone-server.conf
"""


def main() -> None:
    """Entry point of the console script."""
    arguments = _parser().parse_args()
    try:
        loaded = read_settings(arguments.config)
    except SettingsError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    if arguments.check:
        print(*loaded.unused, f"{arguments.config}: ok", sep="\n")
        return
    settings = loaded.settings
    logs.setup("sunstone", settings.log.level, settings.log.style)
    loaded.warn_of_unused(logs.get("sunstone"))
    runner.run(lambda stop: serve(settings, stop), service="sunstone")


async def serve(settings: Settings, stop: asyncio.Event) -> int:
    """Answer until `stop` is set; the exit code."""
    log = logs.get("sunstone")
    app = create_app(settings)
    server = web.AppRunner(app, access_log=None, keepalive_timeout=IDLE_S, shutdown_timeout=GRACE_S)
    await server.setup()
    assert server.server is not None, "setup makes it"
    try:
        await web.TCPSite(server, settings.listen.host, settings.listen.port).start()
    except OSError as error:
        log.error(f"cannot listen on {settings.listen}: {error.strerror}; is another sunstone running there?")
        await server.cleanup()
        return 1
    if not settings.cookie_secure:
        log.warning("cookies are sent over plain HTTP; set cookie_secure: true behind HTTPS")
    log.info("serving", listen=str(settings.listen), name=settings.served_by, oned=len(settings.oned))
    ushering = asyncio.create_task(app[SITE].usher.run(server.server), name="usher")
    await stop.wait()
    ushering.cancel()
    await server.cleanup()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sunstone-lite",
        description=HELP,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config",
        type=Path,
        required=True,
        metavar="FILE",
        help="settings in YAML, or a sunstone-server.conf (*.conf); see below",
    )
    parser.add_argument("--check", action="store_true", help="check the settings and exit")
    return parser


if __name__ == "__main__":
    main()
