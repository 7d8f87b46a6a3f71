"""Counting what users and groups use, and refusing what goes beyond their quotas.

Whoever makes, changes or gives back something that counts says so as charges:

>>> check_and_add(tx, owner, [Charge(DATASTORE_QUOTA, 100, {"IMAGES": 1, "SIZE": 40})])
>>> remove(tx, owner, [Charge(DATASTORE_QUOTA, 100, {"IMAGES": 1, "SIZE": 40})])

User 0 and group 0 are never counted; nor is a user or group that is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

from services.common.template import Template, Vector
from services.oned_lite.model.errors import ApiError, ErrorCode
from services.oned_lite.model.group import GROUPS
from services.oned_lite.model.quota import (
    DEFAULT,
    DEFAULT_QUOTAS,
    FAMILIES,
    GROUP,
    GROUP_QUOTAS,
    NAMES,
    NO_ID,
    UNLIMITED,
    USER,
    USER_QUOTAS,
    DefaultQuotas,
    Entry,
    Family,
    GroupQuotas,
    Quotas,
    UserQuotas,
    defaults_of,
    quotas_of,
)
from services.oned_lite.model.user import USERS
from services.oned_lite.state import Reader, Transaction

USED_MAX = 1e15


@dataclass(frozen=True, slots=True)
class Charge:
    """What something uses: amounts by metric, of one object `oid` (-1 in family VM). Amounts may be negative."""

    family: Family
    oid: int
    amounts: Mapping[str, float]

    def times(self, factor: float) -> Charge:
        return Charge(self.family, self.oid, {metric: factor * value for metric, value in self.amounts.items()})


class QuotaExceeded(ApiError):
    """A limit would be passed. `fault` is the plain sentence."""

    def __init__(self, caller_uid: int, fault: str) -> None:
        super().__init__(ErrorCode.AUTHORIZATION, f"User [{caller_uid}] : {fault}.")
        self.fault = fault


class Owned(Protocol):
    """Whatever has an owner: a row of a pool."""

    @property
    def uid(self) -> int: ...
    @property
    def gid(self) -> int: ...


def check(tx: Reader, owner: Owned, charges: Iterable[Charge], *, caller_uid: int | None = None) -> None:
    """Raises QuotaExceeded where one of the charges alone would pass a limit of the owner's user or group. The message
    speaks to user `caller_uid`, the owner if left out."""
    charges = tuple(charges)
    for side, oid in counted(tx, owner):
        for charge in charges:
            _check(tx, side, oid, charge, owner.uid if caller_uid is None else caller_uid)


def check_and_add(tx: Transaction, owner: Owned, charges: Iterable[Charge], *, caller_uid: int | None = None) -> None:
    """Counts the charges for the owner's user and group, each within what the ones before it left."""
    charges = tuple(charges)
    for side, oid in counted(tx, owner):
        for charge in charges:
            _check(tx, side, oid, charge, owner.uid if caller_uid is None else caller_uid)
            _add(tx, side, oid, charge)


def add(tx: Transaction, owner: Owned, charges: Iterable[Charge]) -> None:
    """Counts without asking: where something already happened."""
    for side, oid in counted(tx, owner):
        for charge in charges:
            _add(tx, side, oid, charge)


def remove(tx: Transaction, owner: Owned, charges: Iterable[Charge]) -> None:
    """Gives back what `check_and_add` or `add` counted."""
    add(tx, owner, [charge.times(-1) for charge in charges])


def counted(reader: Reader, owner: Owned) -> list[tuple[str, int]]:
    """For whom it is counted what this owner has: ("user", id) and ("group", id), where there are such."""
    sides = []
    if owner.uid > 0 and reader.get(USERS.table, owner.uid) is not None:
        sides.append((USER, owner.uid))
    if owner.gid > 0 and reader.get(GROUPS.table, owner.gid) is not None:
        sides.append((GROUP, owner.gid))
    return sides


def _check(reader: Reader, side: str, oid: int, charge: Charge, caller_uid: int) -> None:
    fault = _exceeded(reader, side, oid, charge)
    if fault is not None:
        raise QuotaExceeded(caller_uid, fault)


