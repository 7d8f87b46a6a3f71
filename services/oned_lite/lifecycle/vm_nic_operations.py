"""What becomes of attaching, detaching and updating a NIC, once the hypervisor has answered."""

from __future__ import annotations

from services.oned_lite.model.vm_states import HistoryAction

from . import vm_nics
from .vm_editor import VmEditor
from .vm_operations import OPERATIONS, Operation
from .work import WorkResult


def _remove_nic(e: VmEditor, _result: WorkResult) -> None:
    """An interface that was taken away, or never came."""
    template = vm_nics.detached(e.tx, e.vm, e.vm.operation.get_int("NIC_ID", -1))
    e.set_template(vm_nics.with_context(e.tx, e.vm, template))


OPERATIONS.update(
    {
        "nic-attach": Operation("vmm", "attach_nic", HistoryAction.NIC_ATTACH, fail=_remove_nic),
        "nic-detach": Operation("vmm", "detach_nic", HistoryAction.NIC_DETACH, succeed=_remove_nic),
        "alias-attach": Operation("vmm", "attach_nic", HistoryAction.ALIAS_ATTACH, fail=_remove_nic),
        "alias-detach": Operation("vmm", "detach_nic", HistoryAction.ALIAS_DETACH, succeed=_remove_nic),
        "nic-update": Operation("vmm", "update_nic", HistoryAction.NIC_UPDATE),
    }
)
