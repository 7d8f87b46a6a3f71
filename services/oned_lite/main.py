"""`oned-lite`: the command line."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

from msgspec.structs import replace

from services.common import logs, runner
from services.common.foreign_settings import Loaded
from services.common.settings import Address, SettingsError, parse_address
from services.oned_lite.server.oned_conf import read_settings
from services.oned_lite.server.settings import OnedSettings, SqliteSettings, is_loopback

DESCRIPTION = (
    "The control daemon: OpenNebula 6.8's XML-RPC API, alone or as one of several servers that replicate by Raft."
)

EPILOG = """\
alone, for trying things out and for the tests of your tools (user oneadmin, password opennebula):

  oned-lite --solo --listen 127.0.0.1:2633 --data ./oned
  oned-lite --solo --listen 127.0.0.1:2633 --ephemeral --no-scheduler    # nothing is kept
  curl -s 127.0.0.1:2633/healthz

  oned-lite --solo --ephemeral --control 127.0.0.1:2640                  # tests may reset and disturb it:
  curl -s 127.0.0.1:2640/                                                # lists what they can do

as a server of a cluster, from a settings file:

  oned-lite --config oned.yaml --check       # names every problem and stops there
  oned-lite --config oned.yaml

  listen: 10.0.0.1:2633                      # XML-RPC at /RPC2; GET /healthz, /leader, /metrics
  data: /var/lib/oned-lite                   # this server's own folder
  datastores: /var/lib/one/datastores        # the folder all servers share
  credentials: /etc/one/oneadmin             # one line, oneadmin:password; the same on all servers
  database: {kind: sqlite}                   # or {kind: mariadb, socket: /run/mysqld/mysqld.sock, user: oneadmin,
                                             #     password_file: /etc/one/db_password, name: opennebula}
  cluster:
    server_id: 0
    servers:                                 # the same list on all servers
      - {id: 0, name: one, endpoint: "http://10.0.0.1:2633/RPC2"}      # the others reach it at 10.0.0.1:2634,
      - {id: 1, name: two, endpoint: "http://10.0.0.2:2633/RPC2"}      # unless peer: HOST:PORT says otherwise
      - {id: 2, name: three, endpoint: "http://10.0.0.3:2633/RPC2"}
    # join: true                             # on a server that is added later, see below
  raft: {election_timeout_ms: 1000, heartbeat_ms: 100}   # and log_retention_entries: 20000, log_retention_mb: 64
  scheduler: true
  events: 127.0.0.1:2101                     # optional: OpenNebula's event stream; pip install 'onelite[events]'
  log: {level: info, style: text}

from an oned.conf that is there already (docs/configuration.md says what becomes of each key):

  oned-lite --config /etc/one/oned.conf --check      # names every problem, and what has no effect here
  oned-lite --config /etc/one/oned.conf              # a server alone; keeps its state in /var/lib/oned-lite, and reads
                                                     #   oneadmin's password from /var/lib/one/.one/one_auth or $ONE_AUTH
  oned-lite --config /etc/one/oned-lite.yaml         # one of several; this file is the same on all, each oned.conf
                                                     #   has the server's own SERVER_ID, and the YAML may say more:
  oned_conf: oned.conf
  cluster:
    servers:
      - {id: 0, name: one, endpoint: "http://10.0.0.1:2633/RPC2"}
      - {id: 1, name: two, endpoint: "http://10.0.0.2:2633/RPC2"}
      - {id: 2, name: three, endpoint: "http://10.0.0.3:2633/RPC2"}

adding a server to a running zone, and taking one out:

  onezone server-add 0 --name four --rpc http://10.0.0.4:2633/RPC2     # one.zone.addserver; `onezone show 0` has its id
  oned-lite --config oned.yaml               # on the new machine: the same credentials, an empty data folder, and
                                             #   cluster: {server_id: 3, join: true, servers: [...]}
                                             # with itself in the list; it catches up, and then it votes
  onezone server-del 0 1                     # also the leader; /healthz of that server then says "removed"

