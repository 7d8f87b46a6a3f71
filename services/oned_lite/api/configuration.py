"""The configuration of a daemon that was given none: the defaults of OpenNebula 6.8.0."""

from __future__ import annotations

from pathlib import Path

from services.common.template import Template
from services.oned_lite.model.configuration import Configuration


def default_configuration(*, datastore_location: Path, port: int) -> Configuration:
    """`datastore_location`: the folder all servers share; `port`: where the API listens (a zone's default endpoint)."""
    attributes = (("DATASTORE_LOCATION", str(datastore_location)), ("DEFAULT_UMASK", "177"), ("PORT", str(port)))
    return Configuration(Template(attributes))
