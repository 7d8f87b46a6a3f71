"""Compiling the texts of a settings file: templates, patterns, headers. Problems are collected, not raised."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from services.balancer.core.gzipping import Gzip
from services.balancer.core.paths import escape_query, escape_redirect
from services.balancer.core.patterns import compile_pattern, marked_pattern
from services.balancer.core.retry import CONFIGURABLE, Condition, RetryPolicy
from services.balancer.core.rewriting import CookieRewriting, Redirection
from services.balancer.core.rules import OPERATORS, Access, Rule, Then, parse_access
from services.balancer.core.rules import Condition as Test
from services.balancer.core.variables import (
    BUILT_IN,
    NUMBERED,
    MapTable,
    Reach,
    Template,
    Variable,
    captures,
    compile_template,
    escaping,
)
from services.balancer.settings import Location, MapVariable, OneOrMore, Redirect, Return
from services.balancer.settings import Rule as RuleSettings
from services.balancer.wire.fields import TOKEN

T = TypeVar("T")
_RETOLD = Variable(lambda scope: scope.outcome.retold, Reach.REQUEST)
IN_REDIRECTS = {name: escaping(variable, escape_redirect) for name, variable in NUMBERED.items()}
IN_QUERIES = {name: escaping(variable, escape_query) for name, variable in NUMBERED.items()}


class Compiler:
    """Every helper notes what is wrong under the place ``where`` and goes on with something harmless."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.variables = dict(NUMBERED)

    def complain(self, where: str, problem: object) -> None:
        self.problems.append(f"{where}: {problem}")

    def attempt(self, where: str, make: Callable[[], T]) -> T | None:
        """What ``make`` returns, or None when it raised ValueError."""
        try:
            return make()
        except ValueError as error:
            self.complain(where, error)
            return None

    def template(self, where: str, text: str, more: Mapping[str, Variable] | None = None) -> Template:
        """Text with variables: those of the file, and ``more`` of the place."""
        known = {**self.variables, **(more or {})}
        return self.attempt(where, lambda: compile_template(text, known)) or Template(())

    def map(self, where: str, entry: MapVariable) -> Variable:
        source = self.template(where, entry.source)
        subject = Variable(source.render, source.reach)
        exact: dict[bytes, Template] = {}
        patterns: list[tuple[re.Pattern[bytes], Template]] = []
        for key, value in entry.values.items():
            if not key.startswith("~"):
                exact[key.lower().encode()] = self.template(where, value)
                continue
            pattern = self.attempt(where, lambda key=key: marked_pattern(key))  # type: ignore[misc]
            if pattern is not None:
                patterns.append((pattern, self.template(where, value, captures(pattern, subject))))
        return MapTable(entry.name, source, exact, tuple(patterns), self.template(where, entry.default)).variable()

    def headers(
        self, where: str, headers: Mapping[str, OneOrMore]
    ) -> tuple[tuple[bytes, Template], ...]:
        lines = [(name, text) for name, texts in headers.items() for text in ([texts] if isinstance(texts, str) else texts)]
        for name, text in lines:
            if not name or name.encode().translate(None, TOKEN):
                self.complain(where, f"{name!r} is not a header name")
            if "\r" in text or "\n" in text:
                self.complain(where, f"the value of {name} spans lines")
        return tuple((name.encode(), self.template(where, text)) for name, text in lines)

    def retry(self, where: str, location: Location) -> RetryPolicy:
        conditions = Condition(0)
        for name in location.next_upstream:
            if name == "off":
                conditions = Condition(0)
            elif name in CONFIGURABLE:
                conditions |= CONFIGURABLE[name]
            else:
                expected = ", ".join([*CONFIGURABLE, "off"])
                self.complain(where, f"expected one of {expected}, got {name!r}")
        return RetryPolicy(conditions, location.next_upstream_tries, location.next_upstream_timeout_s)

    def access(self, where: str, lines: Sequence[str]) -> Access | None:
        return self.attempt(where, lambda: parse_access(lines)) if lines else None

    def redirections(
        self, where: str, redirects: Sequence[Redirect]
    ) -> tuple[Redirection, ...]:
        done: list[Redirection] = []
        for redirect in redirects:
            if not redirect.match.startswith("~"):
                match = self.template(where, redirect.match)
                done.append(Redirection(match, self.template(where, redirect.to)))
                continue
            pattern = self.attempt(where, lambda redirect=redirect: marked_pattern(redirect.match))  # type: ignore[misc]
            if pattern is not None:
                found = captures(pattern, _RETOLD)
                done.append(Redirection(pattern, self.template(where, redirect.to, found)))
        return tuple(done)

    def condition(self, where: str, when: Sequence[str]) -> Test | None:
        if len(when) not in (1, 3) or (len(when) == 3 and when[1] not in OPERATORS):
            self.complain(where, f"expected [VARIABLE] or [VARIABLE, OPERATOR, VALUE], operators {' '.join(OPERATORS)}")
            return None
        subject = self.template(where, when[0])
        if len(when) == 1:
            return Test(subject)
        operator, text = when[1], when[2]
        negate = operator.startswith("!")
        if "~" not in operator:
            return Test(subject, value=text.encode(), negate=negate)
        pattern = self.attempt(where, lambda: compile_pattern(text, ignore_case=operator.endswith("*")))
        return Test(subject, pattern=pattern, negate=negate) if pattern is not None else None

    def rules(
        self, where: str, rules: Sequence[RuleSettings],
        answering: Callable[[Return, bool], T],
    ) -> tuple[Rule[T], ...]:  # fmt: skip
        """Rules with what answers in their place, made by ``answering``."""
        return tuple(self._rule(f"{where}[{index}]", rule, answering) for index, rule in enumerate(rules))

    def _rule(
        self, where: str, rule: RuleSettings,
        answering: Callable[[Return, bool], T],
    ) -> Rule[T]:  # fmt: skip
        if not (rule.set or rule.uri or rule.rules or rule.answer or rule.then):
            self.complain(where, "give at least one of set, uri, rules, answer, then")
        if rule.answer is not None and (rule.uri or rule.rules):
            self.complain(where, "with an answer there is no uri and there are no rules")
        test = self.condition(f"{where}.when", rule.when) if rule.when else None
        pattern = self.attempt(f"{where}.pattern", lambda: compile_pattern(rule.pattern)) if rule.pattern else None
        for name in rule.set:
            if name != "args" and name in BUILT_IN:
                self.complain(f"{where}.set", f"${name} is not to be set")
        path, mark, query = rule.uri.partition("?")
        default = Then.BREAK if rule.uri else Then.NEXT
        return Rule(
            condition=test,
            pattern=pattern,
            settings=tuple((name, self.template(f"{where}.set", text)) for name, text in rule.set.items()),
            uri=self.template(f"{where}.uri", path) if rule.uri else None,
            query=self.template(f"{where}.uri", query, IN_QUERIES) if mark else None,
            keeps_query=rule.keep_query,
            rules=self.rules(f"{where}.rules", rule.rules, answering),
            outcome=answering(rule.answer, pattern is not None) if rule.answer is not None else None,
            then=Then(rule.then) if rule.then else default,
        )

    def answer_text(self, where: str, answer: Return, *, captured: bool = False) -> Template:
        """What an answer says: where a redirect leads, a text, or what is in a file. ``captured``: by a ``rewrite``."""
        if captured and answer.location:
            path, mark, query = answer.location.partition("?")
            parts = self.template(where, path, IN_REDIRECTS).parts, self.template(where, query, IN_QUERIES).parts
            return Template((*parts[0], mark.encode(), *parts[1]) if mark else parts[0])
        if not answer.file:
            return self.template(where, answer.location or answer.text)
        try:
            return Template((Path(answer.file).read_bytes(),))
        except OSError as error:
            self.complain(where, f"cannot read {answer.file}: {error.strerror}")
            return Template(())


def cookie_rewriting(location: Location) -> CookieRewriting:
    domains, paths = (
        tuple((each.match.encode(), each.to.encode()) for each in pairs)
        for pairs in (location.cookie_domains, location.cookie_paths)
    )
    return CookieRewriting(domains, paths)


def gzip_of(location: Location) -> Gzip | None:
    gzip = location.gzip
    if gzip is None:
        return None
    types = None if "*" in gzip.types else frozenset(kind.lower().encode() for kind in gzip.types)
    return Gzip(
        types=types,
        min_bytes=gzip.min_bytes,
        level=gzip.level,
        least_minor=int(gzip.http_version[-1]),
        vary=gzip.vary,
        proxied=gzip.proxied,
        flushes=not location.buffering,
    )
