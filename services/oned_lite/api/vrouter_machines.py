"""one.vrouter.instantiate, attachnic and detachnic: what a virtual router does together with its machines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from services.common.template import Template, Vector
from services.oned_lite.lifecycle import vm_release, vm_requests, vrouter
from services.oned_lite.model.errors import ApiError, ErrorCode, action
from services.oned_lite.model.errors import allocate as cannot_allocate
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.vm import VMS
from services.oned_lite.model.vmtemplate import TEMPLATES, VmTemplate
from services.oned_lite.model.vrouter import VROUTERS, VRouter
from services.oned_lite.policy.authorization import Right
from services.oned_lite.policy.restricted import first_changed

from . import vm_allocate, vm_nics
from .call import Call
from .method import MethodTable
from .shared.allocation import parsed
from .vm_resources import need_named
from .vm_shared import editor
from .vmtemplate import RESTRICTED

METHODS = MethodTable("one.vrouter")
OWN_TEMPLATE = -1
NUMBER = "%i"


# ---------------------------------------------------------------------- machines
@METHODS.add("instantiate")
def instantiate(call: Call, oid: int, n_vms: int, template_id: int, name: str, hold: bool, extra_template: str) -> int:
    """Makes machines for the router, all or none. `%i` in `name` is each machine's number."""
    extra = parsed(extra_template).without("NAME")
    row = VROUTERS.get(call.tx, oid)
    wanted = row.template.get_int("TEMPLATE_ID", OWN_TEMPLATE) if template_id == OWN_TEMPLATE else template_id
    if wanted == OWN_TEMPLATE:
        raise action("A template ID was not provided, and the virtual router does not have a default one")
    source = TEMPLATES.get(call.tx, wanted)
    _authorize(call, row, source, extra)
    if not source.template.get_bool("VROUTER", False):
        raise action("Only virtual router templates are allowed")
    row = call.tx.put(VROUTERS.table, replace(row, template=row.template.with_set("TEMPLATE_ID", str(wanted))))
    template = _machine_template(row, source, extra)
    made = _made(call, template, n_vms, name or f"vr-{row.name}-{NUMBER}")
    if not hold:
        for vm_id in made:
            vm_requests.release(editor(call, VMS.get(call.tx, vm_id)))
    call.tx.put(VROUTERS.table, replace(row, vm_ids=tuple(sorted((*row.vm_ids, *made)))))
    return oid


def _authorize(call: Call, row: VRouter, source: VmTemplate, extra: Template) -> None:
    authorization = call.authorize().need(Right.MANAGE, VROUTERS, row).need(Right.USE, TEMPLATES, source)
    if extra.attributes and not call.caller.is_admin:
        authorization.create(ObjectType.TEMPLATE)
        found = first_changed(extra, source.template, call.conf.restricted(RESTRICTED))
        if found is not None:
            authorization.deny(f"User Template includes a restricted attribute {found}")
    authorization.check()


def _machine_template(row: VRouter, source: VmTemplate, extra: Template) -> Template:
    template = source.template.merge(extra).without("NIC", "NIC_ALIAS").merge(row.machine_attributes())
    return template.with_set("TEMPLATE_ID", str(source.oid)).with_set("TEMPLATE_NAME", source.name)


def _made(call: Call, template: Template, count: int, name: str) -> list[int]:
    """Ids of the new machines, all on hold until all are there. Where one cannot be made, those before it are done with,
    and their ids are gone."""
    made: list[int] = []
    for number in range(count):
        before = call.tx.savepoint()
        named = template.with_set("NAME", name.replace(NUMBER, str(number)))
        try:
            made.append(vm_allocate.create(call, call.authorize(), named, hold=True))
        except ApiError as error:
            call.tx.roll_back(before)
            for vm_id in made:
                vm_release.done(editor(call, VMS.get(call.tx, vm_id)))
            raise _refused(error, keeps_changes=bool(made)) from None
    return made


def _refused(error: ApiError, *, keeps_changes: bool) -> ApiError:
    if error.code is ErrorCode.INTERNAL:
        error = cannot_allocate(VROUTERS.title, error.message)
    error.keeps_changes = keeps_changes
    return error


# ---------------------------------------------------------------------- NICs
@METHODS.add("attachnic")
def attachnic(call: Call, oid: int, text: str) -> int:
    """Gives the router and then each of its machines one more NIC. The router keeps it even if a machine goes without."""
    template = parsed(text)
    row = VROUTERS.get(call.tx, oid)
    authorization = call.authorize().need(Right.MANAGE, VROUTERS, row)
    need_named(call, authorization, template)
    authorization.check()
    if template.vectors("NIC_ALIAS"):
        raise action("Alias can't be attached to virtual router.")
    given = template.vectors("NIC")
    if len(given) != 1:
        raise action("The template must contain one NIC attribute")
    nic_id = max((nic.get_int("NIC_ID", -1) for nic in row.nics), default=-1) + 1
    try:
        row = vrouter.with_nic(call.tx, row, given[0], nic_id)
    except ApiError as error:
        raise action(error.message) from None
    nic = row.nic(nic_id) or Vector()
    for_machines = Template().with_set("NIC", nic.without("NIC_ID"))
    with _router_stays_changed():
        for vm_id in row.vm_ids:
            vm_nics.attach(call, VMS.get(call.tx, vm_id), for_machines)
    return oid


@METHODS.add("detachnic")
def detachnic(call: Call, oid: int, nic_id: int) -> int:
    """Takes a NIC from the router and then from each of its machines. The router loses it even if a machine does not."""
    row = call.fetch(VROUTERS, oid, Right.MANAGE)
    nic = row.nic(nic_id)
    if nic is None:
        raise action(f"NIC with NIC_ID {nic_id} does not exist.")
    vrouter.without_nic(call.tx, row, nic)
    with _router_stays_changed():
        for vm_id in row.vm_ids:
            vm_nics.detach(call, VMS.get(call.tx, vm_id), nic_id)
    return oid


@contextmanager
def _router_stays_changed() -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        error.keeps_changes = True
        raise
