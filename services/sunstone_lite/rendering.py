"""Pages from templates, one Jinja environment per language, escaped always."""

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING

import jinja2
from babel.dates import format_datetime, format_timedelta
from babel.numbers import format_decimal
from markupsafe import Markup

from services.sunstone_lite import kinds
from services.sunstone_lite.cells import Bar
from services.sunstone_lite.kinds import Action

if TYPE_CHECKING:
    from services.sunstone_lite.assets import Assets
    from services.sunstone_lite.i18n import Language

BAR_LENGTH = 100
MIB_PER_GIB = 1024
DAY_S = 86_400


class Pages:
    """All templates in all languages."""

    def __init__(self, languages: "Mapping[str, Language]", assets: "Assets", title: str) -> None:
        """`title` names the installation in every page's head."""
        self.languages = languages
        loader = jinja2.PackageLoader("services.sunstone_lite")
        self._environments = {
            code: _environment(loader, language, assets, title) for code, language in languages.items()
        }

    def render(self, template: str, language: str, values: Mapping[str, object]) -> str:
        """The page as HTML."""
        return self._environments[language].get_template(template).render(values)


def _environment(loader: jinja2.BaseLoader, language: "Language", assets: "Assets", title: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n"],
    )
    # added by the i18n extension; the stub of Environment does not know it
    environment.install_gettext_translations(language.messages, newstyle=True)  # type: ignore[attr-defined]
    environment.filters.update(_filters(language))
    environment.globals.update(
        asset=lambda name: assets.by_name[name].url,
        confirm_attributes=lambda action: _confirm_attributes(language, action),
        icon=icon,
        kinds=kinds.KINDS,
        language=language,
        sections=kinds.SECTIONS,
        site_title=title,
        sprite=Markup(assets.sprite),
    )
    return environment


def icon(name: str) -> Markup:
    """A decorative icon from the sprite; the word beside it does the talking."""
    return Markup('<svg class="icon" aria-hidden="true"><use href="#i-{}"/></svg>').format(name)


def _confirm_attributes(language: "Language", action: Action) -> Markup:
    """What the page's script needs to ask before a grave action; nothing for the others."""
    if not action.grave:
        return Markup("")
    label = language.messages.gettext(action.label)
    warning = language.messages.gettext(action.warning) if action.warning else ""
    return Markup('data-confirm="{}" data-warning="{}" data-tone="{}"').format(
        label, warning, "danger" if action.final else "primary"
    )


def _filters(language: "Language") -> dict[str, object]:
    locale = language.locale
    gettext = language.messages.gettext

    def number(value: float) -> str:
        return format_decimal(round(value, 2), locale=locale)

    def size(mib: float) -> str:
        if mib < MIB_PER_GIB:
            return f"{number(round(mib, 1))} MB"
        if mib < MIB_PER_GIB**2:
            return f"{number(round(mib / MIB_PER_GIB, 1))} GB"
        return f"{number(round(mib / MIB_PER_GIB**2, 1))} TB"

    def figures(bar: Bar) -> str:
        if bar.unit == "mib":
            return f"{size(bar.used)} / {size(bar.total)}"
        scale = 100 if bar.unit == "cpu" else 1
        return f"{number(bar.used / scale)} / {number(bar.total / scale)}"

    def moment(epoch: float) -> str:
        when = datetime.datetime.fromtimestamp(epoch, datetime.UTC)
        return format_datetime(when, "short", locale=locale) + " UTC"

    def ago(epoch: float, now: float) -> str:
        return str(format_timedelta(min(round(epoch - now), -1), add_direction=True, locale=locale))

    return {
        "number": number,
        "size": size,
        "figures": figures,
        "iso": lambda epoch: datetime.datetime.fromtimestamp(epoch, datetime.UTC).isoformat(),
        "moment": moment,
        "ago": ago,
        # messages marked in Python with N_ are translated where they are shown
        "t": lambda message: gettext(message) if message else "",
        "share": lambda bar: round(bar.share * BAR_LENGTH, 1),
    }
