"""Who is behind a session string? `user:secret`, or `server:user:[group:]token` where a server speaks for a user."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass

import msgspec

from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.group import GROUPS
from services.oned_lite.model.user import CORE, USERS, LoginToken, User
from services.oned_lite.state import Reader
from services.oned_lite.state.table import rows

from .caller import Caller
from .delegation import SERVER_CIPHER, opens

NO_GROUP = -1
FOREVER = -1
SESSION_LENGTH_MAX = 4096
_DELEGATION = re.compile(r"(?P<user>[^:]*):(?:(?P<group>[0-9]{1,9}):)?(?P<token>[^:]+)")
_OCTAL = re.compile(r"\s*([0-7]{1,6})")


@dataclass(frozen=True, slots=True)
class Proof:
    """Why a session string is good: `voucher` is the row whose credentials it carries, with `token` where it was a login
    token; `user` is the one it stands for, in group `egid` alone unless that is -1. It ends at `expires` (epoch seconds,
    -1 never). `alias` is another session string that is good from now on."""

    voucher: User
    user: User
    token: LoginToken | None = None
    egid: int = NO_GROUP
    expires: int = FOREVER
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a session string comes to: a caller with the proof, or None where it is wrong, in whatever way.

    `mended` is the user's row with a change that the attempt itself brings: an old hash made new, a useless token gone.
    """

    caller: Caller | None = None
    proof: Proof | None = None
    mended: User | None = None


NOBODY = Identity()


def password_hash(password: str) -> str:
    """How driver core stores a password."""
    return hashlib.sha256(password.encode()).hexdigest()


def authenticate(reader: Reader, conf: Configuration, session: str, now: int) -> Identity:
    """The first colon ends the name."""
    name, colon, secret = session.partition(":")
    user = named_user(reader, name)
    if not colon or user is None or not user.enabled or len(session) > SESSION_LENGTH_MAX:
        return NOBODY
    token = valid_token(user, secret, now)
    if token is not None:
        return _by_token(reader, conf, user, token)
    if user.auth_driver == CORE:
        return _by_password(reader, conf, user, secret)
    if user.auth_driver == SERVER_CIPHER:
        return _by_server(reader, conf, user, secret, now)
    return NOBODY


def named_user(reader: Reader, name: str) -> User | None:
    found = rows(reader, USERS.table, "name", name)
    return found[0] if found else None


def _by_token(reader: Reader, conf: Configuration, user: User, token: LoginToken) -> Identity:
    """A token for a group that the user is not in is good for nothing: using it ends it."""
    if token.egid != NO_GROUP and token.egid not in user.group_ids:
        kept = tuple(one for one in user.tokens if one is not token)
        return Identity(None, mended=msgspec.structs.replace(user, tokens=kept))
    proof = Proof(user, user, token=token, egid=token.egid, expires=token.expires)
    return Identity(caller_of(reader, conf, user, token.egid), proof)


def _by_password(reader: Reader, conf: Configuration, user: User, secret: str) -> Identity:
    """Hashes of long ago were SHA-1; they are made new when they are used."""
    hashed = password_hash(secret)
    if hmac.compare_digest(user.password.encode(), hashed.encode()):
        return Identity(caller_of(reader, conf, user), Proof(user, user))
    old = hashlib.sha1(secret.encode(), usedforsecurity=False).hexdigest()
    if not hmac.compare_digest(user.password.encode(), old.encode()):
        return NOBODY
    mended = msgspec.structs.replace(user, password=hashed)
    return Identity(caller_of(reader, conf, mended), mended=mended)


def _by_server(reader: Reader, conf: Configuration, server: User, secret: str, now: int) -> Identity:
    """`user:[group:]token`. The group is not compared with the user's, and a disabled user can be spoken for."""
    match = _DELEGATION.fullmatch(secret)
    user = named_user(reader, match["user"]) if match else None
    if match is None or user is None:
        return NOBODY
    token, group = match["token"], match["group"]
    expires = opens(server.password, server.name, token)
    if expires is None or expires <= now:
        return NOBODY
    egid = int(group) if group else NO_GROUP
    proof = Proof(server, user, egid=egid, expires=expires, alias=f"{user.name}:{token}")
    return Identity(caller_of(reader, conf, user, egid), proof)


def valid_token(user: User, secret: str, now: int) -> LoginToken | None:
    """The user's unexpired login token with that text."""
    for token in user.tokens:
        if hmac.compare_digest(token.token.encode(), secret.encode()) and (
            token.expires == FOREVER or token.expires > now
        ):
            return token
    return None


def caller_of(reader: Reader, conf: Configuration, user: User, egid: int = NO_GROUP) -> Caller:
    """The caller that a user is; with a token made for group `egid`, in that group alone."""
    if egid == NO_GROUP:
        return Caller(user.oid, user.name, user.gid, user.gname, frozenset(user.group_ids), umask_of(user, conf))
    group = reader.get(GROUPS.table, egid)
    gname = "" if group is None else group.name
    return Caller(user.oid, user.name, egid, gname, frozenset({egid}), umask_of(user, conf))


def umask_of(user: User, conf: Configuration) -> int:
    """UMASK of the user's template, else DEFAULT_UMASK; octal digits, of which the first count. Anything else is 0."""
    digits = _OCTAL.match(user.template.get("UMASK") or conf.template.get("DEFAULT_UMASK") or "177")
    return int(digits[1], 8) & 0o777 if digits else 0
