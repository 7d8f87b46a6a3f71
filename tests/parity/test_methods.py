"""The table of methods is oned's: the same names, arguments, defaults and places of service."""

from __future__ import annotations

import json

import pytest

from services.oned_lite.api.catalogue import METHODS
from tests.docs.api import TYPES
from tests.docs.facts import KnownParameter, known_methods

KNOWN = known_methods()
MAY_BE_MISSING = {
    "one.vn.allocate": 1,
    "one.image.allocate": 1,
    "one.datastore.allocate": 1,
    "one.document.allocate": 1,
    "one.marketapp.allocate": 1,
}
"""Arguments (by place) whose absence the recorded daemon answers with an error of its own instead of a fault."""
NEVER_READ = {"one.cluster.delhost": 0}
"""Arguments of which the recorded daemon takes any type."""


def test_every_method_is_there_and_no_other() -> None:
    assert len(KNOWN) == 295
    assert sorted(METHODS) == sorted(KNOWN)


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_it_takes_the_arguments_of_the_real_one(name: str) -> None:
    method, known = METHODS[name], KNOWN[name]
    assert (method.leader_only, method.in_disabled_zone) == (known.leader_only, known.in_disabled_zone)
    assert len(method.parameters) == len(known.parameters)
    for place, (ours, theirs) in enumerate(zip(method.parameters, known.parameters, strict=True)):
        if NEVER_READ.get(name) != place:
            assert TYPES[ours.type] == theirs.type, theirs.name
        if MAY_BE_MISSING.get(name) != place:
            assert ours.optional == (theirs.default is not None), theirs.name
            assert ours.default == _default(theirs, ours.default), theirs.name


def _default(theirs: KnownParameter, ours: object) -> object:
    if theirs.default is None:
        return None
    return ours if theirs.default == "..." else json.loads(theirs.default)
