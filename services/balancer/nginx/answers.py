"""Answers of the balancer itself in an nginx.conf: ``return``, ``if``, ``rewrite``, ``error_page``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.balancer.core.routing import Locations, parse_pattern
from services.balancer.nginx.directives import Directive, Problems
from services.balancer.nginx.table import permitted
from services.balancer.settings import ErrorPage, Location, Return, Rule

_OPERATORS = ("=", "!=", "~", "~*", "!~", "!~*")
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class PendingPage:
    """An ``error_page`` whose target may be a location; ``status`` None keeps the error's, 0 takes the target's."""

    directive: Directive
    statuses: list[int]
    status: int | None
    target: str


class AnswerReader:
    """Reads directives that answer by themselves."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def answer(self, directive: Directive) -> Return:
        """``return CODE [TEXT]``, ``return CODE URL`` or ``return URL``."""
        args = directive.args
        if args[0].isdigit() and 200 <= int(args[0]) <= 599:
            status, text = int(args[0]), self._problems.template(directive, args[1]) if len(args) > 1 else ""
        elif len(args) == 1 and args[0].startswith(("http://", "https://", "$scheme")):
            status, text = 302, self._problems.template(directive, args[0])
        else:
            self._problems.wrong(directive, "CODE [TEXT] or a URL")
            status, text = 500, ""
        redirects = status in _REDIRECTS
        return Return(status=status, location=text if redirects else "", text="" if redirects else text)

    def rules(self, directive: Directive, *, proxied: bool) -> list[Rule]:
        """The rule of an ``if`` or ``rewrite``, or none after a problem; ``proxied``: ``break`` makes sense here."""
        rule = self._if(directive) if directive.name == "if" else self._rewrite(directive, proxied=proxied)
        return [rule] if rule is not None else []

    def _if(self, directive: Directive) -> Rule | None:
        args = directive.args
        if not args or not args[0].startswith("$") or len(args) not in (1, 3) or args[1:2] not in (
                (), *((operator,) for operator in _OPERATORS)):  # fmt: skip
            self._problems.wrong(directive, f"$VARIABLE, or $VARIABLE with one of {' '.join(_OPERATORS)} and a text")
            return None
        self._problems.template(directive, args[0])
        if len(args) == 3 and "~" in args[1]:
            self._problems.pattern(directive, args[2])
        found = list(permitted(directive.block or (), "if", self._problems))
        if not found:
            return None
        return Rule(when=list(args), answer=self.answer(found[0]))

    def _rewrite(self, directive: Directive, *, proxied: bool) -> Rule | None:
        pattern, replacement, *flags = directive.args
        self._problems.pattern(directive, pattern)
        self._problems.template(directive, replacement)
        if "?" in replacement and not replacement.endswith("?"):
            self._problems.add(directive, "a query in the replacement is supported only with another ? at its end")
            return None
        away = replacement.startswith(("http://", "https://", "$scheme"))
        if away or flags in (["redirect"], ["permanent"]):
            status = 301 if flags == ["permanent"] else 302
            # The request's own query goes along, unless the replacement ends in a question mark.
            place = replacement[:-1] if replacement.endswith("?") else replacement + "$is_args$args"
            return Rule(pattern=pattern, answer=Return(status=status, location=place))
        if flags == ["break"] and proxied:
            # The last question mark only says that the request's own query stays behind.
            alone = replacement.count("?") == 1
            return Rule(pattern=pattern, uri=replacement if alone else replacement.removesuffix("?"))
        self._problems.add(directive, "is supported as a redirect, or with break in a location that proxies")
        return None

    def error_page(self, directive: Directive) -> PendingPage | None:
        """``error_page CODE … [=[CODE]] TARGET``."""
        *codes, target = directive.args
        status: int | None = None
        if codes and codes[-1].startswith("="):
            text = codes.pop()[1:]
            status = int(text) if text.isdigit() else 0
        if not codes or not all(code.isdigit() and 300 <= int(code) <= 599 for code in codes):
            self._problems.wrong(directive, "statuses from 300 to 599, perhaps =STATUS, and a target")
            return None
        self._problems.template(directive, target)
        return PendingPage(directive, [int(code) for code in codes], status, target)

    def error_pages(self, pages: Sequence[PendingPage], locations: Sequence[Location]) -> list[ErrorPage]:
        """The pages with the answers of the locations they lead to."""
        found: list[ErrorPage] = []
        for page in pages:
            if re.match(r"https?://|\$scheme:", page.target):
                status = page.status if page.status in _REDIRECTS else 302
                found.append(ErrorPage(statuses=page.statuses, answer=Return(status=status, location=page.target)))
                continue
            answer = _answer_at(page.target, locations)
            if answer is None:
                self._problems.add(page.directive, f"{page.target} is no location that answers by itself")
                continue
            status = 0 if page.status is None else page.status or answer.status
            found.append(ErrorPage(statuses=page.statuses, answer=answer, status=status))
        return found


def _answer_at(target: str, locations: Sequence[Location]) -> Return | None:
    if not target.startswith("/"):
        return None
    path = target.partition("?")[0].encode()
    try:
        location = Locations([(parse_pattern(location.path), location) for location in locations]).find(path)
    except ValueError:  # a bad pattern is reported where it stands
        return None
    return location.answer if location is not None else None
