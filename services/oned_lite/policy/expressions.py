"""Requirement and rank expressions of the scheduler: `FREE_CPU > 100 & !(NAME = "kvm*")`, `FREE_MEMORY - RUNNING_VMS`.

Pure: an expression is read once and asked about many places, each a function from attribute names to texts.
"""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Sequence

Lookup = Callable[[str], Sequence[str]]
"""All values of an attribute, in any case of letters; none where there is no such attribute."""
Requirement = Callable[[Lookup], bool]
Rank = Callable[[Lookup], float]

EXPRESSION_CHARS_MAX = 64 * 1024
DEPTH_MAX = 50


class ExpressionError(ValueError):
    """Text that is no expression; the message says where it goes wrong."""


_TOKENS = re.compile(
    r"""\s*+(?: (?P<string>"[^"]*") | (?P<number>-?\d+(?:\.\d+)?) | (?P<op>@>|!=|[=<>&|!()+*/^-])
    | (?P<name>[A-Za-z_][\w/.-]*) )""",
    re.VERBOSE,
)
_ARITHMETIC = re.compile(
    r"\s*+(?: (?P<number>\d+(?:\.\d+)?) | (?P<op>[()+*/^-]) | (?P<name>[A-Za-z_]\w*) )", re.VERBOSE
)
Token = tuple[str, str]


def _tokens(text: str, pattern: re.Pattern[str]) -> list[Token]:
    if len(text) > EXPRESSION_CHARS_MAX:
        raise ExpressionError(f"expression is longer than {EXPRESSION_CHARS_MAX} characters")
    found: list[Token] = []
    position = 0
    end = len(text.rstrip())
    while position < end:
        match = pattern.match(text, position)
        if match is None or match.lastgroup is None:
            raise ExpressionError(f"syntax error at character {position + 1}: {text[position : position + 20]!r}")
        found.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return found


class _Reader:
    """The tokens still to come."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._position = 0
        self.depth = 0

    def peek(self) -> Token:
        return self._tokens[self._position] if self._position < len(self._tokens) else ("end", "")

    def take(self) -> Token:
        token = self.peek()
        self._position += 1
        return token

    def accept(self, *operators: str) -> str | None:
        kind, text = self.peek()
        if kind == "op" and text in operators:
            self._position += 1
            return text
        return None

    def expect(self, text: str) -> None:
        if self.accept(text) is None:
            raise ExpressionError(f"syntax error: expected {text!r} before {self.peek()[1] or 'the end'!r}")

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise ExpressionError("expression is nested too deeply")


# ---------------------------------------------------------------------- requirements
def requirement(text: str) -> Requirement:
    """What a place must be like; the empty text is met by any. Raises ExpressionError."""
    reader = _Reader(_tokens(text, _TOKENS))
    if reader.peek()[0] == "end":
        return lambda _lookup: True
    found = _either(reader)
    if reader.peek()[0] != "end":
        raise ExpressionError(f"syntax error at {reader.peek()[1]!r}")
    return found


def _either(reader: _Reader) -> Requirement:
    """`&` and `|` bind alike, from left to right."""
    left = _single(reader)
    while (joined := reader.accept("&", "|")) is not None:
        left = _joined(joined, left, _single(reader))
    return left


def _joined(joined: str, left: Requirement, right: Requirement) -> Requirement:
    if joined == "&":
        return lambda lookup: left(lookup) and right(lookup)
    return lambda lookup: left(lookup) or right(lookup)


def _single(reader: _Reader) -> Requirement:
    reader.deeper()
    if reader.accept("!") is not None:
        inner = _single(reader)
        found: Requirement = lambda lookup: not inner(lookup)  # noqa: E731
    elif reader.accept("(") is not None:
        found = _either(reader)
        reader.expect(")")
    else:
        found = _comparison(reader)
    reader.depth -= 1
    return found


def _comparison(reader: _Reader) -> Requirement:
    kind, name = reader.take()
    if kind not in ("name", "string"):
        raise ExpressionError(f"syntax error at {name or 'the end'!r}")
    name = name.strip('"')
    compare = reader.accept("=", "!=", "<", ">", "@>")
    if compare is None:
        raise ExpressionError(f"syntax error: no comparison after {name!r}")
    kind, value = reader.take()
    if kind == "number":
        return _numeric(name, compare, float(value), value)
    if kind not in ("name", "string"):
        raise ExpressionError(f"syntax error: nothing to compare {name!r} with")
    return _textual(name, compare, value.strip('"'))


_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}


def _numeric(name: str, compare: str, wanted: float, text: str) -> Requirement:
    if compare == "@>":
        return lambda lookup: any(_number(value) == wanted or value == text for value in lookup(name))
    test = _COMPARE[compare]

    def met(lookup: Lookup) -> bool:
        values = lookup(name)
        number = _number(values[0]) if values else None
        return number is not None and test(number, wanted)

    return met


def _textual(name: str, compare: str, pattern: str) -> Requirement:
    """`=` and `!=` with wildcards; an attribute that is not there meets neither."""

    def met(lookup: Lookup) -> bool:
        values = [value for value in lookup(name) if value]
        if not values:
            return False
        if compare == "@>":
            return any(fnmatch.fnmatchcase(value, pattern) for value in values)
        matches = fnmatch.fnmatchcase(values[0], pattern)
        return matches if compare == "=" else not matches

    return met


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


# ---------------------------------------------------------------------- ranks
def rank(text: str) -> Rank:
    """How good a place is: arithmetic on its attributes, 0 for those it lacks. Raises ExpressionError."""
    reader = _Reader(_tokens(text, _ARITHMETIC))
    if reader.peek()[0] == "end":
        return lambda _lookup: 0.0
    found = _sum(reader)
    if reader.peek()[0] != "end":
        raise ExpressionError(f"syntax error at {reader.peek()[1]!r}")
    return found


def _sum(reader: _Reader) -> Rank:
    left = _product(reader)
    while (sign := reader.accept("+", "-")) is not None:
        left = _calculated(operator.add if sign == "+" else operator.sub, left, _product(reader))
    return left


def _product(reader: _Reader) -> Rank:
    left = _factor(reader)
    while (sign := reader.accept("*", "/")) is not None:
        left = _calculated(operator.mul if sign == "*" else _divided, left, _factor(reader))
    return left


def _divided(dividend: float, divisor: float) -> float:
    return dividend / divisor if divisor else 0.0


def _calculated(calculate: Callable[[float, float], float], left: Rank, right: Rank) -> Rank:
    return lambda lookup: calculate(left(lookup), right(lookup))


def _factor(reader: _Reader) -> Rank:
    reader.deeper()
    if reader.accept("-") is not None:
        inner = _factor(reader)
        found: Rank = lambda lookup: -inner(lookup)  # noqa: E731
    elif reader.accept("(") is not None:
        found = _sum(reader)
        reader.expect(")")
    else:
        found = _operand(reader)
    reader.depth -= 1
    return found


def _operand(reader: _Reader) -> Rank:
    kind, text = reader.take()
    if kind == "number":
        value = float(text)
        return lambda _lookup: value
    if kind != "name":
        raise ExpressionError(f"syntax error at {text or 'the end'!r}")

    def looked_up(lookup: Lookup) -> float:
        values = lookup(text)
        return (_number(values[0]) or 0.0) if values else 0.0

    return looked_up
