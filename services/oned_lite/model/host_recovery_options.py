"""What stands in ARGUMENTS of a `host_error` hook: OpenNebula's options, short or long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .host_recovery import Remedy
from .numbers import is_whole

DEFAULT_CYCLES = 2
CYCLES_MAX = 1440
"""A day at one look a minute."""
REMEDIES = {
    "-m": Remedy.MIGRATE,
    "--migrate": Remedy.MIGRATE,
    "-r": Remedy.RECREATE,
    "--recreate": Remedy.RECREATE,
    "-d": Remedy.DELETE,
    "--delete": Remedy.DELETE,
}
FORCE = ("-f", "--force")
NO_FENCING = ("-u", "--no-fencing")
PAUSE = ("-p", "--pause")


class OptionsFault(Exception):
    """What is wrong with them."""


@dataclass(frozen=True, slots=True)
class Options:
    """`cycles` of monitoring to wait for the host to come back."""

    remedy: Remedy
    cycles: int = DEFAULT_CYCLES
    fences: bool = True
    forced: bool = False


def parse_options(arguments: str) -> Options:
    """Raises OptionsFault: better nothing is done than something else than was meant."""
    remedies: set[Remedy] = set()
    cycles, fences, forced = DEFAULT_CYCLES, True, False
    words = _words(arguments)
    for word in words:
        if word in REMEDIES:
            remedies.add(REMEDIES[word])
        elif word in FORCE:
            forced = True
        elif word in NO_FENCING:
            fences = False
        elif word in PAUSE:
            cycles = _cycles(next(words, ""))
        else:
            raise OptionsFault(f"unknown option {word}; known are -m, -r, -d, -f, -p CYCLES and -u")
    if len(remedies) != 1:
        raise OptionsFault("expected one of -m (migrate), -r (recreate) and -d (delete)")
    return Options(remedies.pop(), cycles, fences, forced)


def _words(arguments: str) -> Iterator[str]:
    """Options one by one, `--pause=5` and `-p5` as two; the host's template, which comes first, is left out: the host
    is known."""
    for word in arguments.replace("$TEMPLATE", " ").split():
        name, equals, value = word.partition("=")
        if equals and name in PAUSE:
            yield from (name, value)
        elif word.startswith("-p") and len(word) > 2:
            yield from (word[:2], word[2:])
        else:
            yield word


def _cycles(value: str) -> int:
    if not is_whole(value) or int(value) > CYCLES_MAX:
        raise OptionsFault(f"-p: expected how many monitorings to wait, 0 to {CYCLES_MAX}, got {value!r}")
    return int(value)
