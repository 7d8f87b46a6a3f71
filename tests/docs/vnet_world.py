"""A sample network, made and removed by its driver."""

from __future__ import annotations

from pathlib import Path

from services.oned_lite.lifecycle.vnet import RECOVERABLE
from services.oned_lite.model.vnet import VNETS, VnetState
from services.oned_lite.state import Transaction

from .world import GONE, Edge, World

TEMPLATE = "NAME = sample\nVN_MAD = dummy\nBRIDGE = br0"
RECOVERIES = ("failure", "success", "delete", "retry")


class VnetWorld(World):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, VNETS.table, lambda row: VnetState(row.state).name)
        self.oid = self.make("one.vn.allocate", TEMPLATE, -1)

    def edges(self) -> list[Edge]:
        assert set(RECOVERIES) == set(RECOVERABLE)
        found = [Edge(GONE, "one.vn.allocate", VnetState.LOCK_CREATE.name)]
        for state in VnetState:
            tx = self.scratch(state=state)
            if state in (VnetState.LOCK_CREATE, VnetState.LOCK_DELETE):
                found += self.driver_edges(tx)
            found += self._asked_for(state, tx)
        return found

    def _asked_for(self, state: VnetState, tx: Transaction) -> list[Edge]:
        calls = [("delete", "one.vn.delete", (self.oid,))]
        calls += [(f"recover {word}", "one.vn.recover", (self.oid, code)) for code, word in enumerate(RECOVERIES)]
        found = []
        for label, method, arguments in calls:
            target = self.asked(tx, method, *arguments)
            if target not in (None, state.name):
                found.append(Edge(state.name, label, str(target)))
        return found
