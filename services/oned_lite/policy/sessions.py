"""Session strings that this server has found good lately (SESSION_EXPIRATION_TIME of oned.conf).

Remembering spares the search, the hashing and the deciphering of every call. Nothing goes stale by it: an entry counts
only while the committed rows say what they said when it was made. Another password, a disabled user or a lost token end
it at once, on every server; other changes (groups, umask) show in the next call.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.user import USERS, User
from services.oned_lite.state import Reader

from .authentication import FOREVER, NO_GROUP, Identity, Proof, authenticate, caller_of
from .caller import Caller

SESSIONS_MAX = 10_000


@dataclass(slots=True)
class _Known:
    """`proof` holds the rows as they were looked at last."""

    caller: Caller
    proof: Proof
    until: int


class Sessions:
    """One server's memory of good session strings, kept as digests and bounded in number."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Known] = {}

    def recognise(self, reader: Reader, conf: Configuration, session: str, now: int) -> Identity:
        """As `authenticate`, from memory where possible."""
        digest = _digest(session)
        known = self._known.get(digest)
        if known is not None:
            if now < known.until and _refresh(reader, conf, known):
                return Identity(known.caller, known.proof)
            del self._known[digest]
        identity = authenticate(reader, conf, session, now)
        if identity.caller is not None and identity.proof is not None:
            self._remember(reader, conf, digest, identity.caller, identity.proof, now)
        return identity

    def _remember(
        self, reader: Reader, conf: Configuration, digest: bytes, caller: Caller, proof: Proof, now: int
    ) -> None:
        until = now + (conf.template.get_int("SESSION_EXPIRATION_TIME") or 0)
        if proof.expires != FOREVER:
            until = min(until, proof.expires)
        self._put(digest, _Known(caller, proof, until))
        if proof.alias:
            own = Proof(proof.user, proof.user)
            self._put(_digest(proof.alias), _Known(caller_of(reader, conf, proof.user), own, until))

    def _put(self, digest: bytes, known: _Known) -> None:
        if len(self._known) >= SESSIONS_MAX:
            del self._known[next(iter(self._known))]
        self._known[digest] = known


def _digest(session: str) -> bytes:
    return hashlib.sha256(session.encode()).digest()


def _refresh(reader: Reader, conf: Configuration, known: _Known) -> bool:
    """Whether the proof still holds; the caller is made anew where the user's row has changed meanwhile."""
    proof = known.proof
    voucher, user = reader.get(USERS.table, proof.voucher.oid), reader.get(USERS.table, proof.user.oid)
    if voucher is proof.voucher and user is proof.user:
        return True
    if voucher is None or user is None or _credentials(voucher) != _credentials(proof.voucher):
        return False
    if proof.token is not None and (proof.token not in voucher.tokens or proof.egid not in (NO_GROUP, *user.group_ids)):
        return False
    known.caller = caller_of(reader, conf, user, proof.egid)
    known.proof = Proof(voucher, user, proof.token, proof.egid, proof.expires)
    return True


def _credentials(user: User) -> tuple[str, str, bool]:
    return user.password, user.auth_driver, user.enabled
