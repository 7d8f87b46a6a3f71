"""Settings files in the notation of another program, alone or with YAML beside them.

Such a file becomes a tree of our settings; from there on it is read like any other, so that there is one way to start.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import msgspec
import yaml

from services.common import logs
from services.common.settings import Problem, compose, convert
from services.common.settings_tree import TreeBuilder, child, file_of, merged

T = TypeVar("T", bound=msgspec.Struct)


class Unused(NamedTuple):
    """A key that has no effect here, and why."""

    file: str
    line: int
    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.name} has no effect: {self.why}"


class Translation(NamedTuple):
    """`tree`: what the file says, as settings; `problems`: what keeps the service from starting."""

    tree: yaml.Node
    problems: Sequence[Problem]
    unused: Sequence[Unused]


class Loaded(NamedTuple, Generic[T]):
    """`unused`: keys of the other program's file that have no effect here."""

    settings: T
    unused: Sequence[Unused]

    def warn_of_unused(self, log: logs.Logger) -> None:
        """One line, however many they are."""
        if self.unused:
            names = " ".join(key.name for key in self.unused)
            log.warning("keys that have no effect; --check says why", file=self.unused[0].file, keys=names)


def load_either(
    path: Path, schema: type[T], key: str, translate: Callable[[Path], Translation], whole: Collection[str] = ()
) -> Loaded[T]:
    """The settings in `path`: a file in the other notation if its name ends in .conf, else YAML, which may name one under
    `key` to begin with. What the YAML says then counts, mapping by mapping; of the keys in `whole`, the YAML's alone.

    `translate` reads the other notation. SettingsError with every problem, by file and line.
    """
    own = _nothing_but(path, key) if path.suffix == ".conf" else compose(path)
    named = child(own, key)
    if not isinstance(named, yaml.ScalarNode) or not named.value:
        return Loaded(convert(own, schema), ())
    tree, problems, unused = translate(Path(file_of(named)).parent / named.value)
    return Loaded(convert(merged(tree, own, whole), schema, problems), unused)


def _nothing_but(path: Path, key: str) -> yaml.Node:
    builder = TreeBuilder(path)
    builder.put(key, path.name, 1, key)
    return builder.root