The other servers reach a new one at the host of its endpoint and the port after that of XML-RPC; a template
SERVER = [ NAME = ..., ENDPOINT = ..., PEER = "HOST:PORT" ] for one.zone.addserver says otherwise.

moving a virtual address with the leader (deploy/hooks/vip.sh; commands get the term as last argument):

  raft:
    leader_hook: [/opt/onelite/deploy/hooks/vip.sh, leader, eth0, 10.0.0.100/24]
    follower_hook: [/opt/onelite/deploy/hooks/vip.sh, follower, eth0, 10.0.0.100/24]
"""


def main() -> None:
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.solo and arguments.data is None and not arguments.ephemeral:
        parser.error("--solo needs --data DIR, or --ephemeral")
    if arguments.solo and arguments.data is None:
        with tempfile.TemporaryDirectory(prefix="oned-lite-") as folder:
            _run(Loaded(_solo(arguments, Path(folder)), ()))
    elif arguments.solo:
        _run(Loaded(_solo(arguments, arguments.data), ()))
    else:
        _run_configured(arguments)


def _run_configured(arguments: argparse.Namespace) -> None:
    path = arguments.config
    try:
        loaded = read_settings(path)
    except SettingsError as error:
        sys.exit(str(error))
    if arguments.control is not None:
        loaded = loaded._replace(settings=replace(loaded.settings, control=arguments.control))
    if arguments.check:
        print(*loaded.unused, f"{path}: good", sep="\n")
    else:
        _run(loaded)


def _run(loaded: Loaded[OnedSettings]) -> NoReturn:
    settings = loaded.settings
    logs.setup("oned-lite", settings.log.level, settings.log.style)
    loaded.warn_of_unused(logs.get("oned"))
    runner.run(lambda stop: _serve(settings, stop), service="oned-lite")


async def _serve(settings: OnedSettings, stop: asyncio.Event) -> int:
    from services.oned_lite.server.daemon import serve  # --help and --check need none of it

    return await serve(settings, stop)


def _solo(arguments: argparse.Namespace, data: Path) -> OnedSettings:
    return OnedSettings(
        listen=arguments.listen,
        data=data,
        credentials=arguments.credentials,
        database=SqliteSettings(ephemeral=arguments.ephemeral),
        scheduler=arguments.scheduler,
        control=arguments.control,
        events=arguments.events,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="oned-lite",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--config", type=Path, metavar="FILE", help="settings in YAML, or an oned.conf (*.conf)")
    how.add_argument("--solo", action="store_true", help="one server alone, from the options below")
    parser.add_argument("--check", action="store_true", help="with --config: name every problem and stop there")
    parser.add_argument(
        "--control",
        type=_loopback,
        metavar="HOST:PORT",
        help="open the control endpoint for tests there, on an address of this machine alone; off by default",
    )
    solo = parser.add_argument_group("with --solo")
    solo.add_argument(
        "--listen",
        type=_address,
        default=Address("127.0.0.1", 2633),
        metavar="HOST:PORT",
        help="default 127.0.0.1:2633",
    )
    solo.add_argument("--data", type=Path, metavar="DIR", help="database and files; created where it is missing")
    solo.add_argument("--ephemeral", action="store_true", help="keep the database in memory; --data is then optional")
    solo.add_argument(
        "--no-scheduler", dest="scheduler", action="store_false", help="leave pending VMs to one.vm.deploy"
    )
    solo.add_argument(
        "--events",
        type=_address,
        metavar="HOST:PORT",
        help="publish events there over ZeroMQ (OpenNebula's port: 2101)",
    )
    solo.add_argument("--credentials", type=Path, metavar="FILE", help="one line, USER:PASSWORD, of the first user")
    return parser


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _loopback(text: str) -> Address:
    address = _address(text)
    if not is_loopback(address.host):
        raise argparse.ArgumentTypeError(
            f"expected an address of this machine alone, such as 127.0.0.1:2640, got {text}"
        )
    return address


if __name__ == "__main__":
    main()
