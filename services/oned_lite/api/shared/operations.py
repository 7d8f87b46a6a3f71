"""The lists of VM operations in templates of users and groups."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from services.common.template import Template
from services.oned_lite.api.call import Call
from services.oned_lite.model.errors import internal
from services.oned_lite.model.objects import PoolObject
from services.oned_lite.policy.vm_operations import unknown_word

R = TypeVar("R", bound=PoolObject)


def check_operation_words(_call: Call, row: R, template: Template) -> R:
    """Refuses a list that names an operation which does not exist (a `finish` of shared.update)."""
    word = unknown_word(template)
    if word is not None:
        raise internal(f"Cannot update template. Unknown vm operation: {word}")
    return msgspec.structs.replace(row, template=template)
