"""Settings as a tree of YAML nodes, also of files in other notations: every node knows the file and line it comes from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import yaml

Scalar: TypeAlias = str | int | bool
_TAGS: dict[type, str] = {str: "tag:yaml.org,2002:str", int: "tag:yaml.org,2002:int", bool: "tag:yaml.org,2002:bool"}


class ForeignScalar(yaml.ScalarNode):
    """A value of a file in another notation; `called` is the name that problems call it by."""

    def __init__(self, value: Scalar, mark: yaml.Mark, called: str) -> None:
        super().__init__(_TAGS[type(value)], str(value), mark, mark)
        self.called = called


class TreeBuilder:
    """Builds the tree of the file `path`, one value at a time."""

    def __init__(self, path: Path) -> None:
        self._file = str(path)
        self.root = self._mapping(1)

    def put(self, key: str, value: Scalar | tuple[str, ...], line: int, called: str) -> None:
        """`key` is the setting's, with dots ("raft.heartbeat_ms"); the value stands on `line`, under the name `called`."""
        *parents, name = key.split(".")
        place = self.root
        for parent in parents:
            place = self._child(place, parent, line)
        mark = self._mark(line)
        place.value.append((yaml.ScalarNode(_TAGS[str], name, mark, mark), self._node(value, mark, called)))

    def _child(self, place: yaml.MappingNode, name: str, line: int) -> yaml.MappingNode:
        found = _value(place, name)
        if isinstance(found, yaml.MappingNode):
            return found
        child = self._mapping(line)
        place.value.append((yaml.ScalarNode(_TAGS[str], name, child.start_mark, child.end_mark), child))
        return child

    def _node(self, value: Scalar | tuple[str, ...], mark: yaml.Mark, called: str) -> yaml.Node:
        if isinstance(value, tuple):
            items = [ForeignScalar(item, mark, called) for item in value]
            return yaml.SequenceNode("tag:yaml.org,2002:seq", items, mark, mark)
        return ForeignScalar(value, mark, called)

    def _mapping(self, line: int) -> yaml.MappingNode:
        return yaml.MappingNode("tag:yaml.org,2002:map", [], self._mark(line), self._mark(line))

    def _mark(self, line: int) -> yaml.Mark:
        return yaml.Mark(self._file, 0, line - 1, 0, None, 0)


def merged(base: yaml.Node, over: yaml.Node, whole: Iterable[str] = ()) -> yaml.Node:
    """`over` on top of `base`, mapping by mapping; of the keys in `whole`, only one of the two."""
    if not (isinstance(base, yaml.MappingNode) and isinstance(over, yaml.MappingNode)):
        return over
    given = {str(name.value) for name, _ in over.value}
    kept = [(name, value) for name, value in base.value if str(name.value) not in given]
    for name, value in over.value:
        below = None if name.value in whole else _value(base, str(name.value))
        kept.append((name, value if below is None else merged(below, value)))
    return yaml.MappingNode(over.tag, kept, over.start_mark, over.end_mark)


def child(node: yaml.Node, name: str) -> yaml.Node | None:
    """What `node` has under `name`; None where it is no mapping or has nothing."""
    return _value(node, name) if isinstance(node, yaml.MappingNode) else None


def file_of(node: yaml.Node) -> str:
    """The file a node comes from, as it was named."""
    return str(node.start_mark.name)


def line_of(node: yaml.Node) -> int:
    """The line, from 1, that a node begins on."""
    return int(node.start_mark.line) + 1


def _value(mapping: yaml.MappingNode, name: str) -> yaml.Node | None:
    return next((value for key, value in mapping.value if key.value == name), None)
