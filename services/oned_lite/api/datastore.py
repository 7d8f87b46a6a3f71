"""one.datastore.*: datastores."""

from __future__ import annotations

import msgspec

from services.common.template import Template
from services.oned_lite.lifecycle.datastore import is_monitored
from services.oned_lite.model.cluster import CLUSTERS, DEFAULT_CLUSTER
from services.oned_lite.model.datastore import DATASTORES, Datastore, DatastoreType, image_ids
from services.oned_lite.model.datastore_rules import DatastoreFault, completed, updated
from services.oned_lite.model.errors import action, internal
from services.oned_lite.model.image import IMAGES
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.removal import remove
from services.oned_lite.policy import secrets
from services.oned_lite.policy.authorization import Right

from . import shared
from .call import Call
from .method import MethodTable
from .pieces import Pieces
from .shared.allocation import MISSING, check_new_name, new_permissions, parsed, required
from .shared.register import register

METHODS = MethodTable("one.datastore")
POOL_METHODS = MethodTable("one.datastorepool")
NO_CLUSTER = -1

register(METHODS, DATASTORES, "info", "chown", "chmod")


@METHODS.add("allocate")
def allocate(call: Call, text: str, cluster_id: int = MISSING) -> int:
    """The group may always use a new datastore. Cluster -1 is the default one."""
    template = parsed(text)
    cluster = CLUSTERS.get(call.tx, DEFAULT_CLUSTER if required(cluster_id) == NO_CLUSTER else cluster_id)
    call.authorize().create(ObjectType.DATASTORE).need(Right.ADMIN, CLUSTERS, cluster).check()
    name = check_new_name(call, DATASTORES, template.get("NAME"))
    oid = call.next_oid(DATASTORES)
    row = Datastore(
        oid=oid,
        name=name,
        uid=call.caller.uid,
        gid=call.caller.gid,
        uname=call.caller.name,
        gname=call.caller.gname,
        permissions=msgspec.structs.replace(new_permissions(call), group_u=1),
        ds_mad="",
        tm_mad="",
        type=DatastoreType.IMAGE_DS,
        base_path=base_path(call, oid),
        cluster_ids=(cluster.oid,),
        template=template.without("NAME"),
    )
    try:
        row = completed(row, call.conf)
    except DatastoreFault as fault:
        raise internal(str(fault)) from None
    sealed = secrets.sealed(call.tx, call.conf, DATASTORES.encrypted, row.template)
    call.tx.put(DATASTORES.table, msgspec.structs.replace(row, template=sealed, monitoring=is_monitored(row)))
    return oid


def base_path(call: Call, oid: int) -> str:
    return f"{call.conf.template.get('DATASTORE_LOCATION')}/{oid}"


@METHODS.add("update")
def update(call: Call, oid: int, text: str, append: int = 0) -> int:
    return shared.update(call, DATASTORES, oid, text, append, finish=_finish_update)


def _finish_update(call: Call, row: Datastore, template: Template) -> Datastore:
    try:
        return updated(row, template, call.conf)
    except DatastoreFault as fault:
        raise internal(f"Cannot update template. {fault}") from None


@METHODS.add("rename")
def rename(call: Call, oid: int, name: str) -> int:
    """Images show their datastore's name and get the new one at once."""
    shared.rename(call, DATASTORES, oid, name)
    for image_id in image_ids(call.tx, oid):
        image = IMAGES.get(call.tx, image_id)
        call.tx.put(IMAGES.table, msgspec.structs.replace(image, datastore=name))
    return oid


@METHODS.add("delete")
def delete(call: Call, oid: int, recursive: bool = False) -> int:
    """An empty datastore; `recursive` means nothing here."""
    call.fetch(DATASTORES, oid, Right.ADMIN)
    if image_ids(call.tx, oid):
        raise action(f"Cannot delete datastore. Datastore {oid} is not empty.")
    remove(call.tx, DATASTORES, oid)
    return oid


@METHODS.add("enable")
def enable(call: Call, oid: int, enable: bool) -> int:
    """Only system datastores: the scheduler leaves out those that are off."""
    row = call.fetch(DATASTORES, oid, Right.MANAGE)
    if row.type is not DatastoreType.SYSTEM_DS:
        raise internal("Only SYSTEM_DS can be disabled or enabled")
    call.tx.put(DATASTORES.table, msgspec.structs.replace(row, enabled=enable))
    return oid


@POOL_METHODS.read("info")
def pool_info(call: Call) -> Pieces:
    return shared.pool_info(call, DATASTORES, -2, -1, -1)
