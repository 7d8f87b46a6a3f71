"""Texts in answers that name the upstream, told again as the client knows it (nginx ``proxy_redirect`` and cookies)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.balancer.core.variables import Scope, Template

_ATTRIBUTE = re.compile(rb"(;\s*(domain|path)\s*=\s*)([^;]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Redirection:
    """What begins with ``match``, or the whole of what it is a pattern for, becomes ``to``."""

    match: Template | re.Pattern[bytes]
    to: Template

    def apply(self, scope: Scope, text: bytes) -> bytes | None:
        """The new text, or None when it does not match."""
        if not isinstance(self.match, Template):
            return self.to.render(scope) if self.match.search(text) else None
        begin = self.match.render(scope)
        return self.to.render(scope) + text[len(begin) :] if text.startswith(begin) else None


def redirected(redirections: Sequence[Redirection], scope: Scope, text: bytes) -> bytes | None:
    """The text by the first redirection that fits, or None."""
    return next((done for each in redirections if (done := each.apply(scope, text)) is not None), None)


@dataclass(frozen=True, slots=True)
class CookieRewriting:
    """Pairs of texts for the attributes of ``Set-Cookie``: whole domains, beginnings of paths."""

    domains: tuple[tuple[bytes, bytes], ...] = ()
    paths: tuple[tuple[bytes, bytes], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.domains or self.paths)

    def apply(self, cookie: bytes) -> bytes:
        return _ATTRIBUTE.sub(self._attribute, cookie)

    def _attribute(self, found: re.Match[bytes]) -> bytes:
        before, name, value = found[1], found[2].lower(), found[3]
        if name == b"path":
            return before + next((to + value[len(old) :] for old, to in self.paths if value.startswith(old)), value)
        dot = b"." if value.startswith(b".") else b""
        domain = value[len(dot) :].lower()
        return before + next((dot + to for old, to in self.domains if domain == old.removeprefix(b".").lower()), value)
