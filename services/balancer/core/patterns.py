"""Regular expressions of settings files: PCRE's spelling of named groups, and the names of what they capture."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NAMED = re.compile(r"\(\?<([A-Za-z_]\w*)>")
_GROUP = re.compile(r"\(\?P?<([A-Za-z_]\w*)>")
MAX_NUMBERED = 9


def compile_pattern(text: str, *, ignore_case: bool = False, across_lines: bool = False) -> re.Pattern[bytes]:
    """Compile a pattern as nginx would read it; raises ValueError that says what is wrong."""
    flags = (re.IGNORECASE if ignore_case else 0) | (re.DOTALL if across_lines else 0)
    try:
        return re.compile(_NAMED.sub(r"(?P<\1>", text).encode(), flags)
    except re.error as error:
        raise ValueError(f"bad pattern {text!r}: {error}") from None


def marked_pattern(text: str) -> re.Pattern[bytes]:
    """Compile ``~pattern``, or ``~*pattern`` that ignores case; raises ValueError."""
    ignore_case = text.startswith("~*")
    return compile_pattern(text[2 if ignore_case else 1 :].strip(), ignore_case=ignore_case)


def names_of_groups(texts: Iterable[str]) -> set[str]:
    """Names of the groups in patterns, also in those that cannot be compiled."""
    return {name for text in texts for name in _GROUP.findall(text)}


def capture_names(pattern: re.Pattern[bytes]) -> set[str]:
    """Names of the variables that a pattern sets: ``1`` to ``9``, and those of named groups."""
    return {str(n) for n in range(1, min(pattern.groups, MAX_NUMBERED) + 1)} | set(pattern.groupindex)
