from pathlib import Path

import pytest

from services.common.oned_conf import Setting, load
from services.common.settings import SettingsError
from services.common.template import Vector

TEXT = """#***
# a comment = [ with = "signs" ]
#***

LOG = [ SYSTEM      = "file",
        DEBUG_LEVEL = 3 ]

port = 2633   # trailing
TM_MAD_CONF = [ NAME = "shared" ]
TM_MAD_CONF = [ NAME = "ssh" ]
#OFF = 1
DEFAULT_UMASK = 177
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_settings_come_with_their_lines(tmp_path: Path, newline: str) -> None:
    path = tmp_path / "oned.conf"
    path.write_bytes(TEXT.replace("\n", newline).encode())
    conf = load(path)
    assert conf.settings == (
        Setting("LOG", Vector.of(SYSTEM="file", DEBUG_LEVEL="3"), 5),
        Setting("PORT", "2633", 8),
        Setting("TM_MAD_CONF", Vector.of(NAME="shared"), 9),
        Setting("TM_MAD_CONF", Vector.of(NAME="ssh"), 10),
        Setting("DEFAULT_UMASK", "177", 12),
    )
    assert conf.template.get_int("PORT") == 2633
    assert [vector["NAME"] for vector in conf.template.vectors("TM_MAD_CONF")] == ["shared", "ssh"]
    assert conf.line_of("TM_MAD_CONF") == 10
    assert conf.line_of("NONE") is None


def test_a_mistake_is_named_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "oned.conf"
    path.write_text('A = 1\nB = [ C = "1"\n  D = 2 ]\n')
    with pytest.raises(SettingsError, match=r"oned\.conf:3: .*unexpected VARIABLE, expecting COMMA or CBRACKET"):
        load(path)
