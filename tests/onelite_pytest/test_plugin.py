"""What the plugin does to a test session that does not use it: nothing."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys, pytest
before = set(sys.modules)
import onelite_pytest.plugin
print(*sorted(set(sys.modules) - before))
"""


def test_loading_it_imports_nothing_else() -> None:
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["onelite_pytest", "onelite_pytest.plugin"]
