"""`onelite`: the command line of the lab."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from deploy.lab.chaos import command as chaos
from deploy.lab.errors import LabError
from deploy.lab.foreground import Interrupted
from deploy.lab.lab import default_folder

DESCRIPTION = """\
A whole OpenNebula control plane on this machine: several frontends (oned and web UI) that replicate by Raft, a session
cache, shared datastores, and a balancer in front. Made to be seen, broken and mended."""

EPILOG = """\
names: frontend1 (a whole machine: its oned, web UI and database), oned1, sunstone1, mariadb1, ..., balancer, cache

examples:
  onelite up                              three frontends on SQLite; Ctrl-C stops everything
  onelite up --detach --frontends 5       five, in the background
  onelite up --db mariadb --cache memcached --dir /tmp/real --network 127.0.30
  onelite zone                            who leads, who follows
  onelite kill oned1                      as kill -9 does; watch `onelite zone`
  onelite start oned1                     it comes back and catches up
  onelite pause frontend2                 a machine that hangs
  onelite resume frontend2
  onelite logs oned1 -f
  onelite down                            stops everything; the data stays
  onelite compare --quick                 which health checks spare users most, in less than three minutes
  onelite chaos --seconds 60              daemons of its own under faults, and a report on what clients were told
"""


SICK_WITHIN_S = 5.0
"""How long `start` waits for a server that answers to be able to serve as well."""


def main() -> None:
    """Runs one command; a LabError is one line and exit status 1."""
    arguments = _parser().parse_args()
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        sys.exit(command(arguments))
    except LabError as error:
        sys.exit(f"onelite: {error}")
    except (KeyboardInterrupt, Interrupted):
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has left


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="onelite", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_up(commands)
    _add(commands, "down", _down, "stop everything; the data stays")
    _add(commands, "status", _status, "what runs, and where").add_argument(
        "--json", action="store_true", help="for programs: addresses, pids, credentials"
    )
    _add(commands, "zone", _zone, "the tables of `onezone show 0`: who leads, terms and indexes")
    logs = _add_named(commands, "logs", _logs, "print the end of their logs")
    logs.add_argument("-n", "--lines", type=int, default=40, metavar="N", help="how many lines (default: 40)")
    logs.add_argument("-f", "--follow", action="store_true", help="go on with what is added, until Ctrl-C")
    _add_named(commands, "kill", _kill, "end them at once, as kill -9 or a power cut does")
    _add_named(commands, "pause", _pause, "freeze them (SIGSTOP), like a machine that hangs")
    _add_named(commands, "resume", _resume, "let frozen ones go on (SIGCONT)")
    _add_named(commands, "start", _start, "start them and wait until they are ready")
    _add_named(commands, "stop", _stop, "ask them to end (SIGTERM) and wait until they have")
    _add_compare(commands)
    chaos.add_command(commands)
    return parser


Subcommands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Command: TypeAlias = Callable[[argparse.Namespace], int]


def _add(commands: Subcommands, name: str, command: Command, help: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
    parser.add_argument(
        "--dir", type=Path, default=default_folder(), metavar="DIR", help="the lab's folder (default: %(default)s)"
    )
    parser.set_defaults(command=command)
    return parser


def _add_named(commands: Subcommands, name: str, command: Command, help: str) -> argparse.ArgumentParser:
    parser = _add(commands, name, command, help)
    parser.add_argument(
        "names", nargs="+", metavar="NAME", help="frontend1, oned1, sunstone1, mariadb1, balancer, cache"
    )
    return parser


def _add_up(commands: Subcommands) -> None:
    up = _add(commands, "up", _up, "start the lab and stay in the foreground; Ctrl-C stops everything")
    up.add_argument("--frontends", type=int, metavar="N", help="how many, 1 to 9 (default: 3)")
    up.add_argument("--db", choices=["sqlite", "mariadb"], help="each frontend's database (default: sqlite)")
    up.add_argument("--cache", choices=["builtin", "memcached"], help="the session cache (default: builtin)")
    up.add_argument(
        "--checks",
        choices=["passive", "both"],
        help="the balancer's health checks: passive as in the study, or active ones beside them (default: passive)",
    )
    up.add_argument("--detach", action="store_true", help="return when all is ready and leave it running")
    up.add_argument(
        "--compile", action=argparse.BooleanOptionalAction, default=False,
        help="compile the balancer's hot path in the background, and have a balancer that runs it take over; deploy/up "
        "does so where there is a C compiler (not with --detach)",
    )  # fmt: skip
    up.add_argument(
        "--demo", action="store_true", help="create two hosts, an image, a network and a template to play with"
    )
    up.add_argument(
        "--network",
        metavar="A.B.C",
        help="loopback network of its own, so that several labs can run at once: frontends on A.B.C.21 and up, the "
        "cache on A.B.C.11, the balancer on A.B.C.1 (default: 127.0.20, with the balancer on 127.0.0.1)",
    )
    up.add_argument(
        "--ports",
        type=int,
        metavar="FIRST",
        help="everything on 127.0.0.1 instead: the balancer on FIRST, frontend N on FIRST + 10 N and the two above "
        "(default where the system has only 127.0.0.1: 8080)",
    )


def _add_compare(commands: Subcommands) -> None:
    from deploy.lab.compare.command import add_options

    compare = commands.add_parser("compare", help="an experiment: passive and active health checks under the same faults")
    add_options(compare)
    compare.set_defaults(command=_compare)


def _say(line: str) -> None:
    print(line, flush=True)


def _up(arguments: argparse.Namespace) -> int:
    from deploy.lab.up import up, wishes

    wanted, compiled = wishes(arguments), arguments.compile
    return asyncio.run(
        up(arguments.dir, wanted, detach=arguments.detach, demo=arguments.demo, compiled=compiled, say=_say)
    )


def _down(arguments: argparse.Namespace) -> int:
    from deploy.lab import lab

    supervisor = lab.find(arguments.dir, _say).supervisor
    with supervisor.exclusively():
        asyncio.run(supervisor.stop(supervisor.topology.processes))
    _say(f"the lab in {arguments.dir} is down; its data stays")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from deploy.lab import lab, status

    here = lab.find(arguments.dir, _say)
    if arguments.json:
        _say(status.as_json(status.status(here)))
    else:
        _say(f"{status.process_table(here)}\n\n{status.address_table(here)}")
    return 0


def _zone(arguments: argparse.Namespace) -> int:
    from deploy.lab import lab, zone
    from deploy.lab.parts import endpoint

    here = lab.find(arguments.dir, _say)
    endpoints = [endpoint(frontend) for frontend in here.definition.addresses.frontends]
    _say(asyncio.run(zone.show(endpoints, ":".join(here.folder.administrator()))))
    return 0


def _logs(arguments: argparse.Namespace) -> int:
    from deploy.lab import lab, logs

    here = lab.find(arguments.dir, _say)
    processes = here.supervisor.topology.select(tuple(arguments.names))
    paths = {here.folder.log(process.name): f"{process.name}: " if len(processes) > 1 else "" for process in processes}
    places = {}
    for path, prefix in paths.items():
        lines, places[path] = logs.tail(path, max(0, arguments.lines))
        for line in lines:
            _say(prefix + line)
    if arguments.follow:
        for path, line in logs.follow(places):
            _say(paths[path] + line)
    return 0


def _kill(arguments: argparse.Namespace) -> int:
    return _signal(arguments, "kill")


def _pause(arguments: argparse.Namespace) -> int:
    return _signal(arguments, "pause")


def _resume(arguments: argparse.Namespace) -> int:
    return _signal(arguments, "resume")


def _signal(arguments: argparse.Namespace, what: str) -> int:
    from deploy.lab import lab

    supervisor = lab.find(arguments.dir, _say).supervisor
    wanted = supervisor.topology.select(tuple(arguments.names))
    return 0 if {"kill": supervisor.kill, "pause": supervisor.pause, "resume": supervisor.resume}[what](wanted) else 1


def _start(arguments: argparse.Namespace) -> int:
    from deploy.lab import lab

    supervisor = lab.find(arguments.dir, _say).supervisor
    wanted = supervisor.topology.select(tuple(arguments.names))
    with supervisor.exclusively():
        asyncio.run(supervisor.start(wanted, sick_within_s=SICK_WITHIN_S))
    return 0


def _stop(arguments: argparse.Namespace) -> int:
    from deploy.lab import lab

    supervisor = lab.find(arguments.dir, _say).supervisor
    wanted = supervisor.topology.select(tuple(arguments.names))
    with supervisor.exclusively():
        asyncio.run(supervisor.stop(wanted))
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    from deploy.lab.compare.command import compare

    return compare(arguments, _say)


if __name__ == "__main__":
    main()
