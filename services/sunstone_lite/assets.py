"""The UI's own CSS, JavaScript and icons: read once, named by a hash of their content, cached for ever by browsers."""

import hashlib
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path

STATIC = Path(__file__).parent / "static"
SPRITE = "icons.svg"
HASH_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is served."""

    url: str
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Assets:
    """All files, by name and by URL, and the icon sprite that goes inside every page."""

    by_name: dict[str, Asset]
    by_url: dict[str, Asset]
    sprite: str


def load() -> Assets:
    """Read the `static` folder. JavaScript modules import each other relatively, so all share one folder name."""
    files = {path.name: path.read_bytes() for path in sorted(STATIC.iterdir()) if path.is_file()}
    release = hashlib.sha256(b"".join(files.values())).hexdigest()[:HASH_LENGTH]
    found = {name: Asset(f"/static/{release}/{name}", _type(name), body) for name, body in files.items()}
    sprite = re.sub(r">\s+<", "><", files[SPRITE].decode()).strip()
    return Assets(found, {asset.url: asset for asset in found.values()}, sprite)


def _type(name: str) -> str:
    guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return "text/javascript" if name.endswith(".js") else guessed
