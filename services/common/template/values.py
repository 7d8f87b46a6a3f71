"""What a template holds: named attributes, each a text or a vector of named texts.

Both types are immutable and travel as MessagePack, so a template can lie in a replicated row as it is. Every change
gives a new object. Order is OpenNebula's: attributes by name, repeated names in the order they came; a vector's keys
by name, each at most once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import TypeVar, overload

from msgspec import Struct

from services.common.template.markup import cdata

D = TypeVar("D")

_by_name = itemgetter(0)
_NEEDS_NO_QUOTES = re.compile(r"""[^"=# \t\r\n,\[\]][^=# \t\r\n,\[\]]*""")
_INTEGER = re.compile(r"\s*[+-]?[0-9]+")
_DECIMAL = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


class TemplateError(ValueError):
    """A template that cannot be read. The message is the daemon's detail, ready for an API answer; `line` counts from 1."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class _Numbers:
    """Typed reading of single values. A value that is not wholly of the type counts as absent, as in the daemon."""

    __slots__ = ()

    def text(self, name: str) -> str | None:
        """The value that the typed readings of `name` look at."""
        raise NotImplementedError

    @overload
    def get_int(self, name: str) -> int | None: ...
    @overload
    def get_int(self, name: str, default: D) -> int | D: ...
    def get_int(self, name: str, default: object = None) -> object:
        """The value as an integer of 64 bits; `default` when it is absent or anything else (`12.7`, `12a`, empty)."""
        text = self.text(name)
        number = int(text) if text is not None and len(text) < 40 and _INTEGER.fullmatch(text) else None
        return number if number is not None and -(2**63) <= number < 2**63 else default

    @overload
    def get_float(self, name: str) -> float | None: ...
    @overload
    def get_float(self, name: str, default: D) -> float | D: ...
    def get_float(self, name: str, default: object = None) -> object:
        """The value as a decimal number; `default` when it is absent or anything else (`nan` and `inf` too)."""
        text = self.text(name)
        value = float(text) if text is not None and _DECIMAL.fullmatch(text) else math.inf
        return value if math.isfinite(value) else default

    @overload
    def get_bool(self, name: str) -> bool | None: ...
    @overload
    def get_bool(self, name: str, default: D) -> bool | D: ...
    def get_bool(self, name: str, default: object = None) -> object:
        """True for `YES` in any case, false for any other value; `default` when the name is absent."""
        text = self.text(name)
        return default if text is None else text.upper() == "YES"


class Vector(Struct, _Numbers, frozen=True, array_like=True, gc=False):
    """A vector attribute: texts by key, for instance a DISK. `pairs` is sorted by key, each key once."""

    pairs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, items: Mapping[str, str] | Iterable[tuple[str, str]] = (), /, **more: str) -> Vector:
        """A vector of `items` in any order; of a key given twice the last value counts."""
        return cls(tuple(sorted(dict(items, **more).items())))

    def text(self, name: str) -> str | None:
        """The value of `name`, or None."""
        return self.get(name, None)

    @overload
    def get(self, name: str) -> str: ...
    @overload
    def get(self, name: str, default: D) -> str | D: ...
    def get(self, name: str, default: object = "") -> object:
        """The value of `name`; without one the empty text, or `default`."""
        for key, value in self.pairs:
            if key == name:
                return value
        return default

    def has(self, name: str) -> bool:
        """Whether the key is there, be its value empty or not."""
        return self.get(name, None) is not None

    def with_set(self, name: str, value: str) -> Vector:
        """This vector with `name` set to `value`."""
        return self.merged(((name, value),))

    def without(self, *names: str) -> Vector:
        """This vector without these keys."""
        return Vector(tuple(pair for pair in self.pairs if pair[0] not in names))

    def merged(self, other: Vector | Mapping[str, str] | Iterable[tuple[str, str]]) -> Vector:
        """This vector with all of `other`; where both have a key, `other` counts."""
        return Vector.of({**dict(self.pairs), **dict(other)})

    def erase_empty(self) -> Vector:
        """This vector without the keys whose value is empty."""
        return Vector(tuple(pair for pair in self.pairs if pair[1]))

    def to_dict(self) -> dict[str, str]:
        """The pairs as a fresh dictionary."""
        return dict(self.pairs)

    def to_xml(self, root: str) -> str:
        """The vector as the element `root` with one child for each key."""
        inner = "".join([f"<{key}>{cdata(value)}</{key}>" for key, value in self.pairs])
        return f"<{root}>{inner}</{root}>"

    def to_text(self) -> str:
        """The vector in text notation: `[ K = V, K2 = "two words" ]`."""
        return f"[ {', '.join(f'{key} = {quoted(value)}' for key, value in self.pairs)} ]" if self.pairs else "[ ]"

    def keys(self) -> list[str]:
        """The keys in order; together with indexing this makes `dict(vector)` work."""
        return [key for key, _ in self.pairs]

    def __getitem__(self, name: str) -> str:
        value = self.get(name, None)
        if value is None:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)

    def __contains__(self, name: object) -> bool:
        return any(key == name for key, _ in self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)


Value = str | Vector


class Template(Struct, _Numbers, frozen=True, array_like=True, gc=False):
    """A template: single and vector attributes, sorted by name; repeated names are kept in the order they came.

    A vector without keys may be stored; `one.*pool.info` shows it and `one.*.info` does not
    (`without_empty_vectors`).
    """

    attributes: tuple[tuple[str, str | Vector], ...] = ()

    @classmethod
    def of(cls, items: Mapping[str, Value] | Iterable[tuple[str, Value]] = (), /, **more: Value) -> Template:
        """A template of `items` in any order. Names are taken as they are: upper case is the caller's."""
        pairs: Iterable[tuple[str, Value]] = items.items() if isinstance(items, Mapping) else items
        return cls(tuple(sorted((*pairs, *more.items()), key=_by_name)))

    def text(self, name: str) -> str | None:
        """The first single value of `name`, or None."""
        return self.get(name, None)

    @overload
    def get(self, name: str) -> str: ...
    @overload
    def get(self, name: str, default: D) -> str | D: ...
    def get(self, name: str, default: object = "") -> object:
        """The first single value of `name`; without one the empty text, or `default`. Vectors do not count."""
        for key, value in self.attributes:
            if key == name and type(value) is str:
                return value
        return default

    def get_all(self, name: str) -> tuple[Value, ...]:
        """All values of `name`, single and vector, in their order."""
        return tuple([value for key, value in self.attributes if key == name])

    def singles(self, name: str) -> tuple[str, ...]:
        """All single values of `name`."""
        return tuple([value for key, value in self.attributes if key == name and isinstance(value, str)])

    def vectors(self, name: str) -> tuple[Vector, ...]:
        """All vectors of `name`."""
        return tuple([value for key, value in self.attributes if key == name and isinstance(value, Vector)])

    def vector(self, name: str) -> Vector | None:
        """The first vector of `name`, or None."""
        for key, value in self.attributes:
            if key == name and isinstance(value, Vector):
                return value
        return None

    def has(self, name: str) -> bool:
        """Whether there is an attribute of this name, of any shape and value."""
        return name in self

    def names(self) -> tuple[str, ...]:
        """The names in order, each once."""
        return tuple(dict.fromkeys([name for name, _ in self.attributes]))

    def with_set(self, name: str, *values: Value) -> Template:
        """This template with `values` in place of all that `name` had; nothing else moves."""
        kept = [item for item in self.attributes if item[0] != name]
        return Template.of([*kept, *((name, value) for value in values)])

    def with_added(self, name: str, *values: Value) -> Template:
        """This template with `values` after those that `name` has."""
        return Template.of([*self.attributes, *((name, value) for value in values)])

    def without(self, *names: str) -> Template:
        """This template without all attributes of these names."""
        return Template(tuple([item for item in self.attributes if item[0] not in names]))

    def only(self, *names: str) -> Template:
        """This template with just the attributes of these names."""
        return Template(tuple([item for item in self.attributes if item[0] in names]))

    def merge(self, other: Template) -> Template:
        """Update type 1: each name that `other` has replaces all attributes of that name here. Vectors do not mix."""
        replaced = {name for name, _ in other.attributes}
        kept = [item for item in self.attributes if item[0] not in replaced]
        return Template.of([*kept, *other.attributes])

    def erase_empty(self) -> Template:
        """This template without empty single values, without empty values in vectors and without empty vectors."""
        kept = ((name, v.erase_empty() if isinstance(v, Vector) else v) for name, v in self.attributes)
        return Template(tuple([(name, value) for name, value in kept if value]))

    def without_empty_vectors(self) -> Template:
        """This template as the daemon has it after reading it back from its database."""
        if all(value or isinstance(value, str) for _, value in self.attributes):
            return self
        return Template(tuple([(name, v) for name, v in self.attributes if v or isinstance(v, str)]))

    def to_xml(self, root: str = "TEMPLATE") -> str:
        """The template as the element `root`; values are CDATA."""
        parts = [f"<{root}>"]
        for name, value in self.attributes:
            if isinstance(value, str):
                parts.append(f"<{name}>{cdata(value)}</{name}>")
            else:
                parts.append(value.to_xml(name))
        parts.append(f"</{root}>")
        return "".join(parts)

    def to_text(self) -> str:
        """The template in text notation, one attribute to a line.

        The notation has no way to write `]]>`, nor a name or key outside of letters, digits and underscore (which XML
        allows); such a template comes out readable, but cannot be parsed again.
        """
        written = [(name, quoted(v) if isinstance(v, str) else v.to_text()) for name, v in self.attributes]
        return "".join([f"{name} = {value}\n" for name, value in written])

    def __iter__(self) -> Iterator[tuple[str, Value]]:
        return iter(self.attributes)

    def __contains__(self, name: object) -> bool:
        return any(key == name for key, _ in self.attributes)

    def __len__(self) -> int:
        return len(self.attributes)


def quoted(value: str) -> str:
    """`value` in text notation, always in quotes except where only a bare word can say it.

    Backslashes stand for themselves unless a quote follows, so a value that ends in one cannot be quoted. Where it
    cannot be a bare word either, a blank is added at its end.
    """
    if value.endswith("\\"):
        if _NEEDS_NO_QUOTES.fullmatch(value):
            return value
        value += " "
    return '"' + value.replace('"', '\\"') + '"'
