"""Links between machines: one connection for each pair, on which frames keep their order unless the weather is bad.

A real link delivers in order and breaks as a whole; `Weather` is worse than that, because consensus must bear it anyway.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Protocol

from services.oned_lite.node import frames
from services.oned_lite.node.node import Node

from .coverage import Coverage
from .events import Timeline
from .machine import Machine

CONNECT_US = (2_000, 40_000)
RETRY_US = (50_000, 250_000)
NOTICE_US_MAX = 30_000
Link = tuple[int, int]
"""Sender and receiver."""


@dataclass
class Weather:
    """Chances of a frame, and the longest delay; `reorder`: frames overtake each other."""

    loss: float = 0.0
    duplicates: float = 0.0
    delay_us_max: int = 2_000
    reorder: bool = False


@dataclass
class _Pair:
    """`epoch` counts connections; what was sent on an earlier one never arrives."""

    up: bool = False
    epoch: int = 0
    connecting: bool = False
    arrival_us: dict[int, int] = field(default_factory=dict)  # by receiver: of the latest frame on its way
    told_us: dict[int, int] = field(default_factory=dict)  # by end: of the latest news on its way


class Deliver(Protocol):
    """How a machine hears of something: after `delay_us`, if it still lives that life, not while it is paused."""

    def __call__(self, machine: Machine, delay_us: int, action: Callable[[Node], None]) -> None: ...


class Connected(Protocol):
    def __call__(self, node: Node, machine: Machine, peer: int, *, up: bool) -> None: ...


class Network:
    def __init__(
        self,
        timeline: Timeline,
        rng: random.Random,
        machines: dict[int, Machine],
        coverage: Coverage,
        later: Deliver,
        connected: Connected,
        frame: Callable[[Node, Machine, int, bytes], None],
    ) -> None:
        self.weather = Weather()
        self._timeline = timeline
        self._rng = rng
        self._machines = machines
        self._coverage = coverage
        self._later = later
        self._connected = connected
        self._frame = frame
        self._pairs: dict[Link, _Pair] = {}
        self._cuts: Counter[Link] = Counter()
        self._held: dict[Link, list[tuple[int, bytes]]] = {}

    # ------------------------------------------------------------------ connections
    def refresh(self) -> None:
        """Somebody came, went, or wants other peers: connections are begun and ended accordingly."""
        for a, b in combinations(self._machines.values(), 2):
            pair = self._pair(a.number, b.number)
            wanted = _calls(a, b) or _calls(b, a)
            if pair.up and not wanted:
                self._break(pair, a, b, told=(a, b))
            elif wanted and not pair.up and not pair.connecting:
                self._try_later(pair, a, b, self._rng.randint(*CONNECT_US))

    def is_up(self, a: int, b: int) -> bool:
        """Whether frames pass both ways."""
        return self._pair(a, b).up and not self._cuts[a, b] and not self._cuts[b, a]

    def lost(self, machine: Machine, *, noticed: bool) -> None:
        """Its process is gone. Without a `noticed` end the others' connections just stay silent."""
        for other in self._machines.values():
            pair = self._pair(machine.number, other.number)
            if other is not machine and pair.up:
                self._break(pair, machine, other, told=(other,) if noticed else ())

    def disconnect(self, a: Machine, b: Machine) -> None:
        """The connection between them breaks; they make a new one as soon as they can."""
        pair = self._pair(a.number, b.number)
        if pair.up:
            self._break(pair, a, b, told=(a, b))
            self.refresh()

    def forsake(self, machine: Machine) -> None:
        """The others see its connections close; it hears nothing of that, and nothing else."""
        for other in self._machines.values():
            pair = self._pair(machine.number, other.number)
            if other is not machine and pair.up:
                self._break(pair, machine, other, told=(other,))
        self.refresh()

    def _pair(self, a: int, b: int) -> _Pair:
        key = (a, b) if a < b else (b, a)
        pair = self._pairs.get(key)
        if pair is None:
            pair = self._pairs[key] = _Pair()
        return pair

    def _break(self, pair: _Pair, a: Machine, b: Machine, *, told: tuple[Machine, ...]) -> None:
        self._coverage.hit("links broken")
        pair.up = False
        pair.epoch += 1
        pair.arrival_us.clear()
        self._held.pop((a.number, b.number), None)
        self._held.pop((b.number, a.number), None)
        for machine in told:
            self._tell(pair, machine, (b if machine is a else a).number, up=False)

    def _try_later(self, pair: _Pair, a: Machine, b: Machine, delay_us: int) -> None:
        pair.connecting = True

        def attempt() -> None:
            pair.connecting = False
            if pair.up or not (_calls(a, b) or _calls(b, a)):
                return
            if a.paused or b.paused or self._cuts[a.number, b.number] or self._cuts[b.number, a.number]:
                self._try_later(pair, a, b, self._rng.randint(*RETRY_US))
                return
            self._coverage.hit("links made")
            pair.up = True
            pair.epoch += 1
            self._tell(pair, a, b.number, up=True)
            self._tell(pair, b, a.number, up=True)

        self._timeline.after(delay_us, attempt)

    def _tell(self, pair: _Pair, machine: Machine, peer: int, *, up: bool) -> None:
        """News reach an end late, but in order."""
        at_us = max(
            self._timeline.now_us + self._rng.randint(100, NOTICE_US_MAX), pair.told_us.get(machine.number, 0) + 1
        )
        pair.told_us[machine.number] = at_us

        def tell(node: Node) -> None:
            if up and peer in machine.connected:
                self._connected(node, machine, peer, up=False)  # its end went unnoticed
            self._connected(node, machine, peer, up=up)

        self._later(machine, at_us - self._timeline.now_us, tell)

    # ------------------------------------------------------------------ cuts
    def cut(self, links: Iterable[Link], *, hold: bool) -> Callable[[], None]:
        """Frames on these links vanish, or are held back until the cut ends, as a connection does that sends again.
        Returns what ends it."""
        cut = set(links)
        self._coverage.hit("cuts")
        self._cuts.update(cut)
        if hold:
            for link in cut:
                self._held.setdefault(link, [])

        def end() -> None:
            self._cuts.subtract(cut)
            for link in sorted(cut):
                if self._cuts[link] <= 0:
                    del self._cuts[link]
                    self._release(link)

        return end

    def _release(self, link: Link) -> None:
        for epoch, data in self._held.pop(link, []):
            if self._pair(*link).epoch == epoch:
                self._send(link, data)

    def heal(self) -> None:
        self.weather = Weather()
        for link in sorted(self._cuts):
            self._cuts[link] = 0
            self._release(link)
        self._cuts.clear()

    # ------------------------------------------------------------------ frames
    def send(self, sender: int, receiver: int, data: bytes) -> None:
        pair = self._pair(sender, receiver)
        if not pair.up:
            return
        link = (sender, receiver)
        if self._cuts and self._cuts[link]:
            if link in self._held:
                self._coverage.hit("frames held back")
                self._held[link].append((pair.epoch, data))
            return
        weather = self.weather
        if weather.loss and self._rng.random() < weather.loss:
            self._coverage.hit("frames lost")
            return
        self._send(link, data)
        if weather.duplicates and self._rng.random() < weather.duplicates and _may_be_repeated(data):
            self._coverage.hit("duplicates")
            self._send(link, data)

    def _send(self, link: Link, data: bytes) -> None:
        sender, receiver = link
        pair, now_us = self._pair(*link), self._timeline.now_us
        arrival_us = now_us + self._rng.randint(100, max(200, self.weather.delay_us_max))
        latest_us = pair.arrival_us.get(receiver, 0)
        if arrival_us < latest_us:
            if self.weather.reorder:
                self._coverage.hit("overtaken")
            else:
                arrival_us = latest_us
        pair.arrival_us[receiver] = max(arrival_us, latest_us)
        epoch, machine = pair.epoch, self._machines[receiver]

        def arrive(node: Node) -> None:
            if pair.epoch != epoch:
                return
            if not self._cuts[link]:
                self._frame(node, machine, sender, data)
            elif link in self._held:
                self._held[link].append((epoch, data))

        self._later(machine, arrival_us - now_us, arrive)


def _calls(machine: Machine, other: Machine) -> bool:
    """Whether it keeps up a connection to the other one: a quiet machine only answers."""
    both = machine.node is not None and other.node is not None
    return both and not machine.peers.quiet and any(peer == other.number for peer, _ in machine.peers.addresses)


def _may_be_repeated(data: bytes) -> bool:
    """Consensus bears everything. A client's request that is handed on relies on a connection's word to bring it once."""
    return isinstance(frames.decode(data), frames.Consensus)
