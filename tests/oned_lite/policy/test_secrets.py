"""Encrypted attributes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.common.template import Template, Vector
from services.oned_lite.api.catalogue import TABLES
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.secret import SECRETS, ZONE_KEY, Secret
from services.oned_lite.policy.secrets import opened, sealed
from services.oned_lite.state import Store, Transaction

CONF = Configuration(Template.of([("LIST", "PASSWORD"), ("LIST", "CONTEXT/PASSWORD")]))


def zone(key: str) -> Transaction:
    tx = Transaction(Store(TABLES), now=0)
    tx.put(SECRETS, Secret(name=ZONE_KEY, value=key))
    return tx


@given(st.text(min_size=1))
def test_what_is_sealed_opens_again_and_sealing_twice_changes_nothing(text: str) -> None:
    reader = zone("key")
    template = Template.of(PASSWORD=text, OTHER=text, CONTEXT=Vector.of(PASSWORD=text, USER=text))
    hidden = sealed(reader, CONF, "LIST", template)
    assert hidden.get("OTHER") == text
    assert hidden.get("PASSWORD") != text
    assert hidden.vectors("CONTEXT")[0].get("PASSWORD") == hidden.get("PASSWORD")
    assert sealed(reader, CONF, "LIST", hidden) == hidden
    assert opened(reader, CONF, "LIST", hidden) == template


def test_another_zones_key_does_not_open_it() -> None:
    hidden = sealed(zone("key"), CONF, "LIST", Template.of(PASSWORD="topsecret"))
    assert opened(zone("other"), CONF, "LIST", hidden) == hidden
