"""one.user.login: login tokens."""

from __future__ import annotations

import hashlib

import msgspec

from services.oned_lite.model.errors import bad_request, no_exists
from services.oned_lite.model.user import USERS, LoginToken, User
from services.oned_lite.policy import users
from services.oned_lite.policy.authentication import FOREVER, NO_GROUP, named_user
from services.oned_lite.policy.authorization import Right

from .call import Call
from .method import MethodTable

METHODS = MethodTable("one.user")
TOKENS_MAX = 10
REVOKE = 0


@METHODS.add("login", hidden=("token",))
def login(call: Call, name: str, token: str, valid_seconds: int, egid: int = NO_GROUP) -> str:
    """Makes a token good for `valid_seconds` (-1: for ever), in group `egid` alone if one is given, or revokes one (0).

    "" makes a fresh token, or revokes all of them. Returns the token.
    """
    user = named_user(call.tx, name)
    if user is None:
        raise no_exists(USERS.title, -1)
    call.authorize().need(Right.MANAGE, USERS, user).check()
    if valid_seconds == REVOKE:
        return _revoke(call, user, token)
    if valid_seconds < FOREVER:
        raise bad_request("Wrong valid period for token")
    _check_group(call, user, egid)
    _check_period(call, user, valid_seconds)
    text = token or hashlib.sha256(call.tx.random(32)).hexdigest()
    expires = FOREVER if valid_seconds == FOREVER else call.tx.now + valid_seconds
    _put(call, user, LoginToken(text, expires, egid))
    return text


def _check_group(call: Call, user: User, egid: int) -> None:
    """Nobody gets by a token into a group that he is not in himself."""
    if egid == NO_GROUP and call.caller.group_ids != frozenset(user.group_ids):
        raise bad_request("Cannot create a full token with a specific group token")
    if egid != NO_GROUP and not call.caller.is_admin and egid not in call.caller.group_ids:
        raise bad_request("EGID is not in user group list")


def _check_period(call: Call, user: User, valid_seconds: int) -> None:
    longest = users.longest_token_s(call.conf, user.auth_driver)
    if longest == 0:
        raise bad_request(f"Login tokens are disabled for driver {user.auth_driver}")
    if longest > 0 and (valid_seconds == FOREVER or valid_seconds > longest):
        raise bad_request(f"Valid time exceeds the maximum of driver {user.auth_driver}: {longest}")


def _put(call: Call, user: User, token: LoginToken) -> None:
    others = [one for one in user.tokens if one.token != token.token]
    if len(others) >= TOKENS_MAX:
        raise bad_request("Max number of tokens limit reached.")
    tokens = tuple(sorted((*others, token), key=lambda one: one.token))
    call.tx.put(USERS.table, msgspec.structs.replace(user, tokens=tokens))


def _revoke(call: Call, user: User, token: str) -> str:
    kept = tuple(one for one in user.tokens if token and one.token != token)
    if token and len(kept) == len(user.tokens):
        raise bad_request(f"Could not find token: {token}")
    call.tx.put(USERS.table, msgspec.structs.replace(user, tokens=kept))
    return token
