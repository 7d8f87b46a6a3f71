"""Every message of the UI as its sources have them: N_ and gettext calls in Python, trans calls in templates."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages.extract import DEFAULT_KEYWORDS, extract_python
from jinja2.ext import babel_extract

ROOT = Path(__file__).parents[2] / "services" / "sunstone_lite"
PYTHON_KEYWORDS = {**DEFAULT_KEYWORDS, "N_": None}
TEMPLATE_OPTIONS = {"extensions": "jinja2.ext.i18n", "trim_blocks": "true", "lstrip_blocks": "true", "newstyle": "true"}

Message = str | tuple[str, str]


def all_messages() -> set[Message]:
    """Each message once; a pair is singular and plural."""
    return {message for path in sorted(ROOT.rglob("*.py")) for message in _python(path)} | {
        message for path in sorted(ROOT.rglob("*.html")) for message in _template(path)
    }


def _python(path: Path) -> Iterator[Message]:
    found = extract_python(BytesIO(path.read_bytes()), tuple(PYTHON_KEYWORDS), (), {})
    for _, function, arguments, _ in found:
        yield from _normal(function, arguments)


def _template(path: Path) -> Iterator[Message]:
    for _, function, arguments, _ in babel_extract(BytesIO(path.read_bytes()), DEFAULT_KEYWORDS, (), TEMPLATE_OPTIONS):
        yield from _normal(function or "", arguments)


def _normal(function: str, arguments: object) -> Iterator[Message]:
    texts = [
        text for text in (arguments if isinstance(arguments, tuple | list) else [arguments]) if isinstance(text, str)
    ]
    if not texts:
        return
    yield (texts[0], texts[1]) if function in ("ngettext", "_ngettext") else texts[0]
