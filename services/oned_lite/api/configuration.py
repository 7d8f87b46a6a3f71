"""The daemon's configuration: what an oned.conf says, completed as OpenNebula 6.8.0 does it."""

from __future__ import annotations

from pathlib import Path

from services.common.template import Template, Value, Vector, parse
from services.oned_lite.model.configuration import Configuration

from .oned_built_in import BUILT_IN, BUILT_IN_DRIVERS
from .oned_defaults import DRIVERS, LISTS, SINGLE_VALUES

NOTHING = Template()


def default_configuration(*, datastore_location: Path, port: int, instead: Template = NOTHING) -> Configuration:
    """That of a daemon without an oned.conf: as with the one that OpenNebula ships, and with the dummy hypervisor.
    `instead`: what is otherwise; of vectors, the keys that they name.
    """
    repeated = ((name, value) for name, values in LISTS.items() for value in values.split())
    shipped = Template.of((*parse(SINGLE_VALUES).attributes, *parse(DRIVERS).attributes, *repeated))
    otherwise = Template.of((name, _completed(shipped, name, value)) for name, value in instead)
    return configuration(shipped.merge(otherwise), datastore_location=datastore_location, port=port)


def _completed(shipped: Template, name: str, value: Value) -> Value:
    whole = shipped.vector(name)
    return value if whole is None or isinstance(value, str) else whole.merged(value)


def configuration(given: Template, *, datastore_location: Path, port: int) -> Configuration:
    """`given`: what the oned.conf says. A name it has counts as a whole: vectors are not completed key by key.

    `datastore_location`: the folder all servers share; `port`: where the API listens (a zone's default endpoint).
    """
    assumed = (item for item in parse(BUILT_IN) if item[0] not in given)
    known = {(name, value.get("NAME")) for name, value in given if isinstance(value, Vector)}
    drivers = (
        (name, value)
        for name, value in parse(BUILT_IN_DRIVERS)
        if isinstance(value, Vector) and (name, value.get("NAME")) not in known
    )
    completed = Template.of((*given, *assumed, *drivers))
    ours = Template.of(DATASTORE_LOCATION=str(datastore_location), PORT=str(port))
    return Configuration(completed.merge(ours))
