"""From a settings file to a plan: YAML, or an nginx.conf when the name ends in ``.conf``."""

from __future__ import annotations

from pathlib import Path

from services.balancer.nginx.conf import read_nginx_conf
from services.balancer.settings import Settings
from services.balancer.site import Plan, SiteError, build
from services.common.settings import SettingsError, load


def read_plan(path: Path) -> Plan:
    """Read and compile a file; raises SettingsError with every problem."""
    settings = read_nginx_conf(path) if path.suffix == ".conf" else load(path, Settings)
    try:
        return build(settings)
    except SiteError as error:
        raise SettingsError(*[f"{path}: {problem}" for problem in error.problems]) from None
