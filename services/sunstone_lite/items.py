"""Read-only views of the XML that oned answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

# Parts of a user's XML that are secrets even to the user's own browser window.
SECRET_TAGS = frozenset(
    {"PASSWORD", "LOGIN_TOKEN", "TOKEN_PASSWORD", "SSH_PRIVATE_KEY", "SSH_PASSPHRASE", "TOTP_SECRET"}
)


@dataclass(frozen=True, slots=True)
class Item:
    """One element of an object's XML. Paths are tags joined by "/", as in `HOST_SHARE/MAX_CPU`."""

    element: ElementTree.Element

    @property
    def tag(self) -> str:
        """The element's tag."""
        return self.element.tag

    @property
    def value(self) -> str:
        """The element's own text, trimmed."""
        return (self.element.text or "").strip()

    @property
    def oid(self) -> int:
        """The object's id, -1 if it has none."""
        return self.number("ID", -1)

    @property
    def name(self) -> str:
        """The object's name."""
        return self.text("NAME")

    def text(self, path: str, default: str = "") -> str:
        """Text at `path`; `default` when the element is missing or empty."""
        found = self.element.find(path)
        return ((found.text or "").strip() or default) if found is not None else default

    def number(self, path: str, default: int = 0) -> int:
        """Whole number at `path`; fractions are cut, other text gives `default`."""
        return int(self.real(path, default))

    def real(self, path: str, default: float = 0.0) -> float:
        """Number at `path`, `default` when it is missing or no number."""
        try:
            return float(self.text(path) or default)
        except ValueError:
            return default

    def all(self, path: str) -> tuple["Item", ...]:
        """Every element at `path`."""
        return tuple(Item(found) for found in self.element.findall(path))

    def children(self) -> Iterator["Item"]:
        """Child elements that may be shown, in document order."""
        return (Item(child) for child in self.element if child.tag not in SECRET_TAGS)


def parse(xml: str) -> Item:
    """The document element of `xml`.

    Raises:
        ValueError: it is not well-formed.
    """
    try:
        return Item(ElementTree.fromstring(xml))
    except ElementTree.ParseError as error:
        raise ValueError(f"oned answered XML that cannot be read: {error}") from error


def pretty(item: Item) -> str:
    """The element as indented XML for people, without secrets."""
    copy = _without_secrets(item.element)
    ElementTree.indent(copy)
    return ElementTree.tostring(copy, encoding="unicode")


def _without_secrets(element: ElementTree.Element) -> ElementTree.Element:
    copy = ElementTree.Element(element.tag)
    copy.text = element.text
    copy.extend(_without_secrets(child) for child in element if child.tag not in SECRET_TAGS)
    return copy
