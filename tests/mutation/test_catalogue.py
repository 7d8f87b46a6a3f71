"""The catalogue must keep fitting the code; `python -m tests.mutation` makes the mistakes."""

import pytest

from .catalogue import CATALOGUE
from .mutation import ROOT, Mutation


@pytest.mark.parametrize("mutation", CATALOGUE, ids=lambda mutation: mutation.mistake)
def test_mistake_can_still_be_made(mutation: Mutation) -> None:
    assert mutation.applies(), f"{mutation.file} no longer contains, exactly once: {mutation.before!r}"
    assert all((ROOT / test).exists() for test in mutation.tests)


def test_every_mistake_is_another_one() -> None:
    assert len({(mutation.file, mutation.before, mutation.after) for mutation in CATALOGUE}) == len(CATALOGUE)
    assert len({mutation.mistake for mutation in CATALOGUE}) == len(CATALOGUE)
