"""one.cluster.*: clusters and what belongs to them."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from services.common.template import Template
from services.oned_lite.model.cluster import (
    CLUSTERS,
    DEFAULT_CLUSTER,
    FIRST_USER_CLUSTER,
    MEMBER_ELEMENTS,
    Cluster,
    member_ids,
)
from services.oned_lite.model.datastore import DATASTORES
from services.oned_lite.model.errors import action
from services.oned_lite.model.host import HOSTS
from services.oned_lite.model.objects import Kind, ObjectType, PoolObject
from services.oned_lite.model.removal import remove
from services.oned_lite.model.vnet import VNETS
from services.oned_lite.policy.authorization import Right

from . import shared
from .call import Call
from .method import MethodTable
from .pieces import Pieces
from .shared.allocation import check_new_name
from .shared.register import register

METHODS = MethodTable("one.cluster")
POOL_METHODS = MethodTable("one.clusterpool")

NEW_TEMPLATE = Template((("RESERVED_CPU", ""), ("RESERVED_MEM", "")))
MEMBER_WORDS = dict(zip(MEMBER_ELEMENTS, ("hosts", "datastores", "vnets"), strict=True))

R = TypeVar("R", bound=PoolObject)

register(METHODS, CLUSTERS, "info", "rename")


@METHODS.add("allocate")
def allocate(call: Call, name: str) -> int:
    call.create(ObjectType.CLUSTER)
    check_new_name(call, CLUSTERS, name)
    return call.tx.put(CLUSTERS.table, Cluster(oid=call.next_oid(CLUSTERS), name=name, template=NEW_TEMPLATE)).oid


@METHODS.add("delete")
def delete(call: Call, oid: int, recursive: bool = False) -> int:
    """An empty cluster of one's own making; `recursive` means nothing here."""
    call.fetch(CLUSTERS, oid, Right.ADMIN)
    if oid < FIRST_USER_CLUSTER:
        raise action("Cannot delete cluster. System Clusters (ID < 100) cannot be deleted.")
    for name, word in MEMBER_WORDS.items():
        count = len(member_ids(call.tx, name, oid))
        if count:
            raise action(f"Cannot delete cluster. Cluster {oid} is not empty, it contains {count} {word}.")
    remove(call.tx, CLUSTERS, oid)
    return oid


@POOL_METHODS.read("info")
def pool_info(call: Call) -> Pieces:
    return shared.pool_info(call, CLUSTERS, -2, -1, -1)


@METHODS.add("update")
def update(call: Call, oid: int, text: str, append: int = 0) -> int:
    return shared.update(call, CLUSTERS, oid, text, append)


@METHODS.add("addhost")
def addhost(call: Call, oid: int, host_id: int) -> int:
    _move_host(call, oid, host_id)
    return oid


@METHODS.add("delhost")
def delhost(call: Call, oid: object, host_id: int) -> int:
    """Back to the default cluster, whatever cluster is named: oned never reads the first argument."""
    _move_host(call, DEFAULT_CLUSTER, host_id)
    return DEFAULT_CLUSTER


def _move_host(call: Call, oid: int, host_id: int) -> None:
    host = _member(call, oid, HOSTS, host_id)
    call.tx.put(HOSTS.table, msgspec.structs.replace(host, cluster_id=oid))


@METHODS.add("adddatastore")
def adddatastore(call: Call, oid: int, ds_id: int) -> int:
    return _change_membership(call, oid, DATASTORES, ds_id, joins=True)


@METHODS.add("deldatastore")
def deldatastore(call: Call, oid: int, ds_id: int) -> int:
    return _change_membership(call, oid, DATASTORES, ds_id, joins=False)


@METHODS.add("addvnet")
def addvnet(call: Call, oid: int, vn_id: int) -> int:
    return _change_membership(call, oid, VNETS, vn_id, joins=True)


@METHODS.add("delvnet")
def delvnet(call: Call, oid: int, vn_id: int) -> int:
    return _change_membership(call, oid, VNETS, vn_id, joins=False)


def _change_membership(call: Call, oid: int, kind: Kind[Any], member_oid: int, *, joins: bool) -> int:
    """For kinds that may be in several clusters at once (`cluster_ids`)."""
    member = _member(call, oid, kind, member_oid)
    others = {*member.cluster_ids} - {oid}
    cluster_ids = tuple(sorted(others | {oid} if joins else others))
    call.tx.put(kind.table, msgspec.structs.replace(member, cluster_ids=cluster_ids))
    return oid


def _member(call: Call, oid: int, kind: Kind[R], member_oid: int) -> R:
    """A cluster's host, datastore or network to be. The cluster is looked for first; both need ADMIN."""
    cluster = CLUSTERS.get(call.tx, oid)
    member = kind.get(call.tx, member_oid)
    call.authorize().need(Right.ADMIN, CLUSTERS, cluster).need(Right.ADMIN, kind, member).check()
    return member
