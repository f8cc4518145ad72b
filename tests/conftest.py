"""Fixtures that all rooms share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import golden_files
import pytest
from hypothesis import settings
from small_disk import SmallDisk, small_disk_at

settings.register_profile("fixed", derandomize=True)
settings.register_profile("random")
settings.load_profile(os.environ.get("FARTHING_PROPERTIES", "fixed"))  # ``random`` looks for new examples
os.environ.pop("COLUMNS", None)  # pytest-xdist sets it for its workers; pipes see whole lines


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What was built here and the evidence of routes lie in one folder for the whole run, not in the user's home."""
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def golden_error() -> Callable[[str, Exception, Path], None]:
    """Compare an error's whole text with its golden file; the test's own folder is written as «folder»."""

    def compare(name: str, error: Exception, folder: Path) -> None:
        said = str(error).replace(str(folder), "«folder»") + "\n"
        golden_files.compare(golden_files.GOLDEN / "errors" / f"{name}.txt", said)

    return compare


@pytest.fixture(scope="session")
def assets() -> Path:
    """The shared data; skipped without it, a failure where FARTHING_ASSETS names a folder that lacks it."""
    named = os.environ.get("FARTHING_ASSETS")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "assets"
    if not (folder / "SOURCES.md").exists():
        if named:
            pytest.fail(f"FARTHING_ASSETS={named} has no SOURCES.md: the shared data is missing")
        pytest.skip("shared data not found: set FARTHING_ASSETS")
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A real file system of one MiB; the test is skipped where none can be mounted."""
    with small_disk_at(tmp_path / "disk") as disk:
        yield disk
