"""Directives of an nginx.conf and the grammar of their values."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.balancer.core.patterns import capture_names, compile_pattern
from services.balancer.core.variables import NUMBERED, compile_template, setting

_TIME = re.compile(r"(\d+)(ms|s|m|h|d|w|M|y)?")
_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 2592000, "y": 31536000}
_SIZE = re.compile(r"(\d+)([kKmMgG])?")
_FACTORS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive with where it stands; ``block`` is None for simple ones."""

    name: str
    args: tuple[str, ...]
    file: str
    line: int
    block: tuple[Directive, ...] | None = None

    @property
    def text(self) -> str:
        """The first argument, or nothing."""
        return self.args[0] if self.args else ""


Block = tuple[Directive, ...]


class Problems:
    """Everything wrong with a file. ``folder`` is where it is, which the names of other files are relative to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._found: list[tuple[str, int, str]] = []
        self._templates: list[tuple[Directive, str]] = []
        self._declared: set[str] = set()

    def add(self, directive: Directive, problem: str) -> None:
        self.add_at(directive.file, directive.line, f"{directive.name}: {problem}")

    def add_at(self, file: str, line: int, problem: str) -> None:
        self._found.append((file, line, problem))

    def forget_behind(self, lines: Mapping[str, int]) -> None:
        """Drop what was found behind a line of a file, where it may come of what is wrong in that line."""
        self._found = [found for found in self._found if found[1] <= lines.get(found[0], found[1])]

    @property
    def lines(self) -> list[str]:
        """``file:line: problem``, file after file in the order of their first problem, top to bottom."""
        files = list(dict.fromkeys(file for file, _, _ in self._found))
        found = sorted(dict.fromkeys(self._found), key=lambda problem: (files.index(problem[0]), problem[1]))
        return [f"{file}:{line}: {problem}" for file, line, problem in found]

    def wrong(self, directive: Directive, expected: str) -> None:
        self.add(directive, f"expected {expected}, got {' '.join(directive.args) or 'nothing'!r}")

    def template(self, directive: Directive, text: str) -> str:
        """Note a text with variables, to be checked once all variables of the file are known."""
        self._templates.append((directive, text))
        return text

    def file(self, directive: Directive) -> str:
        """The path of the file that a directive names, which is to be read at the start."""
        path = self.folder / directive.text
        if not path.is_file():
            self.add(directive, f"there is no file {path}")
        elif not os.access(path, os.R_OK):
            self.add(directive, f"{path} cannot be read")
        return str(path)

    def declare(self, variable: str) -> None:
        """Note a variable that the file itself defines (``set``)."""
        self._declared.add(variable)

    def pattern(self, directive: Directive, text: str) -> str:
        """Note a regular expression, and what it captures as variables."""
        try:
            compiled = compile_pattern(text)
        except ValueError as error:
            self.add(directive, str(error))
        else:
            self._declared |= capture_names(compiled)
        return text

    def check_templates(self, maps: set[str]) -> None:
        known = NUMBERED | {name: setting(name) for name in self._declared | maps}
        for directive, text in self._templates:
            try:
                compile_template(text, known)
            except ValueError as error:
                self.add(directive, str(error))


def number(directive: Directive, problems: Problems) -> int:
    """The first argument as a number; 1 after a problem."""
    if directive.text.isdigit():
        return int(directive.text)
    problems.wrong(directive, "a number")
    return 1


def seconds(directive: Directive, problems: Problems, text: str | None = None) -> float:
    """A time such as ``500ms``, ``10``, ``1m30s``, in seconds."""
    value = directive.text if text is None else text
    parts = _TIME.findall(value)
    if not parts or "".join(amount + unit for amount, unit in parts) != value.replace(" ", ""):
        problems.add(directive, f"expected a time such as 500ms, 10s or 1m, got {value!r}")
        return 1.0
    return float(sum(int(amount) * _UNITS_S[unit or "s"] for amount, unit in parts))


def size(directive: Directive, problems: Problems, text: str | None = None) -> int:
    """A size such as ``8k`` or ``10m``, in bytes."""
    found = _SIZE.fullmatch(directive.text if text is None else text)
    if found is None:
        problems.add(directive, f"expected a size such as 8k or 10m, got {directive.text if text is None else text!r}")
        return 1 << 20
    return int(found[1]) * _FACTORS[(found[2] or "").lower()]


def one_of(directive: Directive, problems: Problems, *words: str) -> str:
    """One of some words; the first of them after a problem."""
    if directive.text in words:
        return directive.text
    problems.wrong(directive, f"{', '.join(words[:-1])} or {words[-1]}")
    return words[0]


def flag(directive: Directive, problems: Problems) -> bool:
    """``on`` or ``off``."""
    return one_of(directive, problems, "on", "off") == "on"
