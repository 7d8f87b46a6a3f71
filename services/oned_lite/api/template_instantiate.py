"""one.template.instantiate: a VM from a template."""

from __future__ import annotations

from dataclasses import replace

from services.common.template import Template
from services.oned_lite.model.errors import ApiError, ErrorCode, ParameterFault, action
from services.oned_lite.model.errors import allocate as cannot_allocate
from services.oned_lite.model.group import GROUPS
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.user import USERS
from services.oned_lite.model.vmtemplate import TEMPLATES, VmTemplate
from services.oned_lite.policy.authorization import Authorization, Right
from services.oned_lite.policy.restricted import first_changed

from . import vm_allocate
from .call import Call
from .method import MethodTable
from .shared.allocation import parsed
from .vmtemplate import RESTRICTED, cloned

METHODS = MethodTable("one.template")
OWNER_NAMES = ("AS_UID", "AS_GID")
INTERNAL_FAULT = -500


@METHODS.add("instantiate", counts=(2, 4, 5))
def instantiate(
    call: Call, oid: int, name: str, hold: bool = False, extra_template: str = "", persistent: bool = False
) -> int:
    """The new VM's id. `persistent` first copies the template and its images for the caller; what was copied stays even
    if the VM cannot be made."""
    row = TEMPLATES.get(call.tx, oid)
    if row.template.get_bool("VROUTER", False):
        raise action("Virtual router templates cannot be instantiated")
    extra = parsed(extra_template).without("NAME")
    authorization = _authorization(call, row, extra)
    if not persistent:
        return _vm(call, authorization, row, extra, name, hold=hold)
    authorization.check()
    copy = cloned(call, oid, name or f"{row.name}-copy", recursive=True, persistent=True, extra=extra)
    cloning = Template.of(CLONING_TEMPLATE_ID=str(oid))
    try:
        return _vm(call, call.authorize(), copy, extra.without("DISK").merge(cloning), name, hold=hold)
    except ApiError as error:
        error.keeps_changes = True
        raise


def _authorization(call: Call, row: VmTemplate, extra: Template) -> Authorization:
    authorization = call.authorize().need(Right.USE, TEMPLATES, row)
    if extra.attributes and not call.caller.is_admin:
        authorization.create(ObjectType.TEMPLATE)
        found = first_changed(extra, row.template, call.conf.restricted(RESTRICTED))
        if found is not None:
            authorization.deny(f"User Template includes a restricted attribute {found}")
    return authorization


def _vm(call: Call, authorization: Authorization, row: VmTemplate, extra: Template, name: str, *, hold: bool) -> int:
    """Whatever is wrong with the template is an ALLOCATE error of a *template* here."""
    template = row.template.merge(extra)
    call = _as_owner(call, authorization, template)
    template = template.without(*OWNER_NAMES).with_set("TEMPLATE_ID", str(row.oid))
    template = template.with_set("TEMPLATE_NAME", row.name)
    if name:
        template = template.with_set("NAME", name)
    try:
        return vm_allocate.create(call, authorization, template, hold=hold)
    except ApiError as error:
        if error.code is ErrorCode.INTERNAL:
            refused = cannot_allocate(TEMPLATES.title, error.message)
            refused.keeps_changes = error.keeps_changes
            raise refused from None
        raise


def _as_owner(call: Call, authorization: Authorization, template: Template) -> Call:
    """The call on behalf of AS_UID and AS_GID, which need MANAGE on them. Raises ParameterFault where there is no such
    user or group, as oned in effect does."""
    uid, gid = (template.get_int(name) for name in OWNER_NAMES)
    caller = call.caller
    if uid is not None and uid > 0:
        user = call.tx.get(USERS.table, uid)
        if user is None:
            raise ParameterFault(f"AS_UID: there is no user {uid}", INTERNAL_FAULT)
        authorization.need(Right.MANAGE, USERS, user)
        caller = replace(caller, uid=uid, name=user.name)
    if gid is not None and gid > 0:
        group = call.tx.get(GROUPS.table, gid)
        if group is None:
            raise ParameterFault(f"AS_GID: there is no group {gid}", INTERNAL_FAULT)
        authorization.need(Right.MANAGE, GROUPS, group)
        caller = replace(caller, gid=gid, gname=group.name)
    return replace(call, caller=caller)
