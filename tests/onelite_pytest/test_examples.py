"""The examples of docs/testing-your-tool.md, run as a reader would run them: by pytest, in a folder of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "testing-your-tool.md"
EXAMPLE = re.compile(r"^```python\n# (test_\w+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_examples_pass(tmp_path: Path) -> None:
    examples = EXAMPLE.findall(DOCUMENT.read_text())
    assert len(examples) == 3
    for name, text in examples:
        (tmp_path / name).write_text(text)

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=55)

    assert result.returncode == 0, result.stdout[-5000:] + result.stderr
    assert "8 passed" in result.stdout
