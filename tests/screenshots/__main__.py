"""`python -m tests.screenshots [name ...]`: pictures of all scenes, or of those so named, in .screenshots/."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Wanted:
    """Tells the run which scenes, and where their pictures go."""

    def __init__(self, beginnings: list[str]) -> None:
        self.beginnings = tuple(beginnings) or ("",)

    @pytest.fixture
    def screenshots(self) -> Path:
        folder = ROOT / ".screenshots"
        folder.mkdir(exist_ok=True)
        return folder

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [one for one in items if one.callspec.params["name"].startswith(self.beginnings)]  # type: ignore[attr-defined]


if __name__ == "__main__":
    options = ["-n", "0", "-q", "-p", "no:cacheprovider", str(Path(__file__).with_name("take.py"))]
    sys.exit(pytest.main(options, plugins=[Wanted(sys.argv[1:])]))
