"""Rules for user names and passwords, and what the authentication drivers allow (AUTH_MAD_CONF of oned.conf)."""

from __future__ import annotations

from services.common.template import Vector
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.user import CORE

from . import names
from .authentication import password_hash

_BLANKS = " \t\n\v\f\r"
FOREVER = -1


def name_fault(name: str) -> str | None:
    """What is wrong with a user's name: the rules for all names, and no blanks."""
    return names.name_fault(name, names.FORBIDDEN + _BLANKS)


def password_fault(conf: Configuration, driver: str, password: str) -> str | None:
    """What is wrong with a password for that driver."""
    if not password and _driver(conf, driver).get_bool("PASSWORD_REQUIRED", True):
        return "Invalid password, it cannot be empty"
    for char in password:
        if char in _BLANKS:
            return f"Invalid password, character '{char}' is not allowed"
    return None


def stored_password(driver: str, password: str) -> str:
    """Driver core stores a hash, the others what they are given."""
    return password_hash(password) if driver == CORE else password


def may_change_password(conf: Configuration, driver: str) -> bool:
    return bool(_driver(conf, driver).get_bool("PASSWORD_CHANGE", False))


def manages_groups(conf: Configuration, driver: str) -> bool:
    """Whether the driver says which groups its users are in, so that nobody else may."""
    return bool(_driver(conf, driver).get_bool("DRIVER_MANAGED_GROUPS", False))


def longest_token_s(conf: Configuration, driver: str) -> int:
    """How long a login token may last; -1 without bound."""
    return _driver(conf, driver).get_int("MAX_TOKEN_TIME", FOREVER)


def _driver(conf: Configuration, name: str) -> Vector:
    found = (one for one in conf.template.vectors("AUTH_MAD_CONF") if one.get("NAME") == name)
    return next(found, Vector())
