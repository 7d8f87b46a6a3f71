"""Settings files: YAML read into a typed schema, with every problem named at once by file, line and key.

A schema is a `msgspec.Struct(frozen=True, kw_only=True, forbid_unknown_fields=True)`. Its fields may be whatever msgspec
converts, other such structs, lists, tuples and dicts of them, unions of structs told apart by a tag, and besides those
`Address` (written HOST:PORT), `Path` (relative to the file) and `Secret`. A `__post_init__` that raises ValueError is
reported like any other problem. Files in other notations come in as trees of the same nodes (`settings_tree`).
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Collection, Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import yaml

from services.common.settings_tree import ForeignScalar, file_of, line_of

T = TypeVar("T", bound=msgspec.Struct)

MAX_BYTES = 1024 * 1024
_MAX_DEPTH = 30
LISTED_MAX = 40
"""A key that looks like no known one is told which there are, unless they are more than this."""
_HOST = re.compile(r"[A-Za-z0-9_.\-*]+")


class SettingsError(Exception):
    """What is wrong with a settings file, all of it. Each problem is a line such as `lab.yaml:12: listen: missing`."""

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class Problem(NamedTuple):
    """One thing that is wrong, and where."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


class Address(NamedTuple):
    """Where a server listens or is reached over TCP."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Secret:
    """A text that no message, log or representation shows."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def parse_address(text: str) -> Address:
    """`HOST:PORT`, or `[IPV6]:PORT`. Port 0 means any free one. ValueError if it is anything else."""
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]") and ":" in host:
        host = host[1:-1]
    elif not _HOST.fullmatch(host):
        raise ValueError(f"expected HOST:PORT, got {text!r}")
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) < 65536):
        raise ValueError(f"expected HOST:PORT with a port from 0 to 65535, got {text!r}")
    return Address(host, int(port))


def read_secret(path: Path) -> str:
    """The content of a file that holds one secret, without the newline at its end. SettingsError if it has none."""
    text = read_text(path).rstrip("\r\n")
    if not text:
        raise SettingsError(f"{path}: is empty; it must hold the secret")
    return text


def load(path: Path, schema: type[T]) -> T:
    """The settings in the YAML file `path`. SettingsError with all the problems that it has."""
    return convert(compose(path), schema)


def compose(path: Path) -> yaml.Node:
    """The YAML file `path` as a tree whose nodes know their file and line; an empty file is an empty mapping."""
    text = read_text(path)
    try:
        node = _composed(path, text) or _composed(path, "{}")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise SettingsError(f"{path}:{mark.line + 1 if mark else 1}: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: {' '.join(str(error).split())}") from error
    assert node is not None, "an empty mapping has a node"
    return node


def convert(tree: yaml.Node, schema: type[T], found: Iterable[Problem] = ()) -> T:
    """The settings that `tree` holds. SettingsError with all the problems that it has, and those `found` before, in the
    order of files and lines."""
    reader = _Reader()
    settings = reader.convert(tree, schema, "")
    problems = [*found, *reader.problems]
    if problems:
        raise SettingsError(*map(str, sorted(problems, key=lambda problem: (problem.file, problem.line))))
    return typing.cast(T, settings)


def _composed(path: Path, text: str) -> yaml.Node | None:
    loader = yaml.SafeLoader(text)
    loader.name = str(path)
    return loader.get_single_node()


