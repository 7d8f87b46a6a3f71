"""The event stream as its subscribers see it: OpenNebula's keys and messages, from the leader alone."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
import zmq

from tests.support.oned import Oned, OnedZone, solo, until
from tests.support.ports import free_port

TIMEOUT_MS = 20_000


class Subscriber:
    """Follows the streams of some ports, for the keys that begin with one of `prefixes`."""

    def __init__(self, *ports: int, prefixes: tuple[str, ...] = ("EVENT ",)) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.set(zmq.RCVTIMEO, TIMEOUT_MS)
        self._socket.set(zmq.LINGER, 0)
        for prefix in prefixes:
            self._socket.subscribe(prefix)
        for port in ports:
            self._socket.connect(f"tcp://127.0.0.1:{port}")

    def next(self) -> tuple[str, ET.Element]:
        key, body = self._socket.recv_multipart()
        return key.decode(), ET.fromstring(base64.b64decode(body, validate=True))

    def wait_for(self, wanted: str) -> ET.Element:
        """The next message under that key."""
        while True:
            key, body = self.next()
            if key == wanted:
                return body

    def connected(self, oned: Oned) -> None:
        """Subscriptions take a moment to reach a publisher: provokes events until one arrives."""
        until(lambda: oned.call("one.template.delete", 10_000)[0] is False and self._socket.poll(100))
        while self._socket.poll(200):
            self._socket.recv_multipart()

    def close(self) -> None:
        self._socket.close()
        self._context.term()


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def oned(tmp_path: Path, port: int) -> Iterator[Oned]:
    one = solo(tmp_path, "--no-scheduler", "--events", f"127.0.0.1:{port}").start().ready()
    yield one
    one.kill()


@pytest.fixture
def subscriber(oned: Oned, port: int) -> Iterator[Subscriber]:
    one = Subscriber(port)
    one.connected(oned)
    yield one
    one.close()


def text(message: ET.Element, path: str) -> str:
    return message.findtext(path) or ""


def test_a_call_is_told_with_what_it_was_given_and_answered(oned: Oned, subscriber: Subscriber) -> None:
    oid = oned.call("one.template.allocate", "NAME = gold")[1]
    message = subscriber.wait_for("EVENT API one.template.allocate 1")
    assert (text(message, "HOOK_TYPE"), text(message, "CALL")) == ("API", "one.template.allocate")
    parameters = [(text(one, "TYPE"), text(one, "VALUE")) for one in message.iterfind("CALL_INFO/PARAMETERS/PARAMETER")]
    assert parameters == [("IN", "****"), ("IN", "NAME = gold"), ("OUT", "true"), ("OUT", str(oid)), ("OUT", "0")]
    assert text(message, "CALL_INFO/EXTRA/VMTEMPLATE/NAME") == "gold"


def test_a_refused_call_is_told_as_such(oned: Oned, subscriber: Subscriber) -> None:
    oned.call("one.template.rename", 77, "silver")
    message = subscriber.wait_for("EVENT API one.template.rename 0")
    assert text(message, "CALL_INFO/RESULT") == "0"


def test_passwords_are_not_told(oned: Oned, subscriber: Subscriber) -> None:
    oned.call("one.user.allocate", "eve", "a-secret-word", "core", [])
    message = subscriber.wait_for("EVENT API one.user.allocate 1")
    assert "a-secret-word" not in ET.tostring(message, encoding="unicode")


def test_reads_and_strangers_make_no_events(oned: Oned, subscriber: Subscriber) -> None:
    oned.call("one.templatepool.info", -2, -1, -1)
    oned.call("one.template.allocate", "NAME = x", session="oneadmin:wrong")
    oned.call("one.template.allocate", "NAME = last")
    assert subscriber.next()[0] == "EVENT API one.template.allocate 1"


def test_a_state_is_told_under_two_keys_with_the_object(oned: Oned, subscriber: Subscriber) -> None:
    host = oned.call("one.host.allocate", "h1", "dummy", "dummy", 0)[1]
    by_object, by_state = f"EVENT HOST {host}/MONITORED/ ", f"EVENT STATE HOST/MONITORED//{host} "
    message = subscriber.wait_for(by_object)
    assert subscriber.next()[0] == by_state
    found = [text(message, name) for name in ("HOOK_TYPE", "HOOK_OBJECT", "STATE", "RESOURCE_ID", "REMOTE_HOST")]
    assert found == ["STATE", "HOST", "MONITORED", str(host), "h1"]
    assert text(message, "HOST/NAME") == "h1"


def test_a_vm_of_a_service_is_told_under_the_service_too(oned: Oned, subscriber: Subscriber) -> None:
    vm = oned.call("one.vm.allocate", "NAME=a\nCPU=1\nMEMORY=64\nSERVICE_ID=12", True)[1]
    message = subscriber.wait_for("EVENT SERVICE 12 ")
    found = [text(message, name) for name in ("HOOK_OBJECT", "STATE", "LCM_STATE", "RESOURCE_ID", "SERVICE_ID")]
    assert found == ["VM", "HOLD", "LCM_INIT", str(vm), "12"]


def test_a_huge_call_is_left_out(oned: Oned, subscriber: Subscriber) -> None:
    oned.call("one.template.allocate", f"NAME = huge\nNOTE = {'x' * (1 << 20)}")
    oned.call("one.template.allocate", "NAME = small")
    message = subscriber.wait_for("EVENT API one.template.allocate 1")
    assert text(message, "CALL_INFO/EXTRA/VMTEMPLATE/NAME") == "small"


def test_a_taken_address_is_named_at_the_start(tmp_path: Path, oned: Oned, port: int) -> None:
    (tmp_path / "other").mkdir()
    other = solo(tmp_path / "other", "--events", f"127.0.0.1:{port}").start()
    assert other.process is not None
    assert other.process.wait(timeout=20) == 1
    assert f"events: cannot publish on 127.0.0.1:{port}" in other.log.read_text()


def test_whoever_leads_publishes(tmp_path: Path) -> None:
    zone = OnedZone(tmp_path)
    ports = [free_port() for _ in zone.servers]
    for path, port in zip(sorted(tmp_path.glob("server*.yaml")), ports, strict=True):
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"events": f"127.0.0.1:{port}"}))
    subscriber = Subscriber(*ports, prefixes=("EVENT API one.template.",))
    try:
        zone.start()
        subscriber.connected(zone.followers()[0])
        assert zone.followers()[0].call("one.template.allocate", "NAME = before")[0] is True
        assert subscriber.next()[0] == "EVENT API one.template.allocate 1"
        zone.leader().kill()
        subscriber.connected(zone.leader())
        assert zone.leader().call("one.template.allocate", "NAME = after")[0] is True
        message = subscriber.wait_for("EVENT API one.template.allocate 1")
        assert text(message, "CALL_INFO/EXTRA/VMTEMPLATE/NAME") == "after"
    finally:
        subscriber.close()
        zone.kill()
