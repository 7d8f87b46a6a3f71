"""What a table cell or a fact can be. Templates draw each class by its `macro`; `order` sorts a column of them."""

from dataclasses import dataclass
from typing import ClassVar, Literal

Tone = Literal["good", "busy", "warn", "bad", "idle"]


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text; empty is drawn as a dash."""

    macro: ClassVar[str] = "text"
    text: str
    translate: bool = False

    @property
    def order(self) -> tuple[float, str]:
        """Case-blind alphabetical."""
        return 0, self.text.casefold()


@dataclass(frozen=True, slots=True)
class Number:
    """A count or measure, right-aligned."""

    macro: ClassVar[str] = "number"
    value: float

    @property
    def text(self) -> str:
        """As filters and copies see it."""
        return f"{self.value:g}"

    @property
    def order(self) -> tuple[float, str]:
        """By value."""
        return self.value, ""


@dataclass(frozen=True, slots=True)
class Size:
    """An amount of memory or disk, in MiB."""

    macro: ClassVar[str] = "size"
    mib: float

    @property
    def text(self) -> str:
        """As filters see it."""
        return f"{self.mib:g}"

    @property
    def order(self) -> tuple[float, str]:
        """By amount."""
        return self.mib, ""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time in epoch seconds; 0 and -1 mean never."""

    macro: ClassVar[str] = "moment"
    epoch: int

    @property
    def text(self) -> str:
        """Nothing to filter by."""
        return ""

    @property
    def order(self) -> tuple[float, str]:
        """Oldest first."""
        return self.epoch, ""


@dataclass(frozen=True, slots=True)
class Flag:
    """Yes or no."""

    macro: ClassVar[str] = "flag"
    on: bool

    @property
    def text(self) -> str:
        """As filters see it."""
        return "yes" if self.on else "no"

    @property
    def order(self) -> tuple[float, str]:
        """No before yes."""
        return int(self.on), ""


@dataclass(frozen=True, slots=True)
class State:
    """A state: colour, icon and word together, never colour alone. `label` is a message to translate."""

    macro: ClassVar[str] = "state"
    label: str
    tone: Tone
    code: str = ""

    @property
    def text(self) -> str:
        """The word and OpenNebula's own name for the state."""
        return f"{self.label} {self.code}"

    @property
    def order(self) -> tuple[float, str]:
        """Alphabetical."""
        return 0, self.label


@dataclass(frozen=True, slots=True)
class Link:
    """Another object."""

    macro: ClassVar[str] = "link"
    kind: str
    oid: int
    text: str

    @property
    def order(self) -> tuple[float, str]:
        """By name."""
        return 0, self.text.casefold()


@dataclass(frozen=True, slots=True)
class Bar:
    """Used of total, as a bar and in figures. `unit` is cpu (hundredths of a core), mib or count."""

    macro: ClassVar[str] = "bar"
    used: float
    total: float
    unit: Literal["cpu", "mib", "count"] = "count"

    @property
    def share(self) -> float:
        """0 to 1; 0 when there is no total."""
        return min(max(self.used / self.total, 0.0), 1.0) if self.total > 0 else 0.0

    @property
    def tone(self) -> Tone:
        """Quiet below 75 %, a warning below 92 %."""
        return "good" if self.share < 0.75 else "warn" if self.share < 0.92 else "bad"

    @property
    def text(self) -> str:
        """As filters see it."""
        return f"{self.used:g}/{self.total:g}"

    @property
    def order(self) -> tuple[float, str]:
        """By share, then by amount."""
        return self.share, f"{self.used:020.2f}"


Cell = Text | Number | Size | Moment | Flag | State | Link | Bar
