"""From a settings file to a plan: YAML, or an nginx.conf when the name ends in ``.conf``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from services.balancer.nginx.conf import read_nginx_conf
from services.balancer.plan import Plan
from services.balancer.plane.tls import connect_options, server_context
from services.balancer.settings import Settings
from services.balancer.site import SiteError, build
from services.common.settings import SettingsError, load


def read_plan(path: Path) -> Plan:
    """Read and compile a file; raises SettingsError with every problem."""
    settings = read_nginx_conf(path) if path.suffix == ".conf" else load(path, Settings)
    try:
        plan = build(settings)
    except SiteError as error:
        raise SettingsError(*[f"{path}: {problem}" for problem in error.problems]) from None
    problems = [f"{path}: {problem}" for problem in _tls_problems(plan)]
    if problems:
        raise SettingsError(*problems)
    return plan


def _tls_problems(plan: Plan) -> Iterator[str]:
    """What keeps certificates, keys and authorities from being used."""
    for group in plan.groups.values():
        yield from _complaint(lambda group=group: connect_options(group.tls))  # type: ignore[misc]
    for listener in plan.listeners.values():
        if listener.tls:
            yield from _complaint(lambda listener=listener: server_context(listener))  # type: ignore[misc]


def _complaint(make: Callable[[], object]) -> Iterator[str]:
    try:
        make()
    except OSError as error:  # ssl.SSLError is one
        yield str(error.strerror or error)
