"""Forms as data: fields and their rules. Pure: no IO, no HTML."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from services.sunstone_lite.i18n import N_
from services.sunstone_lite.items import Item

FieldType = Literal["text", "password", "number", "choice", "check", "area"]
Answers = Mapping[str, str]

# OpenNebula's rule for names (reference/constants.yaml, names).
FORBIDDEN_IN_NAMES = frozenset("&|:\\\";/'#{}$<>")
NAME_MAX = 128
TEXT_MAX = 32_768


@dataclass(frozen=True, slots=True)
class Option:
    """One choice: the value sent and the text shown; `translate` marks our own words, not object names."""

    value: str
    label: str
    translate: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """One input. `pool` fills a choice with the objects of that kind for which `offer` holds."""

    name: str
    label: str
    type: FieldType = "text"
    required: bool = False
    default: str = ""
    help: str = ""
    options: tuple[Option, ...] = ()
    pool: str = ""
    offer: Callable[[Item], bool] = lambda _item: True
    none: str = ""
    low: float | None = None
    high: float | None = None
    whole: bool = True
    rule: Literal["", "name", "user", "ipv4"] = ""
    advanced: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """Fields, and a check of answers that are fine one by one: message by field name."""

    fields: tuple[Field, ...]
    check: Callable[[Answers], dict[str, str]] = field(default=lambda _answers: {})


def options_for(entry: Field, pools: Mapping[str, tuple[Item, ...]]) -> tuple[Option, ...]:
    """What a choice offers: its own options, then objects of its pool by name, "none" first when allowed."""
    first = (Option("", entry.none, translate=True),) if entry.none else ()
    found = sorted((item for item in pools.get(entry.pool, ()) if entry.offer(item)), key=lambda item: item.oid)
    return first + entry.options + tuple(Option(str(item.oid), f"{item.name} ({item.oid})") for item in found)


def read(form: Form, posted: Mapping[str, str]) -> dict[str, str]:
    """The answers, trimmed (passwords as typed); an unticked box is empty."""
    return {
        entry.name: posted.get(entry.name, "") if entry.type == "password" else posted.get(entry.name, "").strip()
        for entry in form.fields
    }


def problems(form: Form, answers: Answers, pools: Mapping[str, tuple[Item, ...]]) -> dict[str, str]:
    """Message by field name; empty when the form may be sent."""
    found = {entry.name: message for entry in form.fields if (message := _problem(entry, answers, pools))}
    return found or form.check(answers)


def _problem(entry: Field, answers: Answers, pools: Mapping[str, tuple[Item, ...]]) -> str:
    value = answers.get(entry.name, "")
    if not value:
        return N_("Please fill this in.") if entry.required else ""
    if len(value) > TEXT_MAX:
        return N_("This is too long.")
    if entry.type == "choice" and value not in {option.value for option in options_for(entry, pools)}:
        return N_("Please choose one of the list.")
    if entry.type == "number":
        return _number_problem(entry, value)
    return _rule_problem(entry.rule, value)


def _number_problem(entry: Field, value: str) -> str:
    try:
        number = float(value)
    except ValueError:
        return N_("This is not a number.")
    if not number < float("inf") or (entry.whole and number != int(number)):
        return N_("This must be a whole number.")
    if entry.low is not None and number < entry.low:
        return N_("This is too small.")
    if entry.high is not None and number > entry.high:
        return N_("This is too large.")
    return ""


def _rule_problem(rule: str, value: str) -> str:
    if rule in ("name", "user"):
        if len(value) > NAME_MAX:
            return N_("Names have at most 128 characters.")
        if FORBIDDEN_IN_NAMES & set(value):
            return N_("Names may not contain any of & | : \\ \" ; / ' # { } $ < >")
        if rule == "user" and any(letter.isspace() for letter in value):
            return N_("User names may not contain spaces.")
    if rule == "ipv4" and not _is_ipv4(value):
        return N_("This is not an IPv4 address.")
    return ""


def _is_ipv4(value: str) -> bool:
    parts = value.split(".")
    return len(parts) == 4 and all(part.isascii() and part.isdigit() and int(part) < 256 for part in parts)
