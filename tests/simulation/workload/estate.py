"""Users who make and destroy VMs and images within their quotas."""

from __future__ import annotations

import random
from collections.abc import Callable

from services.common.xmlrpc import Value
from services.oned_lite.model.image import IMAGES
from services.oned_lite.model.vm import VMS
from services.oned_lite.model.vm_states import LcmState
from services.oned_lite.state import Store
from services.oned_lite.state.table import scan

from ..invariants import Violation
from ..world import World
from .calls import ADMIN, Calls

Done = Callable[[], None]
ANN, BOB, TEAM, SYSTEM, IMAGES_DS = 2, 3, 100, 100, 101
USERS = {ANN: "ann:annpw", BOB: "bob:bobpw"}
SETUP: tuple[tuple[str, list[Value]], ...] = (
    ("one.group.allocate", ["team"]),
    ("one.user.allocate", ["ann", "annpw", "core", [1]]),
    ("one.user.allocate", ["bob", "bobpw", "core", [1]]),
    ("one.datastore.allocate", ["NAME=sys\nTYPE=SYSTEM_DS\nTM_MAD=dummy", 0]),
    ("one.datastore.allocate", ["NAME=img\nDS_MAD=dummy\nTM_MAD=dummy", 0]),
    ("one.host.allocate", ["h1", "dummy", "dummy", 0]),
    ("one.user.quota", [ANN, "VM=[VMS=4,CPU=-2,MEMORY=-2,SYSTEM_DISK_SIZE=40]"]),
    ("one.user.quota", [BOB, f"DATASTORE=[ID={IMAGES_DS},IMAGES=3,SIZE=60]"]),
    ("one.group.quota", [1, "VM=[VMS=7,CPU=6,MEMORY=-2,SYSTEM_DISK_SIZE=-2]"]),
)
"""Makes everything there has to be, in this order, so that the ids above are right."""


class Estate:
    def __init__(self, world: World, calls: Calls, rng: random.Random) -> None:
        self._world = world
        self._calls = calls
        self._rng = rng
        self._number = 0
        self._steps = list(SETUP)
        self._setting_up = False
        self._vms: dict[int, str] = {}
        self._images: dict[int, str] = {}
        self._deleted: set[int] = set()

    @property
    def ready(self) -> bool:
        return not self._steps

    def act(self, done: Done) -> None:
        """One call of one client."""
        if not self.ready:
            self._set_up(done)
            return
        acts = [self._make_vm, self._make_vm, self._operate, self._operate, self._make_image, self._delete_image]
        self._rng.choice([*acts, self._give_away])(done)

    def _set_up(self, done: Done) -> None:
        """One client does it, step by step; a step whose outcome is unknown is repeated until its name is taken."""
        if self._setting_up:
            done()
            return
        self._setting_up = True
        method, arguments = self._steps[0]

        def ended(outcome: str, value: Value) -> None:
            self._setting_up = False
            if outcome == "ok" or "already taken" in str(value):
                self._steps.pop(0)
            done()

        self._calls.call(method, arguments, ended)

    def _name(self, prefix: str) -> str:
        self._number += 1
        return f"{prefix}{self._number}"

    # ------------------------------------------------------------------ VMs
    def _make_vm(self, done: Done) -> None:
        rng, name = self._rng, self._name("vm")
        images = sorted(set(self._images) - self._deleted)
        disk = f"DISK=[IMAGE_ID={rng.choice(images)}]" if images and rng.random() < 0.4 else "DISK=[TYPE=fs,SIZE=9]"
        text = f"NAME={name}\nCPU={rng.choice(('0.5', '1'))}\nMEMORY=64\n{disk}"
        self._make("one.vm.allocate", [text, rng.random() < 0.2], name, self._vms, "VMs made", done)

    def _make(
        self, method: str, arguments: list[Value], name: str, known: dict[int, str], count: str, done: Done
    ) -> None:
        def ended(outcome: str, value: Value) -> None:
            if outcome == "ok":
                assert isinstance(value, int)
                if value in known:
                    raise Violation(f"{method}: id {value} was given out for {known[value]} and for {name}")
                known[value] = name
                self._world.coverage.hit(count)
            done()

        self._calls.call(method, arguments, ended, session=self._rng.choice(list(USERS.values())))

    def _operate(self, done: Done) -> None:
        if not self._vms:
            done()
            return
        action = self._rng.choice(("terminate-hard", "terminate-hard", "poweroff-hard", "resume", "undeploy-hard"))
        self._do("one.vm.action", [action, self._rng.choice(list(self._vms))], done)

    def _give_away(self, done: Done) -> None:
        """Another owner, and sometimes another group: everything that counts goes along."""
        if not self._vms:
            done()
            return
        vm, owner, group = self._rng.choice(list(self._vms)), self._rng.choice((ANN, BOB)), self._rng.choice((-1, TEAM))
        self._do("one.vm.chown", [vm, owner, group], done)

    def _do(self, method: str, arguments: list[Value], done: Done) -> None:
        self._calls.call(method, arguments, lambda _outcome, _value: done(), session=ADMIN)

    # ------------------------------------------------------------------ images
    def _make_image(self, done: Done) -> None:
        name = self._name("img")
        text = f"NAME={name}\nTYPE=DATABLOCK\nSIZE={self._rng.randint(1, 30)}"
        self._make("one.image.allocate", [text, IMAGES_DS, False], name, self._images, "images made", done)

    def _delete_image(self, done: Done) -> None:
        images = sorted(set(self._images) - self._deleted)
        if not images:
            done()
            return
        oid = self._rng.choice(images)
        self._deleted.add(oid)  # whatever the answer: it may be gone from now on
        self._do("one.image.delete", [oid], done)

    def check(self, store: Store) -> None:
        """What was acknowledged and not deleted is there."""
        for oid, name in self._vms.items():
            vm = store.get(VMS.table, oid)
            if vm is None or vm.name != name:
                raise Violation(f"VM {oid} ({name}) was acknowledged and is gone")
        for oid, name in self._images.items():
            image = store.get(IMAGES.table, oid)
            if oid not in self._deleted and (image is None or image.name != name):
                raise Violation(f"image {oid} ({name}) was acknowledged and is gone")
        running = sum(vm.lcm_state is LcmState.RUNNING for vm in scan(store, VMS.table))
        self._world.coverage.hit("VMs running", running)
