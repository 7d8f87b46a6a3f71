"""The text notation. The expected XML is what a real oned 6.8.0 stored for the same text."""

import time

import pytest

from services.common.template import TemplateError, parse


def one(name: str, value: str) -> str:
    return f"<{name}><![CDATA[{value}]]></{name}>"


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        pytest.param("", "", id="nothing"),
        pytest.param("   ", "", id="blanks"),
        pytest.param("#only comment\n", "", id="comment only"),
        pytest.param("A=1", one("A", "1"), id="no blanks around ="),
        pytest.param("\n  A  =  1  \n", one("A", "1"), id="blanks everywhere"),
        pytest.param("# c\nA = 1 # c\n  # c\nB = 2\n", one("A", "1") + one("B", "2"), id="comments"),
        pytest.param("#A = 1", one("A", "1"), id="comment without newline on the last line is none"),
        pytest.param('A = "x # y"', one("A", "x # y"), id="hash in quotes"),
        pytest.param('A = "l1\nl2\nl3"', one("A", "l1\nl2\nl3"), id="quoted over lines"),
        pytest.param(r'A = "say \"hi\" there"', one("A", 'say "hi" there'), id="escaped quotes"),
        pytest.param(r'A = "back\slash \n \\ end"', one("A", r"back\slash \n \\ end"), id="other backslashes stay"),
        pytest.param('A = ""\nB =\nC = 3', one("A", "") + one("B", "") + one("C", "3"), id="empty values"),
        pytest.param("A = 1\nA = 2\na = 3\nA = 1", "".join(one("A", v) for v in "1231"), id="repeated names"),
        pytest.param("lower = x\nMiXeD = y", one("LOWER", "x") + one("MIXED", "y"), id="upper case"),
        pytest.param(
            "A = un'quo;ted:/.$%&*()!@?+-_\n", one("A", "un'quo;ted:/.$%&*()!@?+-_"), id="marks in a bare word"
        ),
        pytest.param("A = ünï\nB = 漢✓", one("A", "ünï") + one("B", "漢✓"), id="beyond ASCII"),
        pytest.param(
            'A = "<b>&amp; \'q\' > \\""\nB = "]]"', one("A", "<b>&amp; 'q' > \"") + one("B", "]]"), id="markup"
        ),
        pytest.param("A_1 = 1\n1A = 2\n_B = 3", one("A_1", "1") + one("ONE_1A", "2") + one("_B", "3"), id="odd names"),
        pytest.param("xml = 1\nXmlA = 2", one("ONE_XML", "1") + one("ONE_XMLA", "2"), id="names XML reserves"),
        pytest.param(
            'A = 1 B = "2" C = [ D = 3 ] E = 4',
            one("A", "1") + one("B", "2") + "<C>" + one("D", "3") + "</C>" + one("E", "4"),
            id="all on one line",
        ),
        pytest.param('A = "  padded  "', one("A", "  padded  "), id="blanks in quotes"),
        pytest.param('NAME = "  n  "', one("NAME", "  n"), id="NAME loses trailing blanks"),
        pytest.param('T\t=\t"a\tb"', one("T", "a\tb"), id="tabs"),
        pytest.param('A = "unterminated', one("A", '"unterminated'), id="unterminated quote"),
        pytest.param("A = 'single'", one("A", "'single'"), id="single quotes are no quotes"),
        pytest.param('A = "b=c"\nV=[X="y=z"]', one("A", "b=c") + "<V>" + one("X", "y=z") + "</V>", id="= in quotes"),
        pytest.param('A = "x"y\nB = 1', one("A", '"x"y') + one("B", "1"), id="a longer bare word wins over quotes"),
        pytest.param(r'A = "x y\"', one("A", "x y\\"), id="last escaped quote closes when no other does"),
        pytest.param("- ; A = 1 ' ü", one("A", "1"), id="marks between attributes are passed over"),
        pytest.param('A = 1\r\nB = "x\r\ny\rz"\r\n', one("A", "1") + one("B", "x\ny\nz"), id="other line ends"),
        pytest.param("B = 1\nA = 2", one("A", "2") + one("B", "1"), id="sorted by name"),
    ],
)
def test_text_is_stored_as_by_oned(text: str, stored: str) -> None:
    assert parse(text).to_xml() == f"<TEMPLATE>{stored}</TEMPLATE>"


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        pytest.param('V = [ A = 1, B = "two words", C = "3" ]', {"A": "1", "B": "two words", "C": "3"}, id="plain"),
        pytest.param(
            "V=[D=1,B=2,\n  C=3 ,\n A = 4 ]", {"A": "4", "B": "2", "C": "3", "D": "1"}, id="sorted, over lines"
        ),
        pytest.param("V = [ A = 1, A = 2, a = 3 ]", {"A": "1"}, id="first of a repeated key"),
        pytest.param('V = [ A = "multi\nline", B = "q\\"q" ]', {"A": "multi\nline", "B": 'q"q'}, id="quotes"),
        pytest.param('V = [ A = "" ]', {"A": ""}, id="empty value"),
        pytest.param("V = [ ]", {}, id="no keys"),
    ],
)
def test_vectors(text: str, stored: dict[str, str]) -> None:
    (vector,) = parse(text).vectors("V")
    assert list(vector) == list(stored.items())


