"""one.*.update: replace or merge the template that people write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from services.common.template import Template, TemplateError, parse
from services.oned_lite.api.call import Call
from services.oned_lite.model.errors import bad_request, internal
from services.oned_lite.model.objects import Kind, PoolObject
from services.oned_lite.policy import secrets
from services.oned_lite.policy.authorization import Right
from services.oned_lite.policy.restricted import guard_update

R = TypeVar("R", bound=PoolObject)
REPLACE, MERGE = 0, 1

Finish = Callable[[Call, R, Template], R]
"""Makes the new row of the old row and the new template: where a kind keeps attributes or derives fields from them."""


def update(
    call: Call,
    kind: Kind[R],
    oid: int,
    text: str,
    append: int,
    *,
    right: Right = Right.MANAGE,
    restricted: str = "",
    finish: Finish[R] | None = None,
) -> int:
    """`append` 0 replaces the template, 1 merges into it (each name given replaces all of that name).

    `restricted` names the configuration's list of attributes that only administrators may change.
    Errors: NO_EXISTS, AUTHORIZATION, XML_RPC_API for another `append`, INTERNAL for text that does not parse.
    """
    row = call.fetch(kind, oid, right)
    if append not in (REPLACE, MERGE):
        raise bad_request("Wrong update type")
    template = new_template(call, kind, row.template, text, append, restricted)
    row = finish(call, row, template) if finish else msgspec.structs.replace(row, template=template)
    call.tx.put(kind.table, row)
    return oid


def new_template(call: Call, kind: Kind[Any], old: Template, text: str, append: int, restricted: str) -> Template:
    """The template after an update by this caller."""
    try:
        given = parse(text)
    except TemplateError as error:
        raise internal(f"Cannot update template. {error}") from None
    if restricted and not call.caller.is_admin:
        given = guard_update(old, given, append == MERGE, call.conf.restricted(restricted))
    template = old.merge(given) if append == MERGE else given
    return secrets.sealed(call.tx, call.conf, kind.encrypted, template) if kind.encrypted else template