def read_text(path: Path) -> str:
    """The content of a settings file. SettingsError if it cannot be read, is too large or is not UTF-8."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise SettingsError(f"{path}: is larger than {MAX_BYTES} bytes")
        return content.decode()
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is not UTF-8 text") from error


class _Missing(Exception):
    """A part of the tree could not be converted; its problems are noted already."""


class _Reader:
    """Converts a tree of YAML nodes by type hints and notes what does not fit, with its line."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._constructor = yaml.SafeLoader("")

    def convert(self, node: yaml.Node, hint: Any, key: str) -> Any:
        """The value of `node` as type `hint`. The result means nothing once there are problems."""
        try:
            return self._convert(node, hint, key)
        except _Missing:
            return None

    def _convert(self, node: yaml.Node, hint: Any, key: str) -> Any:
        if key.count(".") + key.count("[") > _MAX_DEPTH:
            raise self._problem(node, key, "nests too deep")
        hint = _resolved(hint, node)
        if isinstance(hint, _Choice):
            hint = self._chosen(node, hint, key)
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct) and isinstance(node, yaml.MappingNode):
            return self._struct(node, hint, key)
        container, arguments = _container(hint)
        if container is dict and isinstance(node, yaml.MappingNode):
            pairs = self._pairs(node, key)
            return {name: self.convert(value, arguments[1], _join(key, name)) for name, (_, value) in pairs.items()}
        if container in (list, tuple) and isinstance(node, yaml.SequenceNode):
            items = [self.convert(item, arguments[0], f"{key}[{i}]") for i, item in enumerate(node.value)]
            return container(items)
        return self._leaf(node, hint, key)

    def _struct(self, node: yaml.MappingNode, schema: type[msgspec.Struct], key: str) -> object:
        noted = len(self.problems)
        fields = {field.encode_name: field for field in msgspec.structs.fields(schema)}
        pairs = self._pairs(node, key)
        for name in pairs.keys() - fields.keys() - {schema.__struct_config__.tag_field}:
            self._problem(pairs[name][0], _join(key, name), unknown_key(name, fields))
        values = {}
        for name, field in fields.items():
            if name in pairs:
                values[field.name] = self.convert(pairs[name][1], field.type, _join(key, name))
            elif field.required:
                self._problem(node, _join(key, name), "missing")
        if len(self.problems) > noted:
            raise _Missing
        try:
            return schema(**values)
        except (ValueError, TypeError) as error:
            raise self._problem(node, key, str(error)) from error

    def _pairs(self, node: yaml.MappingNode, key: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """The nodes of a mapping's keys and values by key."""
        first: dict[str, int] = {}
        for name_node, _ in node.value:
            name = str(name_node.value)
            if name in first and name != "<<":
                self._problem(name_node, _join(key, name), f"given twice, first on line {first[name]}")
            first.setdefault(name, line_of(name_node))
        self._constructor.flatten_mapping(node)  # merges what `<<` refers to
        return {str(name.value): (name, value) for name, value in node.value}

    def _chosen(self, node: yaml.Node, choice: _Choice, key: str) -> type[msgspec.Struct]:
        """The struct of a tagged union that `node` is."""
        if not isinstance(node, yaml.MappingNode):
            raise self._problem(
                node, key, f"expected a mapping with {choice.tag_field}, got {_shown(self._plain(node))}"
            )
        tag = self._pairs(node, key).get(choice.tag_field)
        known = ", ".join(map(str, choice.structs))
        if tag is None:
            raise self._problem(node, _join(key, choice.tag_field), f"missing; it is one of {known}")
        chosen = choice.structs.get(tag[1].value)
        if chosen is None:
            message = f"expected one of {known}, got {tag[1].value!r}"
            raise self._problem(tag[1], _join(key, choice.tag_field), message)
        return chosen

    def _leaf(self, node: yaml.Node, hint: Any, key: str) -> Any:
        value = self._plain(node)
        try:
            if hint is Address or hint is Path:
                if not isinstance(value, str):
                    raise ValueError(f"expected {'HOST:PORT' if hint is Address else 'a path'}, got {_shown(value)}")
                return parse_address(value) if hint is Address else Path(file_of(node)).parent / value
            if hint is Secret:
                if not isinstance(value, str):
                    raise ValueError("expected a text, in quotes where it looks like a number")
                return Secret(value)
            return msgspec.convert(value, hint)
        except msgspec.ValidationError as error:
            raise self._problem(node, key, _explained(error, value, hint)) from error
        except ValueError as error:
            raise self._problem(node, key, str(error)) from error

    def _plain(self, node: yaml.Node) -> Any:
        try:
            return self._constructor.construct_object(node, deep=True)
        except yaml.YAMLError as error:
            raise self._problem(node, "", getattr(error, "problem", None) or str(error)) from error

    def _problem(self, node: yaml.Node, key: str, message: str) -> _Missing:
        key = node.called if isinstance(node, ForeignScalar) else key
        self.problems.append(Problem(file_of(node), line_of(node), f"{key + ': ' if key else ''}{message}"))
        return _Missing()


class _Choice(NamedTuple):
    """A union of structs that are told apart by the value of one field."""

    tag_field: str
    structs: dict[str | int, type[msgspec.Struct]]


def _resolved(hint: Any, node: yaml.Node) -> Any:
    """`hint` without None, where `node` is not null, and with a union of structs as a choice."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint
    arms = [arm for arm in typing.get_args(hint) if arm is not type(None)]
    if node.tag == "tag:yaml.org,2002:null" and len(arms) < len(typing.get_args(hint)):
        return type(None)
    if len(arms) == 1:
        return arms[0]
    if all(isinstance(arm, type) and issubclass(arm, msgspec.Struct) for arm in arms):
        return _Choice(arms[0].__struct_config__.tag_field, {arm.__struct_config__.tag: arm for arm in arms})
    return hint


def _container(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """The container type and its arguments, if `hint` is list[X], tuple[X, ...] or dict[str, X]."""
    container, arguments = typing.get_origin(hint), typing.get_args(hint)
    if container is list or (container is tuple and arguments[1:] == (Ellipsis,)):
        return container, arguments
    return (dict, arguments) if container is dict and arguments[0] is str else (None, ())


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def unknown_key(name: str, known: Collection[str]) -> str:
    """What to say of a key that does not exist."""
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"unknown key; did you mean {close[0]}?"
    return f"unknown key; known are {', '.join(known)}" if len(known) <= LISTED_MAX else "unknown key"


def _explained(error: msgspec.ValidationError, value: object, hint: Any) -> str:
    """A conversion error in our words: what was expected, and the value that was found."""
    allowed = list(_allowed(hint))
    if allowed:
        return f"expected one of {', '.join(map(str, allowed))}, got {_shown(value)}"
    message, _, where = str(error).partition(" - at `")
    expected = message.partition(", got ")[0].replace("`", "")
    if where:  # deeper than the node itself, so `value` is not what it is about
        return f"{message[:1].lower()}{message[1:]} at {where.rstrip('`').lstrip('$.')}".replace("`", "")
    return f"{expected[:1].lower()}{expected[1:]}, got {_shown(value)}"


def _allowed(hint: Any) -> Iterator[object]:
    if typing.get_origin(hint) is typing.Literal:
        yield from typing.get_args(hint)
    elif isinstance(hint, type) and issubclass(hint, Enum):
        yield from (member.value for member in hint)


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return "nothing" if value is None else repr(value)[:80]
