"""Who is at the other end: server-side sessions as OWASP's Session Management Cheat Sheet asks for.

The cookie holds 256 random bits. The cache knows the session under a hash of them and keeps it sealed (AES-GCM) with a
key derived from them, so that neither a dump of the cache nor a write to it is worth anything without the cookie.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.sunstone_lite.cache import Cache
from services.sunstone_lite.settings import SessionSettings

ID_BYTES = 32
ID_LENGTH = 43  # ID_BYTES in URL-safe base64 without padding
NONCE_BYTES = 12
VISITOR_LIFE_S = 900  # a sign-in form may stay open this long
TOUCH_EVERY_S = 20
FLASH_LIFE_S = 120


class Login(msgspec.Struct, frozen=True):
    """A signed-in user. `secret` is a login token of oned, or empty when the UI delegates through server_cipher."""

    uid: int
    name: str
    group: str
    groups: tuple[int, ...]
    secret: str = ""
    revocable: bool = False

    @property
    def is_admin(self) -> bool:
        """Member of the oneadmin group."""
        return self.uid == 0 or 0 in self.groups


class Session(msgspec.Struct, frozen=True):
    """One browser's session. Times are epoch seconds; `until` is the hard end, whatever happens."""

    csrf: str
    started: float
    seen: float
    until: float
    login: Login | None = None


class Flash(msgspec.Struct, frozen=True):
    """A message for the next page: already translated text and a tone."""

    tone: str
    text: str
    details: tuple[str, ...] = ()


class Sessions:
    """Sessions in the cache. Every method may raise CacheAway."""

    def __init__(self, cache: Cache, limits: SessionSettings, clock: Callable[[], float]) -> None:
        """`clock` gives epoch seconds."""
        self._cache = cache
        self._limits = limits
        self._clock = clock

    async def load(self, sid: str) -> Session | None:
        """The live session with this id; None for unknown, expired and made-up ids, which are never adopted."""
        if len(sid) != ID_LENGTH:
            return None
        sealed = await self._cache.get(_key(sid))
        session = _unseal(sid, sealed) if sealed else None
        if session is None or self._is_over(session):
            return None
        return session

    async def visitor(self) -> tuple[str, Session]:
        """A session for somebody not signed in, to carry the form token of the sign-in page."""
        now = self._clock()
        return await self._begin(Session(_token(), now, now, now + VISITOR_LIFE_S))

    async def sign_in(self, old_sid: str | None, login: Login, until: float) -> tuple[str, Session]:
        """A new session with a new id and form token; the visitor's session ends. `until` bounds its life further."""
        now = self._clock()
        if old_sid:
            await self._cache.remove(_key(old_sid), VISITOR_LIFE_S)
        return await self._begin(Session(_token(), now, now, min(until, now + self._limits.absolute_s), login))

    async def touch(self, sid: str, session: Session) -> Session:
        """Note that the user did something; written at most every few seconds."""
        now = self._clock()
        if now - session.seen < TOUCH_EVERY_S:
            return session
        session = msgspec.structs.replace(session, seen=now)
        await self._cache.put(_key(sid), _seal(sid, session), self._life_s(session))
        return session

    async def end(self, sid: str) -> None:
        """Remove the session on every server."""
        await self._cache.remove(_key(sid), self._limits.absolute_s)

    async def put_flash(self, sid: str, flash: Flash) -> None:
        """Leave a message for the next page."""
        await self._cache.put(_flash_key(sid), msgspec.json.encode(flash), FLASH_LIFE_S)

    async def take_flash(self, sid: str) -> Flash | None:
        """The message left by the last request, once."""
        found = await self._cache.take(_flash_key(sid))
        return msgspec.json.decode(found, type=Flash) if found else None

    async def _begin(self, session: Session) -> tuple[str, Session]:
        sid = secrets.token_urlsafe(ID_BYTES)
        await self._cache.put(_key(sid), _seal(sid, session), self._life_s(session))
        return sid, session

    def _is_over(self, session: Session) -> bool:
        now = self._clock()
        return now >= session.until or now >= session.seen + self._limits.idle_s

    def _life_s(self, session: Session) -> int:
        left = min(session.until, session.seen + self._limits.idle_s) - self._clock()
        return max(1, int(left) + 1)


def same_token(session: Session, offered: str) -> bool:
    """Whether a form's token is the session's (synchronizer token), in constant time."""
    return hmac.compare_digest(session.csrf.encode(), offered.encode("utf-8", "replace"))


def label(sid: str) -> str:
    """A short name for logs that does not give the id away."""
    return hashlib.sha256(b"log:" + sid.encode()).hexdigest()[:12]


def _token() -> str:
    return secrets.token_urlsafe(ID_BYTES)


def _key(sid: str) -> str:
    return "session:" + hashlib.sha256(b"key:" + sid.encode()).hexdigest()


def _flash_key(sid: str) -> str:
    return "flash:" + hashlib.sha256(b"key:" + sid.encode()).hexdigest()


def _cipher(sid: str) -> AESGCM:
    return AESGCM(hashlib.sha256(b"seal:" + sid.encode()).digest())


def _seal(sid: str, session: Session) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + _cipher(sid).encrypt(nonce, msgspec.json.encode(session), None)


def _unseal(sid: str, sealed: bytes) -> Session | None:
    try:
        opened = _cipher(sid).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)
        return msgspec.json.decode(opened, type=Session)
    except (InvalidTag, ValueError, msgspec.MsgspecError):
        return None
