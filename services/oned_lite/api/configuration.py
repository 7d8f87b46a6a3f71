"""The configuration of a daemon that was given none: the defaults of OpenNebula 6.8.0."""

from __future__ import annotations

from pathlib import Path

from services.common.template import Template, parse
from services.oned_lite.model.configuration import Configuration

from .oned_defaults import DRIVERS, LISTS, SINGLE_VALUES


def default_configuration(*, datastore_location: Path, port: int) -> Configuration:
    """`datastore_location`: the folder all servers share; `port`: where the API listens (a zone's default endpoint)."""
    ours = (("DATASTORE_LOCATION", str(datastore_location)), ("PORT", str(port)))
    repeated = ((name, value) for name, values in LISTS.items() for value in values.split())
    return Configuration(Template.of((*parse(SINGLE_VALUES).attributes, *parse(DRIVERS).attributes, *repeated, *ours)))
