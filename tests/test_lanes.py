"""Every slow folder has its lane, and no lane has lost its tests to a new name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import lanes

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("beginning", [name for _, names in lanes.LANES for name in names])
def test_a_lanes_names_lead_to_tests(beginning):
    assert [name for name in FILES if name.startswith(beginning)]


@pytest.mark.parametrize("folder", ["browser", "chaos", "embedded"])
def test_what_kills_or_promises_seconds_is_in_a_lane(folder):
    found = [lanes.place(name) for name in FILES if name.startswith(f"tests/{folder}/")]
    assert found
    assert all(rank < len(lanes.LANES) for rank, _ in found)


def test_the_rest_is_handed_out_file_by_file():
    assert lanes.place("tests/test_slots.py::test_a[b/c.py::d]") == (len(lanes.LANES), "tests/test_slots.py")
