"""Which right a VM operation needs: VM_USE_, VM_MANAGE_ and VM_ADMIN_OPERATIONS of the user, the group or oned.conf."""

from __future__ import annotations

from services.common.template import Template
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.group import GROUPS
from services.oned_lite.model.user import USERS
from services.oned_lite.state import Reader

from .authorization import Right
from .caller import Caller

_LISTS = (
    ("VM_ADMIN_OPERATIONS", Right.ADMIN),
    ("VM_MANAGE_OPERATIONS", Right.MANAGE),
    ("VM_USE_OPERATIONS", Right.USE),
)
_WORD_OF_ACTION = {
    "unresched": "resched",
    "undeploy-hard": "undeploy",
    "reboot-hard": "reboot",
    "poweroff-hard": "poweroff",
    "terminate-hard": "terminate",
}

WORDS = frozenset(
    (
        "migrate",
        "delete",
        "recover",
        "retry",
        "deploy",
        "resched",
        "undeploy",
        "hold",
        "release",
        "stop",
        "suspend",
        "resume",
        "reboot",
        "poweroff",
        "disk-attach",
        "nic-attach",
        "disk-snapshot",
        "terminate",
        "disk-resize",
        "snapshot",
        "updateconf",
        "rename",
        "resize",
        "update",
        "disk-saveas",
        "backup",
        "sched-action",
        "sg-attach",
    )
)


def unknown_word(template: Template) -> str | None:
    """The first word in the template's lists that is no operation."""
    for name, _ in _LISTS:
        for word in _words(template, name):
            if word not in WORDS:
                return word
    return None


def word_of(action: str) -> str:
    """The word of the lists that covers an action of one.vm.action."""
    return _WORD_OF_ACTION.get(action, action)


def right_for(reader: Reader, conf: Configuration, caller: Caller, word: str) -> Right:
    """The user's own lists count before the primary group's, and those before oned.conf's; MANAGE where none has it."""
    user = reader.get(USERS.table, caller.uid)
    group = reader.get(GROUPS.table, caller.gid)
    for holder in (user, group):
        found = None if holder is None else _in_lists(holder.template, word)
        if found is not None:
            return found
    return _in_lists(conf.template, word) or Right.MANAGE


def _in_lists(template: Template, word: str) -> Right | None:
    for name, right in _LISTS:
        if word in _words(template, name):
            return right
    return None


def _words(template: Template, name: str) -> list[str]:
    return template.get(name).replace(",", " ").split()
