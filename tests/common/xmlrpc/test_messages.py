import time
import xmlrpc.client
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.xmlrpc import (
    CALL_LIMITS,
    I8,
    EncodedParts,
    Fault,
    FaultCode,
    Limits,
    Malformed,
    Value,
    decode_call,
    decode_response,
    encode_call,
    encode_fault,
    encode_response,
    encode_text,
)

texts = st.text(st.characters(max_codepoint=0xFFFD, exclude_categories=["Cs", "Cc"], include_characters="\t\n\r"))
scalars = (
    texts
    | st.integers(-(2**31), 2**31 - 1)
    | st.integers(-(2**63), 2**63 - 1).map(I8)
    | st.booleans()
    | st.none()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.binary()
    | st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1)).map(lambda moment: moment.replace(microsecond=0))
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))


def call_of(value: str) -> bytes:
    """A call with one parameter, given as the XML inside of <param>."""
    params = f"<params><param>{value}</param></params>"
    return f"<methodCall><methodName>m</methodName>{params}</methodCall>".encode()


def shape(value: Value) -> object:
    """The value with its exact types, so that True is not 1 and 1 is not I8(1)."""
    if isinstance(value, list):
        return [shape(item) for item in value]
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    return type(value).__name__, value


@given(texts, st.lists(values, max_size=5))
def test_calls_round_trip(method: str, params: list[Value]) -> None:
    call = decode_call(encode_call(method, params))
    assert call.method == method
    assert shape(call.params) == shape(params)


@given(values)
def test_answers_round_trip(value: Value) -> None:
    assert shape(decode_response(encode_response(value))) == shape(value)


@given(st.integers(-(2**31), 2**31 - 1), texts)
def test_faults_round_trip(code: int, message: str) -> None:
    with pytest.raises(Fault) as fault:
        decode_response(encode_fault(code, message))
    assert (fault.value.code, fault.value.message) == (code, message)
    assert not isinstance(fault.value, Malformed)


@given(st.lists(texts | st.integers(-(2**31), 2**31 - 1) | st.booleans() | st.none() | st.lists(texts), max_size=4))
def test_a_common_client_and_we_understand_each_other(params: list[Value]) -> None:
    body = xmlrpc.client.dumps(tuple(params), "one.vm.info", allow_none=True).encode()
    expected = shape([p.replace("\r\n", "\n").replace("\r", "\n") if isinstance(p, str) else p for p in params])
    if not any(isinstance(param, list) for param in params):
        assert shape(decode_call(body).params) == expected
    answer, method = xmlrpc.client.loads(encode_call("m", params), use_builtin_types=True)
    assert (list(answer), method) == (params, "m")


def test_an_answer_of_the_daemon_is_an_array_of_int_types() -> None:
    body = encode_response([False, "[one.vm.info] Error", 1024, 7, I8(-1)])
    assert b"<boolean>0</boolean>" in body
    assert b"<i4>1024</i4>" in body
    assert b"<i8>-1</i8>" in body
    assert b"<i8>4294967296</i8>" in encode_response(2**32)


def test_text_encoded_once_is_sent_as_it_is() -> None:
    rendered = encode_text("<VM>&\x00\r</VM>")
    assert rendered == b"&lt;VM&gt;&amp;&#x0d;&lt;/VM&gt;"
    assert encode_response([True, rendered]) == encode_response([True, "<VM>&\r</VM>"])
    assert decode_response(encode_response(rendered)) == "<VM>&\r</VM>"
    assert encode_response([True, EncodedParts((rendered, rendered))]) == encode_response([True, 2 * "<VM>&\r</VM>"])


