"""Places under a limit: how many clients or requests of one kind are there at one time."""

from __future__ import annotations

import hashlib
from typing import Final, Protocol

Place = tuple[str, bytes]
"""What is limited (the name of a limit's zone; "" for clients), and the key that counts for itself."""

ALL_CLIENTS: Final = ("", b"*")
SALT_BYTES: Final = 16


def digest(place: Place, salt: bytes) -> int:
    """A number that stands for it, never 0; nobody who does not know the salt can choose keys that share one.

    The salt has SALT_BYTES.
    """
    zone, key = place
    hashed = hashlib.blake2b(b"%b\0%b" % (zone.encode(), key), digest_size=8, key=salt).digest()
    return int.from_bytes(hashed, "little", signed=True) or 1


class Places(Protocol):
    """Counts of this process, or of several together."""

    def take(self, place: Place, most: int) -> bool:
        """Count one more; false, and nothing is counted, when there are ``most`` already."""

    def give_back(self, place: Place) -> None:
        """Count one less; of what was taken before."""


class OwnPlaces:
    """Those of a process that balances alone."""

    __slots__ = ("taken",)

    def __init__(self) -> None:
        self.taken: dict[Place, int] = {}

    def take(self, place: Place, most: int) -> bool:
        taken = self.taken.get(place, 0)
        if taken >= most:
            return False
        self.taken[place] = taken + 1
        return True

    def give_back(self, place: Place) -> None:
        left = self.taken[place] - 1
        if left:
            self.taken[place] = left
        else:
            del self.taken[place]
