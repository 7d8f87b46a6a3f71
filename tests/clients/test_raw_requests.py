"""XML-RPC by hand, in the odd forms that clients send it: one right answer to all of them."""

from __future__ import annotations

import base64
import socket
import xmlrpc.client
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.support.oned import SESSION, Oned

pytestmark = pytest.mark.xdist_group("clients")

PROLOG = '<?xml version="1.0"?>'
INFO = (
    f"<methodCall><methodName>one.user.info</methodName><params><param><value><string>{SESSION}</string></value></param>"
    "<param><value><int>0</int></value></param></params></methodCall>"
)


@pytest.fixture
def url(oned: Oned) -> str:
    return f"http://127.0.0.1:{oned.port}/RPC2"


@pytest.fixture
def client() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def post(client: requests.Session, url: str, body: str | bytes, **options: Any) -> list[Any]:
    answer = client.post(url, data=body.encode() if isinstance(body, str) else body, timeout=10, **options)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/xml")
    (value,), _ = xmlrpc.client.loads(answer.content)
    assert isinstance(value, list)
    return value


def is_oneadmin(answer: list[Any]) -> bool:
    return answer[0] is True and "<NAME>oneadmin</NAME>" in answer[1] and answer[2] == 0


def call(method: str, *values: str) -> str:
    """`values` are what stands inside <value>."""
    params = "".join(f"<param><value>{value}</value></param>" for value in values)
    return f"{PROLOG}<methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>"


SPACED = INFO.replace("><", ">\r\n\t <").replace(f"\r\n\t <string>{SESSION}", f"<string>{SESSION}")
FORMS = {
    "without a prolog": INFO,
    "with a prolog": PROLOG + INFO,
    "with a byte order mark": "\ufeff" + PROLOG + INFO,
    "blanks after the document": PROLOG + INFO + "\r\n \n",
    "indented": PROLOG + "\n" + SPACED,
    "with comments": PROLOG + INFO.replace("<params>", "<!-- a <comment> --><params>"),
    "with a processing instruction": PROLOG + "<?style none?>" + INFO,
    "with attributes": PROLOG + INFO.replace("<int>", '<int note="x">'),
    "i4": PROLOG + INFO.replace("int>", "i4>"),
    "a signed zero": PROLOG + INFO.replace("<int>0", "<int>-0"),
    "leading zeros": PROLOG + INFO.replace("<int>0", "<int>000"),
    "an untyped session": call("one.user.info", SESSION, "<int>0</int>"),
    "a session in CDATA": call("one.user.info", f"<string><![CDATA[{SESSION}]]></string>", "<int>0</int>"),
    "half of it in CDATA": call("one.user.info", "<string>one<![CDATA[admin:open]]>nebula</string>", "<int>0</int>"),
    "character references": call("one.user.info", "<string>one&#97;dmin&#x3a;opennebula</string>", "<i4>0</i4>"),
    "too many arguments": call("one.user.info", SESSION, "<int>0</int>", "<boolean>0</boolean>", "more", "<nil/>"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_call_is_understood(form: str, client: requests.Session, url: str) -> None:
    assert is_oneadmin(post(client, url, FORMS[form]))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "us-ascii"])
def test_the_encoding_is_what_the_prolog_says(encoding: str, client: requests.Session, url: str) -> None:
    name = f"enc-{encoding}" + ("" if encoding == "us-ascii" else "-é")
    template = f"<string>NAME = &quot;{name}&quot;\nCPU = 1\nMEMORY = 1\nTEXT = &quot;ß&#223;&#8364;&quot;</string>"
    if encoding == "us-ascii":
        template = template.replace("ß", "&#xdf;")
    body = call("one.template.allocate", SESSION, template).replace(
        PROLOG, f'<?xml version="1.0" encoding="{encoding}"?>'
    )
    made = post(client, url, body.encode(encoding))
    assert made[0] is True, made
    shown = post(client, url, call("one.template.info", SESSION, f"<int>{made[1]}</int>"))[1]
    assert f"<NAME>{name}</NAME>" in shown
    assert "<TEXT><![CDATA[ßß€]]></TEXT>" in shown