@pytest.mark.parametrize(
    ("xml", "value"),
    [
        ("<value>a b</value>", "a b"),
        ("<value> a </value>", " a "),
        ("<value/>", ""),
        ("<value><string/></value>", ""),
        ("<value>\n <string> x\n</string>\n</value>", " x\n"),
        ("<value><string>l1\r\nl2</string></value>", "l1\nl2"),
        ("<value><string>a&amp;b<![CDATA[<c>]]>&#233;</string></value>", "a&b<c>é"),
        ("<value><int>-7</int></value>", -7),
        ("<value><i4>2147483647</i4></value>", 2147483647),
        ("<value><i8>2147483648</i8></value>", I8(2147483648)),
        ("<value><ex:i8>1</ex:i8></value>", I8(1)),
        ("<value><boolean>1</boolean></value>", True),
        ("<value><double>-1.5</double></value>", -1.5),
        ("<value><nil/></value>", None),
        ("<value><ex:nil/></value>", None),
        ("<value><base64>\nQUI=\n</base64></value>", b"AB"),
        ("<value><dateTime.iso8601>20210102T03:04:05</dateTime.iso8601></value>", datetime(2021, 1, 2, 3, 4, 5)),
        ("<value><array><data/></array></value>", []),
        ("<value><array><data><value>1</value><value><int>1</int></value></data></array></value>", ["1", 1]),
        ("<value><struct><member><name>a</name><value>1</value></member></struct></value>", {"a": "1"}),
    ],
)
def test_values(xml: str, value: Value) -> None:
    assert shape(decode_call(call_of(xml)).params) == shape([value])


@pytest.mark.parametrize(
    "xml",
    [
        "<value><int>2147483648</int></value>",
        "<value><int></int></value>",
        "<value><int> 1</int></value>",
        "<value><int>1.0</int></value>",
        "<value><int>٣</int></value>",
        "<value><i8>9223372036854775808</i8></value>",
        f"<value><i8>{'9' * 10_000}</i8></value>",
        "<value><boolean>true</boolean></value>",
        "<value><double>nan</double></value>",
        "<value><base64>*</base64></value>",
        "<value><dateTime.iso8601>yesterday</dateTime.iso8601></value>",
        "<value><unknown>1</unknown></value>",
        "<value><int>1</int><int>2</int></value>",
        "<value><string><b>x</b></string></value>",
        "<value><array><value>1</value></array></value>",
        "<value><array><data><int>1</int></data></array></value>",
        "<value><struct><member><value>1</value></member></struct></value>",
        "<value><struct><int>1</int></struct></value>",
        "<string>x</string>",
        "",
    ],
)
def test_what_is_no_value_is_a_parse_fault(xml: str) -> None:
    with pytest.raises(Malformed, match=r"^fault -503: Call XML not a proper XML-RPC call\.  "):
        decode_call(call_of(xml))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"<methodCall>",
        b"<methodResponse/>",
        b"<methodCall/>",
        b"<methodCall><methodName>a</methodName><params><value>1</value></params></methodCall>",
        b"<methodCall><methodName>a</methodName></methodCall><more/>",
        b"<?xml version='1.0' encoding='shift-jis'?><methodCall><methodName>a</methodName></methodCall>",
        b"<?xml version='1.0' encoding='none-such'?><methodCall><methodName>a</methodName></methodCall>",
        b"<methodCall><methodName>\xff</methodName></methodCall>",
        b"<methodCall><methodName>&nbsp;</methodName></methodCall>",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><methodCall><methodName>&b;</methodName></methodCall>",
    ],
)
def test_what_is_no_call_is_a_parse_fault(body: bytes) -> None:
    with pytest.raises(Malformed) as fault:
        decode_call(body)
    assert fault.value.code == FaultCode.PARSE


