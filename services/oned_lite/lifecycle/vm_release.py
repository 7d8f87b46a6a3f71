"""What a VM gives back when it is done: images, leases, its place in a VM group, its display port."""

from __future__ import annotations

from services.common.template import Template
from services.oned_lite.model.vm_states import VmState

from . import image_use, vm_membership, vm_nics, vrouter
from .vm_editor import VmEditor


def without_port(template: Template) -> Template:
    """The display's port goes back to the pool where the daemon chose it (a chosen one is 5900 and above)."""
    graphics = template.vector("GRAPHICS")
    if graphics is None or "PORT" not in graphics:
        return template
    return template.with_set("GRAPHICS", graphics.without("PORT"))


def port(e: VmEditor) -> None:
    e.set_template(without_port(e.vm.template))


def done(e: VmEditor) -> None:
    """The end of a VM: everything it holds is free again."""
    for disk in e.vm.template.vectors("DISK"):
        image_use.release_disk(e.tx, e.vm, disk)
    vm_nics.release_all(e.tx, e.vm)
    vm_nics.release_all(e.tx, e.vm)
    vrouter.leave(e.tx, e.vm)
    vm_membership.leave(e.tx, e.vm)
    port(e)
    e.rest(VmState.DONE, etime=e.now)