def test_vectors_of_one_name_keep_their_order() -> None:
    template = parse("V = [ A = 2 ]\nW = 1\nv = [ A = 1 ]")
    assert [vector.get("A") for vector in template.vectors("V")] == ["2", "1"]


@pytest.mark.parametrize(
    "text",
    ['A = "]]>"', "A = x]]>y\n", 'V = [ A = "]]>" ]', 'A = "\x01"', "A = \x00", 'A = "\ud800"'],
)
def test_text_that_cannot_stand_in_xml_is_refused(text: str) -> None:
    with pytest.raises(TemplateError, match=r"^Parse error\.$"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A = 1, B = 2", "unexpected COMMA, expecting VARIABLE at line 1, columns 5:7"),
        ("A = 1\n\nB C", "unexpected VARIABLE, expecting EQUAL or EQUAL_EMPTY at line 3, columns 2:3"),
        ("A =", "unexpected end of file, expecting STRING or OBRACKET"),
        ("A", "unexpected end of file, expecting EQUAL or EQUAL_EMPTY"),
        ("= 1", "unexpected EQUAL, expecting VARIABLE"),
        ("V = [ A = 1", "unexpected end of file, expecting COMMA or CBRACKET"),
        ("V = [ A = 1, ]", "unexpected CBRACKET, expecting VARIABLE"),
        ("V = [ A = [ B = 1 ] ]", "unexpected OBRACKET, expecting STRING"),
        ("V = [ A =\n B = 1 ]", "unexpected EQUAL_EMPTY, expecting EQUAL"),
        ("]", "unexpected CBRACKET, expecting VARIABLE"),
    ],
)
def test_errors_name_what_was_met_where(text: str, message: str) -> None:
    with pytest.raises(TemplateError) as error:
        parse(text)
    assert str(error.value).startswith("Parse error: syntax error, ")
    assert message in str(error.value)


def test_a_key_that_starts_with_a_digit_has_no_xml() -> None:
    with pytest.raises(TemplateError, match=r"^Error transforming the Template to XML\.$"):
        parse("V = [ 1A = 2 ]")


@pytest.mark.parametrize(
    "text",
    [
        "#" * 1_000_000,
        " " * 1_000_000,
        "A = #" + " " * 1_000_000,
        "A = " + '"' * 1_000_000,
        'A = "' + '\\"' * 500_000,
        'A = "' + "\\" * 1_000_000,
        "]" + "[" * 1_000_000,
        "\n#" * 500_000,
        "=" * 1_000_000,
        "- " * 500_000,
    ],
    ids=lambda text: text[:6],
)
def test_hostile_text_is_read_in_linear_time(text: str) -> None:
    started = time.process_time()
    try:
        parse(text)
    except TemplateError:
        pass
    assert time.process_time() - started < 10  # a quadratic scan of a million characters takes minutes


def test_size_and_number_of_attributes_are_bounded() -> None:
    with pytest.raises(TemplateError, match="longer than"):
        parse("A" * 9_000_000)
    with pytest.raises(TemplateError, match="more than"):
        parse("A=1\n" * 20_001)
    with pytest.raises(TemplateError, match="more than"):
        parse("V=[" + ",".join(f"A{i}=1" for i in range(20_001)) + "]")