def test_parse_faults_have_the_words_of_the_daemon() -> None:
    """As recorded from oned 6.8.0 for two calls of one.template.allocate."""
    call = xmlrpc.client.dumps(("oneadmin:opennebula", 'NAME = "\x01"'), "one.template.allocate")
    with pytest.raises(Fault) as fault:
        decode_call(call.encode())
    assert fault.value.message == (
        'Call XML not a proper XML-RPC call.  Call is not valid XML.  Invalid XML "content".  Problem with token at '
        "'\\x01\"</string></value>\\n</param>\\n</params>\\n<...': Invalid token, starting 0 bytes in"
    )
    with pytest.raises(Fault) as fault:
        decode_call(encode_call("one.template.allocate", ["oneadmin:opennebula", 'NAME = "\U0001f600"']))
    assert fault.value.message == (
        "Call XML not a proper XML-RPC call.  13-byte supposed UTF-8 string is not valid UTF-8.  UTF-8 string contains a "
        "character not in the Basic Multilingual Plane (first byte 0xfffffff0)"
    )


def test_characters_beyond_the_bmp_are_refused_at_any_depth_of_a_call_and_read_in_answers() -> None:
    for value in (["\U0001f600"], {"\U0001f600": 1}, [{"a": ["\U0001f600"]}]):
        with pytest.raises(Malformed, match="Basic Multilingual Plane"):
            decode_call(encode_call("m", [value]))
    assert decode_response(encode_response("\U0001f600")) == "\U0001f600"


def test_the_encoding_of_the_prolog_counts() -> None:
    prolog = "<?xml version='1.0' encoding='iso-8859-1'?>"
    body = (
        prolog + "<methodCall><methodName>m</methodName><params><param><value>é</value></param></params></methodCall>"
    )
    assert decode_call(body.encode("iso-8859-1")).params == ["é"]


def test_parameters_may_be_left_out() -> None:
    assert decode_call(b"<methodCall><methodName>m</methodName></methodCall>").params == []


def test_size_and_number_of_elements_are_bounded() -> None:
    body = encode_call("m", [["x"] * 100])
    with pytest.raises(Malformed) as fault:
        decode_call(body, Limits(size=100, depth=100, elements=1000))
    assert fault.value.code == FaultCode.LIMIT_EXCEEDED
    with pytest.raises(Malformed) as fault:
        decode_call(body, Limits(size=100_000, depth=100, elements=100))
    assert fault.value.code == FaultCode.LIMIT_EXCEEDED


def test_depth_is_bounded() -> None:
    deep: Value = "x"
    for _ in range(100):
        deep = [deep]
    with pytest.raises(Malformed, match=r"Nested data structure too deep\."):
        decode_call(encode_call("m", [deep]))


def test_a_long_text_is_read_in_linear_time() -> None:
    started = time.process_time()
    text = "<VM>" * (CALL_LIMITS.size // 32)
    assert decode_call(encode_call("m", [text])).params == [text]
    assert time.process_time() - started < 10


@pytest.mark.parametrize("value", [2**63, float("nan"), float("inf")])
def test_a_number_that_no_type_holds_is_not_sent(value: float) -> None:
    with pytest.raises(ValueError, match=r"XML-RPC|64 bits"):
        encode_response(value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<methodCall/>",
        b"<methodResponse/>",
        b"<methodResponse><params/></methodResponse>",
        b"<methodResponse><params><param><value/></param><param><value/></param></params></methodResponse>",
        b"<methodResponse><fault><value>x</value></fault></methodResponse>",
        b"<methodResponse><fault/></methodResponse>",
    ],
)
def test_what_is_no_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        decode_response(body)


@given(
    st.lists(
        st.sampled_from(
            [
                "<value>",
                "</value>",
                "<array>",
                "</array>",
                "<data>",
                "</data>",
                "<struct>",
                "</struct>",
                "<member>",
                "</member>",
                "<name>",
                "</name>",
                "<int>",
                "</int>",
                "1",
                "x",
                "&",
                "<nil/>",
                "<param>",
                "</param>",
                "<![CDATA[",
                "]]>",
                "<string>",
                "</string>",
                "<i8/>",
            ]
        )
    )
)
def test_any_markup_is_read_or_refused(pieces: list[str]) -> None:
    try:
        decode_call(call_of("".join(pieces)))
    except Malformed:
        return
