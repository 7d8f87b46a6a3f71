"""What is done before requests are passed on, or instead: ``return``, ``if``, ``rewrite``, ``set``, ``error_page``."""

from __future__ import annotations

import re
from typing import Literal

from services.balancer.core.variables import BUILT_IN
from services.balancer.nginx.directives import Directive, Problems
from services.balancer.nginx.table import permitted
from services.balancer.settings import ErrorPage, Return, Rule

_OPERATORS = ("=", "!=", "~", "~*", "!~", "!~*")
_REDIRECTS = (301, 302, 303, 307, 308)
_THEN: dict[tuple[str, ...], Literal["next", "last", "break"]] = {(): "next", ("last",): "last", ("break",): "break"}
RULES = ("if", "rewrite", "set", "break")


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

    def rules(self, directive: Directive) -> list[Rule]:
        """What an ``if``, ``rewrite``, ``set`` or ``break`` does; nothing after a problem."""
        if directive.name == "if":
            return self._if(directive)
        if directive.name == "rewrite":
            return self._rewrite(directive)
        if directive.name == "set":
            return [Rule(set=dict([self.setting(directive)]))]
        return [Rule(then="break")]

    def setting(self, directive: Directive) -> tuple[str, str]:
        """The name and the value of a ``set``."""
        name = directive.text.removeprefix("$")
        if not directive.text.startswith("$") or len(directive.args) != 2:
            self._problems.wrong(directive, "$NAME and a value")
            return "x", ""
        if name == "limit_rate":
            self._problems.add(directive, "the rate of answers is not limited")
        elif name not in BUILT_IN:
            self._problems.declare(name)
        elif name != "args":
            self._problems.add(directive, f"${name} is not a variable that can be set")
        return name, self._problems.template(directive, directive.args[1])

    def _if(self, directive: Directive) -> list[Rule]:
        args = directive.args
        if not args or not args[0].startswith("$") or len(args) not in (1, 3) or args[1:2] not in (
                (), *((operator,) for operator in _OPERATORS)):  # fmt: skip
            self._problems.wrong(directive, f"$VARIABLE, or $VARIABLE with one of {' '.join(_OPERATORS)} and a text")
            return []
        self._problems.template(directive, args[0])
        if len(args) == 3 and "~" in args[1]:
            self._problems.pattern(directive, args[2])
        inside: list[Rule] = []
        for inner in permitted(directive.block or (), "if", self._problems):
            inside += [Rule(answer=self.answer(inner))] if inner.name == "return" else self.rules(inner)
        # A condition from which nothing follows captures all the same, and looks maps up.
        return [Rule(when=list(args), rules=inside, then="" if inside else "next")]

    def _rewrite(self, directive: Directive) -> list[Rule]:
        pattern, replacement, *flags = directive.args
        self._problems.pattern(directive, pattern)
        self._problems.template(directive, replacement)
        alone = replacement.endswith("?")  # the request's own query stays behind
        away = replacement.startswith(("http://", "https://", "$scheme"))
        if away or flags in (["redirect"], ["permanent"]):
            status = 301 if flags == ["permanent"] else 302
            place = replacement.removesuffix("?")
            bare = Rule(pattern=pattern, answer=Return(status=status, location=place))
            if alone:
                return [bare]
            more = Return(status=status, location=place + ("&$args" if "?" in place else "?$args"))
            return [Rule(when=["$args"], rules=[Rule(pattern=pattern, answer=more)]), bare]
        then = _THEN.get(tuple(flags))
        if then is None:
            self._problems.wrong(directive, "PATTERN REPLACEMENT, perhaps with last, break, redirect or permanent")
            return []
        uri = replacement.removesuffix("?") if replacement.count("?") > 1 else replacement
        return [Rule(pattern=pattern, uri=uri, keep_query="?" in replacement and not alone, then=then)]

    def error_page(self, directive: Directive) -> ErrorPage | None:
        """``error_page CODE … [=[CODE]] TARGET``."""
        *codes, target = directive.args
        status: int | Literal["answer"] = 0
        if codes and codes[-1].startswith("="):
            text = codes.pop()[1:]
            status = int(text) if text.isdigit() else "answer"
        if not codes or not all(code.isdigit() and 300 <= int(code) <= 599 for code in codes):
            self._problems.wrong(directive, "statuses from 300 to 599, perhaps =STATUS, and a target")
            return None
        self._problems.template(directive, target)
        statuses = [int(code) for code in codes]
        if re.match(r"https?://|\$scheme:", target):
            place = Return(status=status if status in _REDIRECTS else 302, location=target)
            return ErrorPage(statuses=statuses, answer=place)
        if not target.startswith(("/", "@", "$")):
            self._problems.wrong(directive, "a path, the @name of a location, or a URL as the target")
            return None
        return ErrorPage(statuses=statuses, to=target, status=status)
