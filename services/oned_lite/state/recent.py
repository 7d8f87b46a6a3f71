"""What was used lately."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A cache of at most `size_max` values, in two generations: when the younger is full, the elder is dropped as a whole.

    Every step takes the same time however many there are. (To look for a dict's first key does not: it walks over all that
    were removed before it.)
    """

    def __init__(self, size_max: int) -> None:
        self._generation_max = size_max // 2
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        value = self._young.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        if len(self._young) >= self._generation_max:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def take(self, key: K) -> V | None:
        """The value, which is forgotten."""
        old = self._old.pop(key, None)
        return self._young.pop(key, old)
