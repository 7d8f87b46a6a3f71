"""What is known of oned's methods (tests/parity/methods.yaml)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

METHODS_FILE = Path(__file__).parents[1] / "parity" / "methods.yaml"
_PARAMETER = re.compile(r"(\w+) (int|i8|string|bool|array)(?: = (.*))?")


@dataclass(frozen=True, slots=True)
class KnownParameter:
    """`default` as the file writes it, None where there must be an argument."""

    name: str
    type: str
    default: str | None


@dataclass(frozen=True, slots=True)
class KnownMethod:
    leader_only: bool
    in_disabled_zone: bool
    parameters: tuple[KnownParameter, ...]
    result: str
    who: str
    does: str


def known_methods() -> dict[str, KnownMethod]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    lines = yaml.load(METHODS_FILE.read_text(), loader)
    return {
        name: KnownMethod(
            leader_only=facts["by"] == "leader",
            in_disabled_zone=facts["in_disabled_zone"],
            parameters=tuple(_parameter(text) for text in facts["takes"]),
            result=facts["gives"],
            who=facts["who"],
            does=facts["does"],
        )
        for name, facts in lines.items()
    }


def _parameter(text: str) -> KnownParameter:
    found = _PARAMETER.fullmatch(text)
    assert found is not None, text
    return KnownParameter(found[1], found[2], found[3])
