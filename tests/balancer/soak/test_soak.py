"""One short run at every test run; ``python -m tests.balancer.soak`` runs as many and as long as wanted."""

from __future__ import annotations

from pathlib import Path

from tests.balancer.soak.run import Plan, run


async def test_everything_is_conserved(tmp_path: Path, certificates: Path) -> None:
    plan = Plan(seed=1, clients=80, workers=2, upgrades=False)
    result = await run(plan, tmp_path, certificates / "one.example.pem")
    assert not result.violation, f"{result.violation}\n{(tmp_path / 'log').read_text()[-5000:]}"
    assert result.tally["200"] > 50