def _exceeded(reader: Reader, side: str, oid: int, charge: Charge) -> str | None:
    """The sentence about the first metric that would pass its limit."""
    family = charge.family
    entry = quotas_of(reader, side, oid).find(family, charge.oid) or empty(family, charge.oid, DEFAULT)
    default = defaults_of(reader, side).find(family, charge.oid)
    for position, metric in enumerate(family.metrics):
        asked = charge.amounts.get(metric, 0)
        limit = entry.limits[position]
        if limit == DEFAULT:
            limit = UNLIMITED if default is None else default.limits[position]
        if asked > 0 and limit >= 0 and entry.used[position] + asked > limit:
            place = f" with ID: {charge.oid}" if family.by_id else ""
            return f"{side} [{oid}] limit of {limit:g} reached for {metric} quota in {family.name}{place}"
    return None


def _add(tx: Transaction, side: str, oid: int, charge: Charge) -> None:
    family = charge.family
    quotas = quotas_of(tx, side, oid)
    entry = quotas.find(family, charge.oid) or empty(family, charge.oid, DEFAULT)
    used = tuple(
        _exact(before + charge.amounts.get(metric, 0))
        for metric, before in zip(family.metrics, entry.used, strict=True)
    )
    _put(tx, side, oid, quotas.with_entry(msgspec.structs.replace(entry, used=used), DEFAULT))


def _exact(value: float) -> float:
    """Sums of CPU shares must come back to nothing: what is shown has two decimals, so six are kept. Nobody has more than
    `USED_MAX` of anything."""
    return round(min(max(value, -USED_MAX), USED_MAX), 6)


def _put(tx: Transaction, side: str, oid: int, quotas: Quotas) -> None:
    if side == USER:
        tx.put(USER_QUOTAS, UserQuotas(user_oid=oid, entries=quotas.entries))
    else:
        tx.put(GROUP_QUOTAS, GroupQuotas(group_oid=oid, entries=quotas.entries))


def forget(tx: Transaction, side: str, oid: int) -> None:
    """The user or group is being deleted."""
    if not quotas_of(tx, side, oid).entries:
        return
    if side == USER:
        tx.delete(USER_QUOTAS, oid)
    else:
        tx.delete(GROUP_QUOTAS, oid)


def empty(family: Family, oid: int, limit: float) -> Entry:
    """A line on which nothing is used."""
    return Entry(family.name, oid, (limit,) * len(family.metrics), (0.0,) * len(family.metrics))


# ---------------------------------------------------------------------- setting limits
class BadQuota(Exception):
    """A section of a quota template that makes no sense; sections before it have been applied."""


def set_limits(tx: Transaction, side: str, oid: int, template: Template) -> None:
    """Replaces the limits of every object that the template names. Raises BadQuota."""
    for family, vector in _sections(template):
        entry = _limits(family, vector, DEFAULT)
        quotas = quotas_of(tx, side, oid)
        before = quotas.find(family, entry.oid)
        if before is not None:
            entry = msgspec.structs.replace(entry, used=before.used)
        _put(tx, side, oid, quotas.with_entry(entry, DEFAULT))


def set_defaults(tx: Transaction, side: str, template: Template) -> None:
    """The same for default limits, where -1 makes no sense. Raises BadQuota."""
    for family, vector in _sections(template):
        quotas = defaults_of(tx, side).with_entry(_limits(family, vector, UNLIMITED), UNLIMITED)
        tx.put(DEFAULT_QUOTAS, DefaultQuotas(name=NAMES[side], entries=quotas.entries))


def _sections(template: Template) -> Iterable[tuple[Family, Vector]]:
    for family in FAMILIES:
        yield from ((family, vector) for vector in template.vectors(family.name))


def _limits(family: Family, vector: Vector, implicit: float) -> Entry:
    """The line that a section asks for. Numbers that are none count as left out."""
    oid = vector.get_int("ID") if family.by_id else NO_ID
    limits = tuple(vector.get_float(metric, implicit) for metric in family.metrics)
    special = {DEFAULT, UNLIMITED} if implicit == DEFAULT else {UNLIMITED}
    if oid is None or (family.by_id and oid < 0) or any(limit < 0 and limit not in special for limit in limits):
        text = ",".join(f"{key}={value}" for key, value in vector)
        raise BadQuota(f"Negative limits or bad format in quota {family.name} = [ {text} ]")
    return msgspec.structs.replace(empty(family, oid, implicit), limits=limits)
