"""Random faults from seeds; every output is checked against the invariants, and afterwards the cluster must recover."""

import pytest

from .chaos import Chaos


@pytest.mark.parametrize("block", range(10))
def test_consensus_survives_chaos(block: int) -> None:
    for seed in range(block * 30, (block + 1) * 30):
        try:
            Chaos(seed).run()
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error}") from error
