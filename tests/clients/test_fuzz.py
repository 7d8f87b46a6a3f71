"""Whatever is sent: the daemon answers it, soon, in its own words, and goes on; its memory stays within bounds.

Seeded. ONELITE_FUZZ_CALLS=100000 makes each seed longer, by hand.
"""

from __future__ import annotations

import http.client
import os
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.common.template import TemplateError, parse
from services.oned_lite.api.catalogue import METHODS
from tests.clients import fuzzing
from tests.support.oned import Oned, solo, until

CALLS = int(os.environ.get("ONELITE_FUZZ_CALLS", "5000"))
SLOWEST_S = 5.0
GROWTH_MAX_KB = 200 * 1024

pytestmark = [pytest.mark.xdist_group("clients"), pytest.mark.timeout(120 + CALLS // 50)]


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Oned]:
    """With enough in it for calls by chance to meet something."""
    oned = solo(tmp_path).start()
    try:
        oned.ready()
        furnish(oned)
        yield oned
    finally:
        oned.kill()


def furnish(oned: Oned) -> None:
    for method, *arguments in (
        ("one.host.allocate", "node", "dummy", "dummy", 0),
        ("one.datastore.allocate", "NAME = sys\nTYPE = SYSTEM_DS\nTM_MAD = dummy", 0),
        ("one.datastore.allocate", "NAME = imgs\nTYPE = IMAGE_DS\nDS_MAD = dummy\nTM_MAD = dummy", 0),
        ("one.user.allocate", "alice", "secret", "core", []),
        ("one.vn.allocate", "NAME = lan\nVN_MAD = bridge\nBRIDGE = b\nAR = [ TYPE = IP4, IP = 10.0.0.2, SIZE = 9 ]", 0),
        ("one.template.allocate", "NAME = t\nCPU = 0.1\nMEMORY = 16\nNIC = [ NETWORK_ID = 0 ]"),
        ("one.vmgroup.allocate", "NAME = g\nROLE = [ NAME = a ]"),
        ("one.document.allocate", "NAME = d", 100),
        ("one.backupjob.allocate", 'NAME = j\nBACKUP_VMS = "0"'),
    ):
        assert oned.call(method, *arguments)[0], method
    until(lambda: "<FREE_MB>0<" not in oned.call("one.datastore.info", 101)[1])
    assert oned.call("one.image.allocate", "NAME = i\nTYPE = DATABLOCK\nSIZE = 1", 101)[0]
    until(lambda: "<STATE>2<" in oned.call("one.host.info", 0)[1])
    until(lambda: "<STATE>1<" in oned.call("one.image.info", 0)[1])
    vm = "CPU = 0.1\nMEMORY = 16\nDISK = [ IMAGE_ID = 0 ]\nDISK = [ TYPE = fs, SIZE = 1 ]\nNIC = [ NETWORK_ID = 0 ]"
    for number in range(3):
        assert oned.call("one.vm.allocate", vm, True)[0]
        assert oned.call("one.vm.deploy", number, 0, False, 100)[0]
        until(lambda number=number: "<LCM_STATE>3<" in oned.call("one.vm.info", number)[1])


def memory_kb(oned: Oned) -> int:
    assert oned.process is not None
    status = Path(f"/proc/{oned.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def is_well(oned: Oned) -> None:
    assert oned.alive()
    assert oned.call("one.user.info", 0)[0] is True


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_calls_by_chance_are_all_answered(seed: int, target: Oned) -> None:
    chance = random.Random(seed)
    before_kb = memory_kb(target)
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=30)
    for number in range(CALLS):
        body = fuzzing.body(chance, METHODS)
        began = time.monotonic()
        connection.request("POST", "/RPC2", body, {"Content-Type": "text/xml"})
        answer = connection.getresponse()
        document = answer.read()
        status = (200, 400) if not body else (200,)
        assert answer.status in status, (number, body[:500], answer.status)
        fault = fuzzing.verdict(document) if answer.status == 200 else ""
        assert not fault, (number, body[:2000], fault, target.log.read_text()[-3000:])
        assert time.monotonic() - began < SLOWEST_S, (number, body[:500])
    connection.close()
    is_well(target)
    assert memory_kb(target) - before_kb < GROWTH_MAX_KB
    assert "Traceback" not in target.log.read_text()


def test_bytes_by_chance_do_not_disturb_other_connections(target: Oned) -> None:
    chance = random.Random(21)
    good = b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: identity\r\n\r\n<a"
    for _ in range(300):
        with socket.create_connection(("127.0.0.1", target.port), timeout=10) as connection:
            connection.settimeout(5)
            try:
                connection.sendall(fuzzing.hurt(chance, good))
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
            except (ConnectionError, BrokenPipeError):
                continue  # refused while we were still sending
    is_well(target)


def test_large_and_deep_calls_leave_no_trace_in_memory(target: Oned) -> None:
    before_kb = memory_kb(target)
    deep = b"<methodCall><methodName>m</methodName><params>" + b"<param><value><array><data>" * 20_000
    wide = (
        b"<methodCall><methodName>m</methodName><params>"
        + b"<param><value/></param>" * 200_000
        + b"</params></methodCall>"
    )
    long = b"<methodCall><methodName>one.vm.info</methodName><params><param><value>" + b"a" * (16 << 20)
    long += b"</value></param></params></methodCall>"
    for body in (deep, wide, long) * 3:
        connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=30)
        connection.request("POST", "/RPC2", body)
        assert fuzzing.verdict(connection.getresponse().read()) in ("",)
        connection.close()
    is_well(target)
    assert memory_kb(target) - before_kb < GROWTH_MAX_KB


@pytest.mark.parametrize("seed", [31, 32])
def test_the_template_parser_reads_or_refuses_anything_at_once(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(CALLS):
        text = fuzzing.template(chance)
        if chance.random() < 0.5:
            text = fuzzing.hurt(chance, text.encode()).decode("utf-8", "replace")
        began = time.process_time()
        try:
            read = parse(text)
        except TemplateError:
            continue
        finally:
            assert time.process_time() - began < 1.0, text[:500]
        assert read.to_xml().startswith("<TEMPLATE>")
        parse(read.to_text())