def test_values_are_taken_by_type_and_not_by_looks(client: requests.Session, url: str) -> None:
    for wrong in ("<string>0</string>", "0", "<i8>0</i8>", "<double>0</double>", "<boolean>0</boolean>", "<nil/>"):
        with pytest.raises(xmlrpc.client.Fault, match="supposed to be integer"):
            post(client, url, call("one.user.info", SESSION, wrong))
    with pytest.raises(xmlrpc.client.Fault) as missing:
        post(client, url, call("one.vm.action", SESSION))
    assert missing.value.faultCode == -501
    with pytest.raises(xmlrpc.client.Fault) as unknown:
        post(client, url, call("one.vm.fly", SESSION))
    assert unknown.value.faultCode == -506


def test_i8_is_a_type_of_its_own_for_those_who_send_it(client: requests.Session, url: str) -> None:
    refused = post(client, url, call("one.user.info", f"{SESSION}x", "<int>0</int>"))
    assert refused == [False, "[one.user.info] User couldn't be authenticated, aborting call.", 256, -1, -1]
    big = call("one.user.info", SESSION, "<int>99999999999</int>")
    with pytest.raises(xmlrpc.client.Fault):
        post(client, url, big)


BROKEN = {
    "nothing like XML": b"GET ME ONE",
    "cut off": INFO[:-30].encode(),
    "a binary": bytes(range(256)),
    "an entity bomb": (
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><methodCall><methodName>&b;</methodName></methodCall>'
    ),
    "a file entity": b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><methodCall><methodName>&a;</methodName></methodCall>',
    "another root": b"<methodResponse><params/></methodResponse>",
    "no method": b"<methodCall><params/></methodCall>",
    "an unknown type": call("one.user.info", "<number>1</number>").encode(),
    "two values in a param": call("one.user.info", "</value><value>").encode(),
    "an odd boolean": call("one.user.info", SESSION, "<boolean>yes</boolean>").encode(),
    "a lie about the encoding": f'<?xml version="1.0" encoding="utf-8"?>{INFO}'.replace("admin", "ädmin").encode(
        "latin-1"
    ),
    "an unheard-of encoding": f'<?xml version="1.0" encoding="klingon"?>{INFO}'.encode(),
    "a deep nest": call("one.user.info", "<array><data><value>" * 5000).encode(),
}


@pytest.mark.parametrize("sort", BROKEN)
def test_broken_calls_are_answered_with_a_fault(sort: str, client: requests.Session, url: str) -> None:
    with pytest.raises(xmlrpc.client.Fault) as fault:
        post(client, url, BROKEN[sort])
    assert fault.value.faultCode in (-503, -509, -510)
    assert "root:" not in fault.value.faultString
    assert is_oneadmin(post(client, url, INFO))


def test_no_content_type_or_any_is_fine(client: requests.Session, url: str) -> None:
    for kind in (None, "text/plain", "application/x-www-form-urlencoded", "text/xml; charset=iso-8859-1"):
        assert is_oneadmin(post(client, url, INFO, headers={"Content-Type": kind}))


def test_chunked_bodies_are_put_together(client: requests.Session, url: str) -> None:
    body = INFO.encode()
    answer = client.post(url, data=iter([body[:1], body[1:50], body[50:51], body[51:]]), timeout=10)
    assert is_oneadmin(xmlrpc.client.loads(answer.content)[0][0])  # type: ignore[arg-type]


