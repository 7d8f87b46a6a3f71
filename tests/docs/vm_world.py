"""A sample VM on the second of two hosts, and one that was never deployed."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from services.oned_lite.lifecycle.vm_operations import RETURNS
from services.oned_lite.lifecycle.vm_phases import PHASES
from services.oned_lite.lifecycle.vm_requests import FAILURES, REQUESTS
from services.oned_lite.model.history import HISTORY
from services.oned_lite.model.vm import VMS, Vm
from services.oned_lite.model.vm_states import HistoryAction, LcmState, VmState
from services.oned_lite.state import Transaction

from .world import GONE, Edge, World

State = VmState | LcmState
NEW = frozenset({VmState.INIT, VmState.PENDING, VmState.HOLD, VmState.CLONING, VmState.CLONING_FAILURE})
"""States of a VM that has been on no host yet."""
LEFT_BY = {VmState.STOPPED: HistoryAction.STOP, VmState.UNDEPLOYED: HistoryAction.UNDEPLOY}
RECOVERIES = ("failure", "success", "retry", "delete", "recreate", "delete-db")
VM = "NAME = sample\nCPU = 1\nMEMORY = 64"
SYSTEM_DATASTORE = 0


def state_name(row: Vm) -> str:
    return row.lcm_state.name if row.is_active else row.state.name


class VmWorld(World):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, VMS.table, state_name)
        for name in ("node1", "node2"):
            self.make("one.host.allocate", name, "dummy", "dummy", -1)
        self._deployed = self.make("one.vm.allocate", VM, False)
        self.make("one.vm.deploy", self._deployed, 0, False, -1, "")
        self.make("one.vm.migrate", self._deployed, 1, True, False, -1, 0)
        self._new = self.make("one.vm.allocate", VM, False)

    def in_state(self, state: State) -> Transaction:
        """The sample in that state; `oid` is set to the VM that can be in it."""
        self.oid = self._new if state in NEW else self._deployed
        if isinstance(state, LcmState):
            return self.scratch(state=VmState.ACTIVE, lcm_state=state)
        tx = self.scratch(state=state, lcm_state=LcmState.LCM_INIT)
        if state in LEFT_BY:
            record = tx.get(HISTORY, (self.oid, 1))
            assert record is not None
            tx.put(HISTORY, replace(record, action=int(LEFT_BY[state])))
        return tx

    def driver_edges_of(self, state: State) -> list[Edge]:
        return super().driver_edges(self.in_state(state))

    def driver_all(self) -> list[Edge]:
        return [edge for state in PHASES for edge in self.driver_edges_of(state)]

    def request_edges(self) -> list[Edge]:
        states = [*VmState, LcmState.RUNNING, LcmState.UNKNOWN, LcmState.SHUTDOWN, LcmState.SHUTDOWN_POWEROFF]
        edges = [Edge(GONE, "one.vm.allocate", "PENDING"), Edge(GONE, "one.vm.allocate on hold", "HOLD")]
        for state in [*states, LcmState.SHUTDOWN_UNDEPLOY]:
            edges += self._actions(state)
            for label, method, arguments in (
                ("deploy", "one.vm.deploy", (0, False, -1, "")),
                ("migrate", "one.vm.migrate", (0, False, False, -1, 0)),
                ("migrate live", "one.vm.migrate", (0, True, False, -1, 0)),
            ):
                target = self._asked(state, method, *arguments)
                if target is not None:
                    edges.append(Edge(state.name, label, target))
        return edges

    def recovery_edges(self) -> list[Edge]:
        edges: list[Edge] = []
        for state in [LcmState.UNKNOWN, *FAILURES]:
            for code, word in enumerate(RECOVERIES):
                target = self._asked(state, "one.vm.recover", code)
                if target is not None and target != state.name:
                    edges.append(Edge(state.name, f"*recover {word}*", target))
            if state in FAILURES:
                edges += [replace_label(edge, f"*{edge.label}*") for edge in self._actions(state)]
        return edges

    def _actions(self, state: State) -> list[Edge]:
        """Those of one.vm.action; one that changes nothing is left out."""
        found = []
        for action in REQUESTS:
            tx = self.in_state(state)
            target = self.asked(tx, "one.vm.action", action, self.oid)
            if target not in (None, state.name):
                found.append(Edge(state.name, action, str(target)))
        return found

    def _asked(self, state: State, method: str, *arguments: int | bool | str) -> str | None:
        tx = self.in_state(state)
        return self.asked(tx, method, self.oid, *arguments)


def replace_label(edge: Edge, label: str) -> Edge:
    return Edge(edge.source, label, edge.target)


def operation_edges() -> list[Edge]:
    return [Edge(state.name, "done, failed", back.name) for state, back in RETURNS.items()]
