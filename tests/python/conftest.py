"""What all tests share: data folder, reference framework, hypothesis profiles."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Before anything imports Keras: the reference runs on PyTorch's CPU build.
os.environ.setdefault("KERAS_BACKEND", "torch")

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # the tests that need it skip themselves
    pass
else:
    settings.register_profile(
        "ci",
        deadline=None,
        derandomize=True,  # the same examples each time: a failure is the change's
        database=None,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.function_scoped_fixture,
        ],
    )
    settings.register_profile(
        "nightly",
        parent=settings.get_profile("ci"),
        derandomize=False,
        max_examples=1000,
    )
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _own_cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keep the tests away from the user's cache and data folders."""
    monkeypatch.setenv("LAMELLA_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("LAMELLA_DATA", raising=False)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """The same random numbers for a test each time, whatever ran before it."""
    import lamella

    lamella.set_random_seed(20_061_123)


def _find_data() -> Path | None:
    named = os.environ.get("LAMELLA_DATA")
    candidates = [Path(named)] if named else [ROOT.parent / "shared" / "data"]
    return next((path for path in candidates if path.is_dir()), None)


_DATA = _find_data()


@pytest.fixture
def data_dir(monkeypatch: pytest.MonkeyPatch, _own_cache: None) -> Path:
    """The folder with the data sets; LAMELLA_DATA names it during the test."""
    if _DATA is None:
        pytest.skip(
            "no data sets: LAMELLA_DATA names no folder and "
            f"{ROOT.parent / 'shared' / 'data'} does not exist"
        )
    monkeypatch.setenv("LAMELLA_DATA", str(_DATA))
    return _DATA


@pytest.fixture(scope="session")
def keras_reference() -> Any:
    """Keras itself (extra `reference`), or a skip."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module("keras")
    except ImportError as error:
        pytest.skip(f"the reference framework is not installed: {error}")


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run the test in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