def test_a_connection_serves_many_calls_and_faults_do_not_end_it(client: requests.Session, url: str) -> None:
    adapter = client.get_adapter(url)
    for _ in range(20):
        assert is_oneadmin(post(client, url, INFO))
        with pytest.raises(xmlrpc.client.Fault):
            post(client, url, "<")
    pools = adapter.poolmanager.pools  # type: ignore[attr-defined]
    assert [pools[key].num_connections for key in pools.keys()] == [1]  # noqa: SIM118


def test_other_paths_and_verbs_are_refused_politely(client: requests.Session, url: str) -> None:
    assert client.post(url.replace("/RPC2", "/"), data=INFO, timeout=5).status_code == 404
    assert client.post(url.replace("/RPC2", "/RPC3"), data=INFO, timeout=5).status_code == 404
    for verb in ("GET", "PUT", "DELETE", "PATCH"):
        assert client.request(verb, url, timeout=5).status_code == 405
    assert client.post(url, data=b"", timeout=5).status_code == 400


def exchange(port: int, *parts: bytes) -> bytes:
    """Everything that comes back until the server closes; each part after the first is sent when something has come."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        received = b""
        for part in parts:
            connection.sendall(part)
            if part is not parts[-1]:
                received += connection.recv(65536)
        connection.shutdown(socket.SHUT_WR)
        while data := connection.recv(65536):
            received += data
    return received


def test_http_1_0_is_answered_and_closed(oned: Oned) -> None:
    body = INFO.encode()
    answer = exchange(oned.port, b"POST /RPC2 HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    assert answer.startswith(b"HTTP/1.0 200")
    assert b"connection: close" in answer.lower()
    assert b"oneadmin" in answer


def test_expect_continue_is_granted(oned: Oned) -> None:
    body = INFO.encode()
    head = b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
    answer = exchange(oned.port, head, body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


def test_requests_sent_ahead_are_answered_in_order(oned: Oned) -> None:
    bodies = [INFO.replace("<int>0", f"<int>{number}").encode() for number in (0, 1, 0)]
    requests_ahead = b"".join(
        b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body) for body in bodies
    )
    answer = exchange(oned.port, requests_ahead)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    names = [part.split(b"&lt;/NAME&gt;")[0] for part in answer.split(b"&lt;NAME&gt;")[1:]]
    assert names == [b"oneadmin", b"serveradmin", b"oneadmin"]


def test_a_body_in_drops_is_waited_for(oned: Oned) -> None:
    body = INFO.encode()
    with socket.create_connection(("127.0.0.1", oned.port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(b"POST /RPC2 HTTP/1.0\r\ncontent-LENGTH:%d\r\n\r\n" % len(body))
        for at in range(0, len(body), 7):
            connection.sendall(body[at : at + 7])
        assert b"oneadmin" in connection.recv(65536)


def test_text_is_carried_byte_for_byte(client: requests.Session, url: str) -> None:
    text = "tab\there, \u00e9\u4e2d\uffdd, <b>&amp;</b> 'x' ]] >"
    made = post(client, url, call("one.document.allocate", SESSION, "<string>NAME = text</string>", "<int>7</int>"))[1]
    body = xmlrpc.client.dumps((SESSION, made, f'TEXT = "{text}"', 1), "one.document.update")
    assert post(client, url, body)[0] is True
    assert (
        f"<TEXT><![CDATA[{text}]]></TEXT>"
        in post(client, url, call("one.document.info", SESSION, f"<int>{made}</int>"))[1]
    )


def test_base64_dates_and_structs_are_values_that_no_method_wants(client: requests.Session, url: str) -> None:
    for value in (
        f"<base64>{base64.b64encode(b'0').decode()}</base64>",
        "<dateTime.iso8601>20260101T00:00:00</dateTime.iso8601>",
        "<struct><member><name>a</name><value>b</value></member></struct>",
        "<array><data><value><int>0</int></value></data></array>",
    ):
        with pytest.raises(xmlrpc.client.Fault) as fault:
            post(client, url, call("one.user.info", SESSION, value))
        assert fault.value.faultCode == -501
