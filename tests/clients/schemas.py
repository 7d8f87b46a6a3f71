"""The XML schemas that OpenNebula publishes (folder xsd, unmodified, with its NOTICE), as a check of answers."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from functools import cache
from pathlib import Path

import xmlschema

FOLDER = Path(__file__).parent / "xsd"
NAMESPACE = "http://opennebula.org/XMLSchema"
_XS = "{http://www.w3.org/2001/XMLSchema}"


def fault(xml: str) -> str:
    """What the schema of the answer's root element has against it; empty where it is valid.

    Answers carry no namespace, the schemas want one.
    """
    root = re.match(r"<(\w+)", xml)
    assert root is not None
    name = _files().get(root[1])
    if name is None:
        return f"no schema has an element {root[1]}"
    document = f'{root[0]} xmlns="{NAMESPACE}"{xml[root.end() :]}'
    error = next(_schema(name).iter_errors(document), None)
    return "" if error is None else f"{error.path}: {error.reason}"


@cache
def _files() -> dict[str, str]:
    """The schema that declares each root element."""
    found = {}
    for path in sorted(FOLDER.glob("*.xsd")):
        for declared in ElementTree.fromstring(_text(path)).iterfind(f"{_XS}element"):
            found.setdefault(declared.get("name", ""), path.name)
    return found


@cache
def _schema(name: str) -> xmlschema.XMLSchema11:
    """Some of them are ambiguous (two wildcards side by side): read leniently, they judge all the same."""
    return xmlschema.XMLSchema11(_text(FOLDER / name), base_url=FOLDER.as_uri(), validation="lax")


def _text(path: Path) -> str:
    """Without the XML declaration, which in some of the files does not come first."""
    return re.sub(r"<\?xml[^>]*\?>", "", path.read_text())
