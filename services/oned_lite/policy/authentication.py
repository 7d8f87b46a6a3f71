"""Who is behind a session string `user:secret`?"""

from __future__ import annotations

import hashlib
import hmac

from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.group import GROUPS
from services.oned_lite.model.user import USERS, LoginToken, User
from services.oned_lite.state import Reader
from services.oned_lite.state.table import rows

from .caller import Caller

NO_GROUP = -1
FOREVER = -1


def password_hash(password: str) -> str:
    """How driver core stores a password."""
    return hashlib.sha256(password.encode()).hexdigest()


def authenticate(reader: Reader, conf: Configuration, session: str, now: int) -> Caller | None:
    """The caller, or None where the session is wrong in whatever way. The first colon ends the name."""
    name, colon, secret = session.partition(":")
    if not colon:
        return None
    found = rows(reader, USERS.table, "name", name)
    user = found[0] if found else None
    if user is None or not user.enabled:
        return None
    token = valid_token(user, secret, now)
    if token is not None:
        return caller_of(reader, conf, user, token.egid)
    if user.auth_driver == "core" and hmac.compare_digest(user.password, password_hash(secret)):
        return caller_of(reader, conf, user)
    return None


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
    """UMASK of the user's template, else DEFAULT_UMASK; octal text."""
    text = user.template.get("UMASK") or conf.template.get("DEFAULT_UMASK") or "177"
    try:
        return int(text, 8) if isinstance(text, str) else 0o177
    except ValueError:
        return 0
