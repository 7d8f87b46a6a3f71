import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.common.template import Template, TemplateError, Vector, cdata, escape, parse

names = st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: not name.startswith("XML") and name != "NAME"
)
xml_text = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff", include_characters="\t\n")
)
plain_text = xml_text.filter(lambda text: "]]>" not in text and not text.endswith("\\"))


def templates(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Template]:
    vectors = st.dictionaries(names, texts, min_size=1, max_size=4).map(Vector.of)
    return st.lists(st.tuples(names, texts | vectors), max_size=8).map(Template.of)


def test_merge_replaces_every_attribute_of_each_name_given() -> None:
    old = parse("A = 1\nA = 2\nB = x\nV = [ P = 1, Q = 2 ]\nV = [ P = 3 ]\nW = [ R = 1 ]")
    new = parse('A = 9\nV = [ S = 5 ]\nW = single\nC = 1\nC = 2\nB = ""')
    assert old.merge(new) == parse("A = 9\nB =\nC = 1\nC = 2\nV = [ S = 5 ]\nW = single")
    assert old.merge(Template()) == old


def test_reading() -> None:
    template = parse('A = 1\nA = 2\nE = ""\nV = [ K = v, E = "" ]\nV = [ K = w ]\nM = [ K = v ]\nM = text')
    assert template.get("A") == "1"
    assert template.get("M") == "text"
    assert template.get("V") == ""
    assert template.get("NONE", None) is None
    assert template.get_all("M") == (Vector.of(K="v"), "text")
    assert template.singles("M") == ("text",)
    assert [vector["K"] for vector in template.vectors("V")] == ["v", "w"]
    assert template.vector("V") == Vector.of(K="v", E="")
    assert template.vector("A") is None
    assert template.has("E")
    assert "NONE" not in template
    assert template.names() == ("A", "E", "M", "V")
    assert len(template) == 7
    vector = template.vectors("V")[0]
    assert vector.has("E")
    assert not vector.has("F")
    assert "E" in vector
    assert vector.to_dict() == dict(vector) == {"E": "", "K": "v"}
    with pytest.raises(KeyError):
        vector["F"]


def test_typed_reading_takes_whole_values_only() -> None:
    template = parse("I = 12\nN = -3\nF = 12.7\nW = 12a\nE =\nY = yes\nO = no\nX = nan\nB = 1e3")
    assert [template.get_int(name) for name in "INFWEX"] == [12, -3, None, None, None, None]
    assert template.get_int("NONE", -1) == -1
    assert [template.get_float(name) for name in "IFWXB"] == [12.0, 12.7, None, None, 1000.0]
    assert [template.get_bool(name) for name in "YOEI"] == [True, False, False, False]
    assert template.get_bool("NONE") is None
    assert template.get_bool("NONE", True) is True
    assert Vector.of(SIZE="10").get_int("SIZE") == 10
    assert Vector.of(SIZE="9" * 10_000).get_int("SIZE") is None
    assert Vector.of(SIZE=str(2**63)).get_int("SIZE") is None
    assert Vector.of(SIZE=str(-(2**63))).get_int("SIZE") == -(2**63)


def test_every_change_is_a_new_template() -> None:
    template = parse("A = 1\nA = 2\nB = 3")
    assert template.with_set("A", "9") == parse("A = 9\nB = 3")
    assert template.with_set("A") == template.without("A") == parse("B = 3")
    assert template.with_added("A", Vector.of(K="v")) == parse("A = 1\nA = 2\nA = [ K = v ]\nB = 3")
    assert template.only("B") == parse("B = 3")
    assert template == parse("A = 1\nA = 2\nB = 3")
    vector = Vector.of({"B": "1", "A": "2"})
    assert vector.with_set("C", "3").pairs == (("A", "2"), ("B", "1"), ("C", "3"))
    assert vector.with_set("A", "3").without("B") == Vector.of(A="3")
    assert (
        vector.merged({"A": "x", "C": "y"}) == vector.merged(Vector.of(A="x", C="y")) == Vector.of(A="x", B="1", C="y")
    )


def test_erase_empty() -> None:
    template = Template.of({"A": "", "B": "1", "V": Vector.of(K="", L="1"), "W": Vector.of(K="")})
    assert template.erase_empty() == Template.of({"B": "1", "V": Vector.of(L="1")})


def test_markup_helpers_never_let_text_out() -> None:
    assert cdata("a<b") == "<![CDATA[a<b]]>"
    assert cdata("a]]>b") == "<![CDATA[a]]]]><![CDATA[>b]]>"
    assert escape("<a & b>") == "&lt;a &amp; b&gt;"
    assert Template.of(A="1").to_xml("USER_TEMPLATE") == "<USER_TEMPLATE><A><![CDATA[1]]></A></USER_TEMPLATE>"


def test_a_value_that_ends_in_a_backslash() -> None:
    assert parse(Template.of(A="C:\\dir\\", B="x").to_text()) == Template.of(A="C:\\dir\\", B="x")
    assert parse(Template.of(A="my dir\\", B="x").to_text()) == Template.of(A="my dir\\ ", B="x")


@given(templates(plain_text))
@example(Template.of({"A": '\\"', "V": Vector.of(K='"', L=""), "W": "a\\b"}))
def test_text_notation_round_trips(template: Template) -> None:
    assert parse(template.to_text()) == template


@given(templates(xml_text))
@example(Template.of({"A": "]]>]]>", "B": "]]", "C": ""}))
def test_xml_notation_round_trips(template: Template) -> None:
    assert parse(template.to_xml()) == template


@given(templates(xml_text))
def test_message_pack_round_trips(template: Template) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(template), type=Template) == template


@given(templates(plain_text), templates(plain_text))
def test_merge_keeps_order_and_everything_new(old: Template, new: Template) -> None:
    merged = old.merge(new)
    assert list(merged.attributes) == sorted(merged.attributes, key=lambda item: item[0])
    assert merged.only(*new.names()) == new
    assert merged.without(*new.names()) == old.without(*new.names())


@given(st.text(alphabet=st.sampled_from('AaZ1_="\\[],# \t\n<>&;]é\r/!CDATA')) | st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        template = parse(text)
    except TemplateError:
        return
    assert parse(template.to_xml()) == template.without_empty_vectors()


@given(
    st.lists(st.sampled_from(["<A>", "</A>", "<B/>", "<![CDATA[", "]]>", "x", "&lt;", "&", "<!--", "-->", "<?xml ?>"]))
)
def test_any_markup_is_read_or_refused(pieces: list[str]) -> None:
    try:
        parse("<T>" + "".join(pieces) + "</T>")
    except TemplateError:
        return
