"""The text notation: `NAME = value`, `NAME = "quoted"`, `NAME = [ K = V, K2 = "V2" ]`.

The tokens are those of the daemon, with its longest-match rule and its leniency: what fits no token outside of a
value is passed over. All matching is possessive, so reading takes time in proportion to the text, whatever it is.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from services.common.template.values import TemplateError, Value, Vector

_TOKENS = r"""
    [ \t]*+ (?P<EQUAL_EMPTY> = [ \t]*+ \n )
  | [ \t]*+ (?P<EQUAL> = [ \t]*+ )
  | [ \t\n]*+ (?P<COMMA> , [ \t\n]*+ )
  | [ \t\n]*+ (?P<CBRACKET> \] [ \t\n]*+ )
  | [ \t\n]++
  | (?P<VARIABLE> [A-Za-z0-9_]++ )
  | .
"""
_OUTSIDE = re.compile(r"[ \t]*+ \# [^\n]*+ \n |" + _TOKENS, re.VERBOSE | re.DOTALL)
_OUTSIDE_ON_LAST_LINE = re.compile(_TOKENS, re.VERBOSE | re.DOTALL)  # a comment ends with a newline or is none
_AFTER_EQUAL = re.compile(
    r"[ \t]*+ (?P<OBRACKET> \[ [ \t\n]*+ ) | (?P<STRING> [^=\#\ \t\n,\[\]]++ ) | [ \t]++ | .", re.VERBOSE | re.DOTALL
)
# a repeated group that holds a possessive quantifier matches wrongly in Python 3.11.2, Debian 12's
_QUOTED = re.compile(r'"[^"]*+ (?: (?<=\\)" [^"]*+ )* (?<!\\)"', re.VERBOSE)
_NO_XML_NAME = re.compile(r"[0-9]")


class Item(NamedTuple):
    """An attribute as it stands in a text: the name as written, and the offset where it starts."""

    name: str
    value: Value
    offset: int


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


def read(text: str) -> Iterator[Item]:
    """The attributes of `text` in their order. TemplateError at the first place that does not fit the grammar."""
    tokens = _tokens(text)
    for name in tokens:
        if name.kind == "end of file":
            return
        _expect(text, name, "VARIABLE")
        if _expect(text, next(tokens), "EQUAL", "EQUAL_EMPTY").kind == "EQUAL_EMPTY":
            yield Item(name.text, "", name.start)
            continue
        value = _expect(text, next(tokens), "STRING", "OBRACKET")
        yield Item(name.text, value.text if value.kind == "STRING" else _vector(text, tokens), name.start)


def line_of(text: str, offset: int) -> int:
    """The number, from 1, of the line that `offset` is on."""
    return text.count("\n", 0, offset) + 1


def _vector(text: str, tokens: Iterator[_Token]) -> Vector:
    pairs: dict[str, str] = {}
    key = _expect(text, next(tokens), "VARIABLE", "CBRACKET")
    while key.kind != "CBRACKET":
        if _NO_XML_NAME.match(key.text):
            raise TemplateError("Error transforming the Template to XML.", line_of(text, key.start))
        _expect(text, next(tokens), "EQUAL")
        pairs.setdefault(key.text.upper(), _expect(text, next(tokens), "STRING").text)
        after = _expect(text, next(tokens), "COMMA", "CBRACKET")
        key = after if after.kind == "CBRACKET" else _expect(text, next(tokens), "VARIABLE")
    return Vector.of(pairs)


def _expect(text: str, token: _Token, *kinds: str) -> _Token:
    if token.kind in kinds:
        return token
    line, line_start = line_of(text, token.start), text.rfind("\n", 0, token.start) + 1
    raise TemplateError(
        f"Parse error: syntax error, unexpected {token.kind}, expecting {' or '.join(kinds)}"
        f" at line {line}, columns {token.start - line_start}:{token.end - line_start}",
        line,
    )


def _tokens(text: str) -> Iterator[_Token]:
    """The tokens of `text`, and one `end of file` for ever after them."""
    position = 0
    last_line = text.rfind("\n") + 1
    while position < len(text):
        match = (_OUTSIDE if position < last_line else _OUTSIDE_ON_LAST_LINE).match(text, position)
        assert match is not None, "one of the alternatives takes any character"
        position = match.end()
        if match.lastgroup is not None:
            yield _Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup), position)
        if match.lastgroup == "EQUAL":
            token = _after_equal(text, position)
            position = token.end
            yield token
    while True:
        yield _Token("end of file", "", len(text), len(text))


def _after_equal(text: str, position: int) -> _Token:
    """A value or an opening bracket; before it, marks that cannot start a value are passed over."""
    while position < len(text):
        match = _AFTER_EQUAL.match(text, position)
        assert match is not None, "one of the alternatives takes any character"
        if match.lastgroup == "OBRACKET":
            return _Token("OBRACKET", match[0], match.start(), match.end())
        if match.lastgroup == "STRING":
            end = _closing_quote(text, position)
            if end is not None and end >= match.end():  # a bare word that reaches further wins: "a"b is one
                return _Token("STRING", _unescaped(text[position + 1 : end - 1]), position, end)
            return _Token("STRING", _unescaped(match[0]), position, match.end())
        position = match.end()
    return _Token("end of file", "", position, position)


def _closing_quote(text: str, position: int) -> int | None:
    """Where the quoted value that starts at `position` ends: the first bare quote, else the last escaped one."""
    if text[position] != '"':
        return None
    match = _QUOTED.match(text, position)
    if match is not None:
        return match.end()
    last = text.rfind('"', position + 1)
    return last + 1 if last > position else None


def _unescaped(value: str) -> str:
    return value.replace('\\"', '"')
