"""What users and groups use, counted anew from the objects themselves, against what their quotas say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from services.oned_lite.lifecycle import image as image_cycle
from services.oned_lite.lifecycle import vm_quota
from services.oned_lite.model.image import IMAGES
from services.oned_lite.model.quota import FAMILIES, GROUP, GROUP_QUOTAS, USER, USER_QUOTAS, Quotas
from services.oned_lite.model.vm import VMS
from services.oned_lite.policy.quotas import Charge, counted
from services.oned_lite.state import Store
from services.oned_lite.state.table import scan

TABLES = frozenset({VMS.table.name, IMAGES.table.name, USER_QUOTAS.name, GROUP_QUOTAS.name})
"""Changes of these can make the sums wrong."""
Line = tuple[str, int, str, int, str]
"""Side, user or group, family, object, metric."""
_METRICS = {family.name: family.metrics for family in FAMILIES}


def difference(store: Store) -> dict[Line, tuple[float, float]]:
    """The lines on which they differ: what the objects add up to, and what is written down. Networks are not looked at."""
    real, written = _real(store), _written(store)
    lines = {line for line in {*real, *written} if line[2] != "NETWORK"}
    pairs = {line: (round(real[line], 6), round(written[line], 6)) for line in sorted(lines)}
    return {line: pair for line, pair in pairs.items() if pair[0] != pair[1]}


def _real(store: Store) -> Counter[Line]:
    sums: Counter[Line] = Counter()
    for vm in scan(store, VMS.table):
        _charge(store, sums, vm, vm_quota.charges(vm))
    for image in scan(store, IMAGES.table):
        _charge(store, sums, image, image_cycle.charges(image))
    return sums


def _charge(store: Store, sums: Counter[Line], owner: object, charges: Iterable[Charge]) -> None:
    for side, oid in counted(store, owner):  # type: ignore[arg-type]
        for charge in charges:
            for metric, amount in charge.amounts.items():
                sums[side, oid, charge.family.name, charge.oid, metric] += amount  # type: ignore[assignment]


def _written(store: Store) -> Counter[Line]:
    sums: Counter[Line] = Counter()
    for user in scan(store, USER_QUOTAS):
        _lines(sums, USER, user.user_oid, user)
    for group in scan(store, GROUP_QUOTAS):
        _lines(sums, GROUP, group.group_oid, group)
    return sums


def _lines(sums: Counter[Line], side: str, oid: int, quotas: Quotas) -> None:
    for entry in quotas.entries:
        for metric, used in zip(_METRICS[entry.family], entry.used, strict=True):
            sums[side, oid, entry.family, entry.oid, metric] += used  # type: ignore[assignment]
