"""`onelite chaos`: its options."""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Coroutine
from pathlib import Path

from deploy.lab.foreground import until_interrupted

NETWORK_CHOICES = ("auto", "namespaces", "relays")

DESCRIPTION = """\
Clients write and read through daemons of their own while faults run; then every fault is healed, and what the clients were
told is judged: single objects linearizable, ids and names unique, no acknowledged write lost, times sane, the same state
and the same database tables everywhere. Exit status 1 if not. docs/chaos.md tells how to read the report."""

EPILOG = """\
faults:
  kill         kill -9 of a server                  pause       SIGSTOP: a machine that hangs
  power-cut    kill -9 of all servers at once       slow-link   a server's links are late; with --network relays
  partition    two halves that do not hear each other
  one-way      a server is not heard, or does not hear
  clock-jump   a server's wall clock is off by up to a day, all of a sudden
  clock-drift  a server's wall clock goes too fast or too slow
  disk-full    not a byte more fits on a server's disk
  disk-stall   what writes to a server's disk waits
  kill-db, stall-db   kill -9 and SIGSTOP of a server's database; with --db mariadb

means:
  links    namespaces: each server in a network namespace of its own, where nftables drops what is cut; needs root and the
           programs ip and nft. relays: a TCP relay of this command for every link; for everybody.
  clocks   libfaketime, loaded before each daemon, which leaves the monotonic clock alone.
  disks    as root a file system for each server in a file (loop device), filled to the last byte or frozen (fsfreeze);
           else, with SQLite, disk-full is a limit on the size of the daemon's files, and there is no disk-stall.
A fault without means here is refused if you name it, and left out with a line that says so if you do not.
What an interrupted or killed run leaves, the next one removes.

examples:
  onelite chaos                                    three servers on SQLite, one minute, all faults
  onelite chaos --servers 5 --db mariadb --seconds 300 --report /tmp/night
  onelite chaos --faults partition,one-way --network namespaces --seed 7
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "chaos",
        help="clients against daemons of their own while faults run, and a verdict",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--servers", type=int, choices=[3, 5, 7], default=3, help="how many (default: 3)")
    parser.add_argument("--db", choices=["sqlite", "mariadb"], default="sqlite", help="default: sqlite")
    parser.add_argument(
        "--seconds",
        type=float,
        default=60.0,
        metavar="N",
        help="with faults, one after the other; longer if one was not there yet (default: 60)",
    )
    parser.add_argument("--faults", metavar="A,B", help="default: all that are possible here")
    parser.add_argument(
        "--network",
        choices=NETWORK_CHOICES,
        default="auto",
        help="means to cut links (default: namespaces if possible)",
    )
    parser.add_argument("--clients", type=int, default=4, metavar="N", help="groups of three clients (default: 4)")
    parser.add_argument("--seed", type=int, metavar="N", help="of targets, times and calls (default: by chance)")
    parser.add_argument(
        "--report", type=Path, default=Path("chaos"), metavar="DIR", help="folder for the report (default: %(default)s)"
    )
    parser.set_defaults(command=_chaos)


def _chaos(arguments: argparse.Namespace) -> int:
    from deploy.lab.chaos import holdings, means
    from deploy.lab.chaos.run import Plan, run

    holdings.tidy(_say)
    wanted = arguments.faults.split(",") if arguments.faults else None
    plan = Plan(
        servers=arguments.servers,
        db=arguments.db,
        seconds=arguments.seconds,
        means=means.choose(arguments.db, arguments.network, wanted),
        groups=max(1, arguments.clients),
        seed=random.SystemRandom().randrange(1_000_000) if arguments.seed is None else arguments.seed,
        report=arguments.report.absolute(),
    )
    return 0 if asyncio.run(_until_done(run(plan, _say))) else 1


def _say(line: str) -> None:
    print(line, flush=True)


async def _until_done(work: Coroutine[None, None, bool]) -> bool:
    """What `work` returns; at Ctrl-C or SIGTERM it heals and stops everything first."""
    results: list[bool] = []

    async def note() -> None:
        results.append(await work)

    await until_interrupted(note())
    return results[0]
