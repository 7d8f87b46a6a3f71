"""Permissions and access rules, compared with a naive reading of what the documentation says."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.oned_lite.api.catalogue import TABLES
from services.oned_lite.model import acl
from services.oned_lite.model.acl import ACL_RULES, AclRule
from services.oned_lite.model.host import HOSTS, Host
from services.oned_lite.model.objects import Kind, Lock, ObjectType, Permissions, PoolObject
from services.oned_lite.model.vmtemplate import TEMPLATES, VmTemplate
from services.oned_lite.policy.authorization import Authorization, Right, allowed
from services.oned_lite.policy.caller import Caller
from services.oned_lite.state import Store, Transaction

IDS = st.integers(0, 3)
TYPES = (ObjectType.TEMPLATE, ObjectType.HOST, ObjectType.VM)
RIGHTS = (Right.USE, Right.MANAGE, Right.ADMIN)

callers = st.builds(
    lambda uid, gid, more: Caller(uid, f"user{uid}", gid, f"group{gid}", frozenset({gid, *more})),
    uid=st.integers(0, 3),
    gid=IDS,
    more=st.sets(IDS, max_size=2),
)
selectors = st.one_of(
    st.just(acl.ALL),
    st.builds(lambda bit, oid: bit | oid, st.sampled_from([acl.INDIVIDUAL, acl.GROUP, acl.CLUSTER]), IDS),
)
rules = st.lists(
    st.builds(
        AclRule,
        oid=st.integers(0, 1000),
        user=st.one_of(
            st.just(acl.ALL),
            st.builds(lambda bit, oid: bit | oid, st.sampled_from([acl.INDIVIDUAL, acl.GROUP]), IDS),
        ),
        resource=st.builds(
            lambda types, selector: sum(types) | selector, st.sets(st.sampled_from(TYPES), min_size=1), selectors
        ),
        rights=st.integers(1, 15),
        zone=st.sampled_from([acl.ANY_ZONE, acl.THIS_ZONE, acl.INDIVIDUAL | 7]),
    ),
    max_size=6,
)
templates = st.builds(
    VmTemplate,
    oid=IDS,
    name=st.just("t"),
    uid=IDS,
    gid=IDS,
    permissions=st.builds(Permissions.from_octal, st.integers(0, 0o777)),
    lock=st.none() | st.builds(Lock, level=st.integers(1, 3), owner=IDS, time=st.just(1), request_id=st.just(1)),
    regtime=st.just(0),
)
hosts = st.builds(Host, oid=IDS, name=st.just("h"), im_mad=st.just("dummy"), vm_mad=st.just("dummy"), cluster_id=IDS)
things = st.one_of(st.tuples(st.just(TEMPLATES), templates), st.tuples(st.just(HOSTS), hosts))


def reader_with(rule_rows: list[AclRule]) -> Transaction:
    tx = Transaction(Store(TABLES), now=0)
    for rule in rule_rows:
        tx.put(ACL_RULES, rule)
    return tx


def naive(rule_rows: list[AclRule], caller: Caller, right: Right, kind: Kind[Any], row: PoolObject) -> bool:
    """Administrators may do everything. Others by the bits that apply to them (not on hosts), or by any rule."""
    if caller.uid == 0 or 0 in caller.group_ids:
        return True
    letter = {Right.USE: "u", Right.MANAGE: "m", Right.ADMIN: "a"}[right]
    if kind.type is not ObjectType.HOST:
        applying = {"other": True, "owner": row.uid == caller.uid, "group": row.gid in caller.group_ids}
        if any(applies and getattr(row.permissions, f"{who}_{letter}") for who, applies in applying.items()):
            return True
    last_of_each_id = {rule.oid: rule for rule in rule_rows}.values()
    return any(naive_rule(rule, caller, right, kind, row) for rule in last_of_each_id)


def naive_rule(rule: AclRule, caller: Caller, right: Right, kind: Kind[Any], row: PoolObject) -> bool:
    who, what = rule.user, rule.resource
    for_caller = (
        bool(who & acl.ALL)
        or (bool(who & acl.INDIVIDUAL) and who & acl.ID_MASK == caller.uid)
        or (bool(who & acl.GROUP) and who & acl.ID_MASK in caller.group_ids)
    )
    on_object = (
        bool(what & acl.ALL)
        or (bool(what & acl.INDIVIDUAL) and what & acl.ID_MASK == row.oid)
        or (bool(what & acl.GROUP) and what & acl.ID_MASK == row.gid)
        or (bool(what & acl.CLUSTER) and what & acl.ID_MASK == getattr(row, "cluster_id", None))
    )
    here = rule.zone in (acl.ALL, acl.INDIVIDUAL | 0)
    return for_caller and on_object and here and bool(what & kind.type) and bool(rule.rights & right)


@given(rules, callers, st.sampled_from(RIGHTS), things)
def test_a_right_is_given_exactly_where_bits_or_a_rule_give_it(
    rule_rows: list[AclRule], caller: Caller, right: Right, thing: tuple[Kind[Any], PoolObject]
) -> None:
    kind, row = thing
    assert allowed(reader_with(rule_rows), caller, right, kind, row) == naive(rule_rows, caller, right, kind, row)


@given(rules, callers, st.sampled_from(RIGHTS), templates)
def test_a_lock_stops_its_level_and_those_above_for_everybody(
    rule_rows: list[AclRule], caller: Caller, right: Right, row: VmTemplate
) -> None:
    reader = reader_with(rule_rows)
    rank = {Right.USE: 1, Right.MANAGE: 2, Right.ADMIN: 3}[right]
    locked = row.lock is not None and row.lock.level <= rank
    free = allowed(reader, caller, right, TEMPLATES, row)
    assert Authorization(reader, caller).need(right, TEMPLATES, row).passed == (free and not locked)
    assert Authorization(reader, caller).need(right, TEMPLATES, row, ignore_lock=True).passed == free


@given(rules, callers, st.sampled_from(TYPES))
def test_creating_takes_a_rule_for_all_objects_or_for_the_callers_group(
    rule_rows: list[AclRule], caller: Caller, object_type: ObjectType
) -> None:
    given_by_rule = any(
        rule.rights & Right.CREATE
        and rule.resource & object_type
        and rule.zone in (acl.ANY_ZONE, acl.THIS_ZONE)
        and (rule.resource & acl.ALL or rule.holder == acl.GROUP | caller.gid)
        and rule.user in {acl.ALL, acl.INDIVIDUAL | caller.uid, *(acl.GROUP | one for one in caller.group_ids)}
        for rule in {rule.oid: rule for rule in rule_rows}.values()
    )
    assert Authorization(reader_with(rule_rows), caller).create(object_type).passed == (
        caller.is_admin or given_by_rule
    )


def test_every_missing_right_is_named_once_in_the_order_asked_for() -> None:
    row = VmTemplate(oid=7, name="t", uid=1, gid=1, permissions=Permissions.from_octal(0), regtime=0)
    stranger = Caller(5, "eve", 9, "others", frozenset({9}))
    asked = Authorization(reader_with([]), stranger).create(ObjectType.VM).need(Right.USE, TEMPLATES, row)
    try:
        asked.check()
    except Exception as error:
        text = str(error)
    assert text == "User [5] : Not authorized to perform CREATE VM; Not authorized to perform USE TEMPLATE [7]."
