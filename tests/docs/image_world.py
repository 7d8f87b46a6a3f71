"""A sample image: made, used by VMs, copied, switched off, removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from services.common.template import Vector
from services.oned_lite.lifecycle import image as life
from services.oned_lite.lifecycle import image_use
from services.oned_lite.model.errors import ApiError
from services.oned_lite.model.image import IMAGES, Image, ImageState
from services.oned_lite.model.vm import VMS
from services.oned_lite.state import Transaction

from .world import GONE, Edge, World

TEMPLATE = "NAME = sample\nTYPE = DATABLOCK\nSIZE = 1"
IMAGE_DATASTORE = 1
VM, COPY = 0, 8
IN_USE = {"running_vms": 1, "vm_ids": (VM,)}
BEING_COPIED = {"cloning_ops": 1, "clone_ids": (COPY,)}
AS_USUAL: Mapping[ImageState, dict[str, object]] = {
    ImageState.LOCKED: {"task": life.COPY},
    ImageState.LOCKED_USED: {"task": life.COPY, **IN_USE},
    ImageState.LOCKED_USED_PERS: {"task": life.COPY, "persistent": True, **IN_USE},
    ImageState.USED: IN_USE,
    ImageState.USED_PERS: {"persistent": True, **IN_USE},
    ImageState.CLONE: {"persistent": True, **BEING_COPIED},
    ImageState.DELETE: {"task": life.REMOVE},
}
"""What else is true of an image in that state."""


class ImageWorld(World):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, IMAGES.table, lambda row: ImageState(row.state).name)
        self.oid = self.make("one.image.allocate", TEMPLATE, IMAGE_DATASTORE)
        assert self.make("one.vm.allocate", "NAME = user\nCPU = 1\nMEMORY = 64", True) == VM

    def edges(self) -> list[Edge]:
        found = [Edge(GONE, "one.image.allocate", ImageState.LOCKED.name)]
        for state in ImageState:
            found += self.driver_edges(self.in_state(state))
            found += self._asked_for(state)
            found += self._used(state)
        return found

    def in_state(self, state: ImageState, **changes: object) -> Transaction:
        return self.scratch(state=state, **{**AS_USUAL.get(state, {}), **changes})

    def _asked_for(self, state: ImageState) -> list[Edge]:
        found = []
        for label, method, arguments in (
            ("enable", "one.image.enable", (True,)),
            ("disable", "one.image.enable", (False,)),
            ("delete", "one.image.delete", ()),
        ):
            target = self.asked(self.in_state(state), method, self.oid, *arguments)
            if target not in (None, state.name):
                found.append(Edge(state.name, label, str(target)))
        return found

    def _used(self, state: ImageState) -> list[Edge]:
        """What VMs and copies make of it."""
        tries: list[tuple[str, bool, Callable[[Transaction, Image], object]]] = [
            ("taken by a VM", False, lambda tx, row: image_use.acquire(tx, row, VM)),
            ("taken by a VM (persistent)", True, lambda tx, row: image_use.acquire(tx, row, VM)),
        ]
        if state is ImageState.READY:
            tries.append(("copying begins", False, lambda tx, row: life.begin_clone(tx, row, COPY)))
            tries.append(("copying begins (persistent)", True, lambda tx, row: life.begin_clone(tx, row, COPY)))
        found = []
        for label, persistent, act in tries:
            target = self._after(self.in_state(state, persistent=persistent), act)
            if target not in (None, state.name):
                found.append(Edge(state.name, label, str(target)))
        return found + self._freed(state)

    def _freed(self, state: ImageState) -> list[Edge]:
        copied = self.in_state(state, **BEING_COPIED, running_vms=0)
        tries = (
            ("given back by the last VM", self._after(self.in_state(state), self._give_back)),
            ("the last copy is made", self._after(copied, lambda tx, _row: life.end_clone(tx, self.oid, COPY))),
        )
        return [Edge(state.name, label, target) for label, target in tries if target not in (None, state.name)]

    def _give_back(self, tx: Transaction, _row: Image) -> None:
        vm = tx.get(VMS.table, VM)
        assert vm is not None
        image_use.release_disk(tx, vm, Vector.of(DISK_ID="0", IMAGE_ID=str(self.oid)))

    def _after(self, tx: Transaction, act: Callable[[Transaction, Image], object]) -> str | None:
        row = tx.get(IMAGES.table, self.oid)
        assert row is not None
        try:
            act(tx, row)
        except ApiError:
            return None
        return self.where(tx)
