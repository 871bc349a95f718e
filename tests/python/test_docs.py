"""The programs in the pages of docs/ run, and their links lead somewhere."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamella

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
# what a page's programs need besides lamella
NEEDS = {
    "plots": "matplotlib",
    "images": "PIL",
    "sklearn": "sklearn",
    "performance": "matplotlib",
}


# pages whose text blocks are what their programs print, the same each time
PRINTS = {"preprocessing"}


def setting(page: str) -> dict[str, Any]:
    """What a page takes for granted."""
    scope: dict[str, Any] = {"__name__": "documentation", "np": np}
    scope["keras"] = scope["lamella"] = lamella
    if page == "performance":
        scope["x"], scope["y"] = np.ones((64, 8), "float32"), np.zeros(64)
        scope["model"] = lamella.Sequential(
            [lamella.Input((8,)), lamella.layers.Dense(1)]
        )
        scope["model"].compile("adam", "mse")
    if page == "images":
        picture = np.random.default_rng(0).uniform(0, 255, (40, 40, 3))
        for i in range(20):
            folder = Path("pictures", ("cat", "dog")[i % 2])
            folder.mkdir(parents=True, exist_ok=True)
            lamella.utils.save_img(folder / f"{i}.png", picture)
    return scope


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    try:
        from matplotlib import pyplot as plt
    except ImportError:
        return
    plt.close("all")


def programs(page: Path) -> list[tuple[str, str]]:
    text = page.read_text(encoding="utf-8")
    return re.findall(r"```(python|text)\n(.*?)```", text, re.DOTALL)


@pytest.mark.usefixtures("in_folder")
@pytest.mark.parametrize(
    "page",
    [p for p in PAGES if any(kind == "python" for kind, _ in programs(p))],
    ids=lambda p: p.stem,
)
def test_programs_of_a_page_run_and_print_what_it_says(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if page.stem in NEEDS:
        pytest.importorskip(NEEDS[page.stem])
    if NEEDS.get(page.stem) == "matplotlib":
        pytest.importorskip("matplotlib").use("Agg")
    scope = setting(page.stem)
    blocks = programs(page)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind, block in blocks:
            if kind == "python":
                exec(compile(block, page.name, "exec"), scope)
    printed = "".join(block for kind, block in blocks if kind == "text")
    if printed and page.stem in PRINTS:
        assert printed in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text)
    missing = [
        link
        for link in links
        if not link.startswith(("http", "mailto")) and not (DOCS / link).exists()
    ]
    assert missing == []
