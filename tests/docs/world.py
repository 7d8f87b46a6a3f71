"""A daemon's logic with one sample object, which is put into states and disturbed there; nothing of that is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from services.common.xmlrpc import Value
from services.oned_lite.api.call import ClusterStatus
from services.oned_lite.api.catalogue import DUTIES, METHODS
from services.oned_lite.lifecycle.work import Step, Work, WorkResult, required_work
from services.oned_lite.model.host import HOSTS, HostState
from services.oned_lite.node.gate import Request, serve
from services.oned_lite.state import Reader, Table, Transaction
from tests.oned_lite.local import LocalOned

SESSION = "oneadmin:opennebula"
SEED = b"\x01" * 32
GONE = "[*]"
"""Mermaid's word for beginning and end."""


@dataclass(frozen=True, slots=True)
class Edge:
    """`label` leads from one state to another, or keeps it."""

    source: str
    label: str
    target: str


class World:
    """`table` has the sample object under `oid`; `name` gives the state of its row."""

    def __init__(self, folder: Path, table: Table[Any], name: Callable[[Any], str]) -> None:
        self.oned = LocalOned(folder)
        self.oned.settle()
        self.table = table
        self.name = name
        self.oid = 0

    def make(self, method: str, *arguments: Value) -> int:
        """A call that is kept; its result."""
        answer = self.oned.call(method, SESSION, *arguments)
        assert answer[0] is True, answer
        self.oned.settle()
        return int(answer[1])

    def scratch(self, **changes: Any) -> Transaction:
        """The sample with those fields, for one experiment."""
        tx = Transaction(self.oned.store, now=self.oned.now(), seed=SEED)
        tx.put(self.table, replace(tx.get(self.table, self.oid), **changes))
        return tx

    def where(self, reader: Reader) -> str:
        row = reader.get(self.table, self.oid)
        return GONE if row is None else self.name(row)

    def asked(self, tx: Transaction, method: str, *arguments: Value) -> str | None:
        """Where a call leads; None where it is refused."""
        request = Request(method, (SESSION, *arguments), self.oned.now(), SEED)
        outcome = serve(METHODS, tx, self.oned.conf, ClusterStatus(), request, self.oned.sessions)
        assert not outcome.defect, outcome.defect
        if not isinstance(outcome.answer, list) or outcome.answer[0] is not True:
            return None
        return self.where(outcome.transaction or tx)

    def answered(self, tx: Transaction, *, ok: bool) -> tuple[str, str] | None:
        """What the driver's work is called and where its answer leads; None where no driver is at work."""
        duty = next(one for one in DUTIES if one.table is self.table)
        works = required_work(tx, duty, self.oid, self.oned.conf)
        if not works:
            return None
        work: Work = works[0]
        after = Transaction(tx, now=self.oned.now(), seed=SEED)
        duty.finished(Step(after, self.oned.conf), work, WorkResult(key=work.key, ok=ok, message="" if ok else "no"))
        return work.key.action, self.where(after)

    def driver_edges(self, tx: Transaction) -> list[Edge]:
        """Both answers of the driver that is at work."""
        source, found = self.where(tx), []
        for ok, word in ((True, "done"), (False, "failed")):
            answer = self.answered(tx, ok=ok)
            if answer is not None:
                found.append(Edge(source, f"{answer[0]} {word}", answer[1]))
        return found


def host_edges(folder: Path) -> list[Edge]:
    world = World(folder, HOSTS.table, lambda row: HostState(row.state).name)
    world.make("one.host.allocate", "node1", "dummy", "dummy", -1)
    edges = [Edge(GONE, "one.host.allocate", HostState.INIT.name)]
    for state in HostState:
        tx = world.scratch(state=state)
        edges += world.driver_edges(tx)
        for code, word in enumerate(("enable", "disable", "offline")):
            target = world.asked(tx, "one.host.status", 0, code)
            if target is not None:
                edges.append(Edge(state.name, word, target))
        target = world.asked(tx, "one.host.delete", 0)
        if target is not None:
            edges.append(Edge(state.name, "delete", target))
    return edges
