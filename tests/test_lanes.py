"""Every slow folder has its lane, and no lane has lost its tests to a new name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import lanes

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("beginning", [name for _, names in lanes.LANES for name in names])
def test_a_lanes_names_lead_to_tests(beginning):
    assert [name for name in FILES if name.startswith(beginning)]


@pytest.mark.parametrize("folder", ["browser", "chaos", "cluster", "embedded"])
def test_what_kills_or_promises_seconds_is_in_a_lane(folder):
    found = [lanes.place(name) for name in FILES if name.startswith(f"tests/{folder}/")]
    assert found
    assert all(rank < len(lanes.LANES) for rank, _ in found)


def test_the_rest_is_handed_out_file_by_file():
    assert lanes.place("tests/test_slots.py::test_a[b/c.py::d]") == (len(lanes.LANES), "tests/test_slots.py")


@pytest.mark.slow
def test_every_process_finds_the_same_tests_in_the_same_order():
    """Else a run in several processes ends before it begins: no id may hold a moment, an address or a set's order."""
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "pytest", "-n", "0", "--collect-only", "-q"],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    first, second = ([line for line in run.communicate()[0].splitlines() if "::" in line] for run in runs)
    assert len(first) > 1_000
    assert [(one, other) for one, other in zip(first, second, strict=True) if one != other] == []
