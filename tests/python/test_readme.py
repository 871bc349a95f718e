"""The README's example is a program that runs and prints what the README says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.skipif(not README.exists(), reason="no README beside the tests")
def test_readme_example_prints_what_it_says(tmp_path: Path) -> None:
    text = README.read_text(encoding="utf-8")
    code, printed = re.search(
        r"```python\n(.*?)```\n\n```text\n(.*?)```", text, re.S
    ).groups()
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    said = float(printed.split()[-1])
    # Another instruction set rounds differently, so the last digits may.
    assert float(run.stdout.split()[-1]) == pytest.approx(said, abs=0.02)
    assert (tmp_path / "digits.lamella").exists()
