"""Reading a file in the notation of `oned.conf`, with the line that each setting stands on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from services.common.settings import SettingsError, read_text
from services.common.template import Template, TemplateError, Value, text_form
from services.common.template.reader import stored_name


class Setting(NamedTuple):
    """One setting as it stands in the file."""

    name: str
    value: Value
    line: int


class OnedConf(NamedTuple):
    """A whole file. `settings` are in the file's order, `template` has the same in a template's order."""

    settings: tuple[Setting, ...]
    template: Template

    def line_of(self, name: str) -> int | None:
        """The line of the last setting of this name, which is the one that counts; None without one."""
        return next((setting.line for setting in reversed(self.settings) if setting.name == name), None)


def load(path: Path) -> OnedConf:
    """The settings in `path`. SettingsError, naming file and line, if it is not in the notation."""
    text = read_text(path).replace("\r\n", "\n")
    try:
        settings = tuple(
            Setting(stored_name(item.name), item.value, text_form.line_of(text, item.offset))
            for item in text_form.read(text)
        )
    except TemplateError as error:
        raise SettingsError(f"{path}:{error.line or 1}: {error}") from error
    return OnedConf(settings, Template.of([(setting.name, setting.value) for setting in settings]))
