"""`onelite chaos`: its options."""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Coroutine
from pathlib import Path

from deploy.lab.foreground import until_interrupted

DESCRIPTION = """\
Clients write and read through daemons of their own while faults run; then every fault is healed, and what the clients were
told is judged: single objects linearizable, ids and names unique, no acknowledged write lost, the same state everywhere.
Exit status 1 if not."""

EPILOG = """\
faults: kill (kill -9), pause (SIGSTOP), partition, one-way (a server is not heard, or does not hear), slow-link,
  power-cut (kill -9 of all); with --db mariadb also kill-db (kill -9 of a database) and stall-db (a disk that hangs)

examples:
  onelite chaos                                    three servers on SQLite, one minute, all faults
  onelite chaos --servers 5 --db mariadb --seconds 300 --report /tmp/night
  onelite chaos --faults partition,one-way --seed 7
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
    parser.add_argument("--seconds", type=float, default=60.0, metavar="N", help="with faults (default: 60)")
    parser.add_argument("--faults", metavar="A,B", help="default: all that the database allows")
    parser.add_argument("--clients", type=int, default=4, metavar="N", help="groups of three clients (default: 4)")
    parser.add_argument("--seed", type=int, metavar="N", help="of targets, times and calls (default: by chance)")
    parser.add_argument(
        "--report", type=Path, default=Path("chaos"), metavar="DIR", help="folder for the report (default: %(default)s)"
    )
    parser.set_defaults(command=_chaos)


def _chaos(arguments: argparse.Namespace) -> int:
    from deploy.lab.chaos.run import Plan, default_faults, run

    plan = Plan(
        servers=arguments.servers,
        db=arguments.db,
        seconds=arguments.seconds,
        faults=arguments.faults.split(",") if arguments.faults else default_faults(arguments.db),
        groups=max(1, arguments.clients),
        seed=random.SystemRandom().randrange(1_000_000) if arguments.seed is None else arguments.seed,
        report=arguments.report.absolute(),
    )
    return 0 if asyncio.run(_until_done(run(plan, lambda line: print(line, flush=True)))) else 1


async def _until_done(work: Coroutine[None, None, bool]) -> bool:
    """What `work` returns; at Ctrl-C or SIGTERM it heals and stops everything first."""
    results: list[bool] = []

    async def note() -> None:
        results.append(await work)

    await until_interrupted(note())
    return results[0]
