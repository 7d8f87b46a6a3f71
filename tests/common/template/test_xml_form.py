"""The XML notation. The expected XML is what a real oned 6.8.0 stored for the same document."""

import pytest

from services.common.template import Template, TemplateError, Vector, parse


def one(name: str, value: str) -> str:
    return f"<{name}><![CDATA[{value}]]></{name}>"


@pytest.mark.parametrize(
    ("document", "stored"),
    [
        pytest.param("<T></T>", "", id="nothing"),
        pytest.param("<T/>", "", id="empty root"),
        pytest.param("<NAME>x</NAME>", "", id="text in the root"),
        pytest.param("<any><b>2</b><a>1</a></any>", one("A", "1") + one("B", "2"), id="any root, upper case, sorted"),
        pytest.param("<T><A>1</A><A>2</A></T>", one("A", "1") + one("A", "2"), id="repeated names"),
        pytest.param("<T><V><X>1</X><Y>two</Y></V></T>", "<V>" + one("X", "1") + one("Y", "two") + "</V>", id="vector"),
        pytest.param("<T><E/><F></F><G><!-- c --></G></T>", "", id="empty elements vanish"),
        pytest.param("<T><A><![CDATA[]]></A></T>", one("A", ""), id="empty CDATA stays"),
        pytest.param("<T><B> </B><C><![CDATA[ ]]></C></T>", one("B", " ") + one("C", " "), id="blanks stay"),
        pytest.param('<T><A><![CDATA[<raw> & "q" ]]></A></T>', one("A", '<raw> & "q" '), id="CDATA"),
        pytest.param("<T><A>a &lt; b &amp; c &#233;&quot;</A></T>", one("A", 'a < b & c é"'), id="entities"),
        pytest.param(
            "<T><A k='v'>1</A><!-- c --><?p i?>text</T>", one("A", "1"), id="attributes, comments, loose text"
        ),
        pytest.param(
            "<T>\n <A>\n s\n </A>\n <V>\n <X>1</X>\n </V>\n</T>",
            one("A", "\n s\n ") + "<V>" + one("X", "1") + "</V>",
            id="indented",
        ),
        pytest.param("<T><V><A>1</A><A>2</A></V></T>", "<V>" + one("A", "2") + "</V>", id="last of a repeated key"),
        pytest.param("<T><V><A>1</A><A/></V></T>", "<V>" + one("A", "1") + "</V>", id="an empty key does not count"),
        pytest.param("<T><V/><V><A></A></V></T>", "<V></V>", id="a vector of nothing is stored"),
        pytest.param("<T><V><a>1</a></V></T>", "<V>" + one("a", "1") + "</V>", id="keys keep their case"),
        pytest.param("<T><D><E><F>deep</F></E></D></T>", "<D></D>", id="the third level is dropped"),
        pytest.param("<T><A>text<B>child</B></A></T>", "<A>" + one("B", "child") + "</A>", id="mixed is a vector"),
        pytest.param("<T><n:A xmlns:n='u'>1</n:A><a-b>2</a-b></T>", one("A", "1") + one("A-B", "2"), id="odd names"),
        pytest.param('<?xml version="1.0" encoding="iso-8859-1"?><T><A>é</A></T>', one("A", "é"), id="prolog"),
        pytest.param("<T><NAME>n  </NAME></T>\n", one("NAME", "n"), id="NAME loses trailing blanks"),
    ],
)
def test_document_is_stored_as_by_oned(document: str, stored: str) -> None:
    assert parse(document).to_xml() == f"<TEMPLATE>{stored}</TEMPLATE>"


@pytest.mark.parametrize(
    "document",
    [
        "<",
        "<TEMPLATE><NAME>x</NAME>",
        "<T/><MORE/>",
        "<T/>text",
        "<T><A>1</B></T>",
        "<T><A>&nbsp;</A></T>",
        "<T><A>a & b</A></T>",
        "<T><A>\x01</A></T>",
        "<T><A>\ud800</A></T>",
        "<T><n:-b>1</n:-b></T>",
        "<!DOCTYPE T [<!ENTITY a 'b'>]><T><A>&a;</A></T>",
        '<!DOCTYPE T SYSTEM "http://localhost/x.dtd"><T/>',
        "<T>" + "<A>" * 100 + "</A>" * 100 + "</T>",
    ],
)
def test_anything_else_is_malformed(document: str) -> None:
    with pytest.raises(TemplateError, match=r"^Parse error: XML Template malformed\.$"):
        parse(document)


def test_leading_blanks_make_it_text() -> None:
    with pytest.raises(TemplateError, match="syntax error"):
        parse(" <T><A>1</A></T>")


def test_vectors_of_nothing_are_not_read_back() -> None:
    template = Template.of({"A": "1", "D": Vector(), "E": ""})
    assert template.without_empty_vectors() == Template.of({"A": "1", "E": ""})
    assert template.without("D").without_empty_vectors() == Template.of({"A": "1", "E": ""})
