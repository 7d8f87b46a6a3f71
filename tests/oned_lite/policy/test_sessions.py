"""Sessions: what is remembered spares work and never outlives what it rests on."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.oned_lite.policy import delegation
from services.oned_lite.policy.authentication import password_hash
from tests.oned_lite.local import LocalOned

ADMIN = "oneadmin:opennebula"


@pytest.fixture
def oned(tmp_path: Path) -> LocalOned:
    daemon = LocalOned(tmp_path)
    assert daemon.call("one.user.allocate", ADMIN, "alice", "secret", "core", [1]) == [True, 2, 0]
    assert knows(daemon, "alice:secret")
    return daemon


def knows(oned: LocalOned, session: str) -> bool:
    return oned.call("one.user.info", session, -1)[0] is True


def test_a_changed_password_ends_the_remembered_session_at_once(oned: LocalOned) -> None:
    oned.call("one.user.passwd", ADMIN, 2, "other")
    assert not knows(oned, "alice:secret")
    assert knows(oned, "alice:other")


def test_a_disabled_user_is_out_at_once_and_back_when_enabled(oned: LocalOned) -> None:
    oned.call("one.user.enable", ADMIN, 2, False)
    assert not knows(oned, "alice:secret")
    oned.call("one.user.enable", ADMIN, 2, True)
    assert knows(oned, "alice:secret")


def test_a_deleted_user_is_out_and_a_new_one_of_that_name_needs_the_new_password(oned: LocalOned) -> None:
    oned.call("one.user.delete", ADMIN, 2)
    assert not knows(oned, "alice:secret")
    oned.call("one.user.allocate", ADMIN, "alice", "fresh", "core", [1])
    assert not knows(oned, "alice:secret")


def test_a_new_group_counts_in_the_next_call(oned: LocalOned) -> None:
    gid = oned.call("one.group.allocate", ADMIN, "devs")[1]
    assert oned.call("one.group.info", "alice:secret", gid)[0] is False
    oned.call("one.user.addgroup", ADMIN, 2, gid)
    assert oned.call("one.group.info", "alice:secret", gid)[0] is True
    oned.call("one.user.delgroup", ADMIN, 2, gid)
    assert oned.call("one.group.info", "alice:secret", gid)[0] is False


def test_a_token_ends_when_its_time_is_over_although_its_session_was_remembered(oned: LocalOned) -> None:
    token = oned.call("one.user.login", "alice:secret", "alice", "", 60)[1]
    assert knows(oned, f"alice:{token}")
    oned.ahead_s += 61
    assert not knows(oned, f"alice:{token}")


def test_a_revoked_token_is_of_no_use(oned: LocalOned) -> None:
    token = oned.call("one.user.login", "alice:secret", "alice", "", 60)[1]
    assert knows(oned, f"alice:{token}")
    oned.call("one.user.login", "alice:secret", "alice", token, 0)
    assert not knows(oned, f"alice:{token}")


def test_a_scoped_token_ends_with_the_membership_it_was_made_for(oned: LocalOned) -> None:
    gid = oned.call("one.group.allocate", ADMIN, "devs")[1]
    oned.call("one.user.addgroup", ADMIN, 2, gid)
    token = oned.call("one.user.login", "alice:secret", "alice", "", 600, gid)[1]
    assert knows(oned, f"alice:{token}")
    oned.call("one.user.delgroup", ADMIN, 2, gid)
    assert not knows(oned, f"alice:{token}")
    assert token not in str(oned.call("one.user.info", ADMIN, 2))


def test_what_a_server_vouched_for_logs_in_by_itself_for_a_quarter_of_an_hour(oned: LocalOned) -> None:
    token = delegation.seal(password_hash("serverpass"), "serveradmin", "alice", oned.now() + 10_000)
    assert not knows(oned, f"alice:{token}")
    assert knows(oned, f"serveradmin:alice:{token}")
    assert knows(oned, f"alice:{token}")
    oned.ahead_s += 901
    assert not knows(oned, f"alice:{token}")
    assert knows(oned, f"serveradmin:alice:{token}")


def test_a_sha1_hash_of_long_ago_is_accepted_and_made_new(oned: LocalOned) -> None:
    sha1_of_secret = "e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4"
    oned.call("one.user.chauth", ADMIN, 2, "public", sha1_of_secret)
    oned.call("one.user.chauth", ADMIN, 2, "core", "")
    assert knows(oned, "alice:secret")
    assert password_hash("secret") in str(oned.call("one.user.info", ADMIN, 2))


@pytest.mark.parametrize(
    "session", ["", ":", "alice", "alice:", "alice:secret ", "nobody:secret", "serveradmin:alice:"]
)
def test_half_a_session_is_none(oned: LocalOned, session: str) -> None:
    assert oned.call("one.system.version", session)[2] == 0x100


def test_a_token_of_another_key_or_not_base64_opens_nothing() -> None:
    key = password_hash("serverpass")
    token = delegation.seal(key, "serveradmin", "alice", 2_000_000_000)
    assert delegation.opens(key, "serveradmin", token) == 2_000_000_000
    assert delegation.opens(password_hash("other"), "serveradmin", token) is None
    assert delegation.opens(key, "another", token) is None
    assert delegation.opens(key, "serveradmin", token[:-4]) is None
    assert delegation.opens(key, "serveradmin", "not base64!") is None
    assert delegation.opens("short", "serveradmin", token) is None
