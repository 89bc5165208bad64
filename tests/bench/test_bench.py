"""The measuring itself: rounds are interleaved, a figure is the median of its rounds' ratios, nothing is made up."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from itertools import count

import pytest

from tests.bench import report
from tests.bench.__main__ import arguments
from tests.bench.figures import Figure, answer
from tests.bench.measures import NAMES
from tests.bench.report import BEGIN, END, ROOT
from tests.bench.rounds import NotMeasured, play

TWICE = Figure(name="twice", words="ours ÷ theirs", of="ours", against="theirs", at_least=2)
ROUNDS = [{"ours": 20.0, "theirs": 10.0}, {"ours": 9.0, "theirs": 3.0}, {"ours": 4.0, "theirs": 4.0}]
FACTS = {
    "date": "2026-01-02T03:04:05+00:00", "commit": "abc", "changed": False, "cores": 2, "cpu": "some", "python": "3.11",
    "django": "5.2", "psycopg2": "2.9", "postgresql": "18", "server": {"fsync": "on"}, "embedded": True,
    "fdatasync_us": 100, "fdatasync_us_from_to": [90, 110], "round_trip_us": 20, "load_at_start": 0.1,
}  # fmt: skip


def test_everybody_plays_once_a_round_and_not_always_in_the_same_order():
    turns = []
    contestants = {name: (lambda name=name: turns.append(name) or len(turns)) for name in "abcd"}
    played = play(contestants, 20, random.Random(1))
    rounds = [turns[start : start + 4] for start in range(0, 80, 4)]
    assert all(sorted(one) == list("abcd") for one in rounds)
    assert len({tuple(one) for one in rounds}) > 5
    assert [played[n][name] for n, one in enumerate(rounds) for name in one] == list(range(1, 81))


def test_one_that_is_not_there_is_left_out_and_its_figures_say_why():
    contestants = {"ours": lambda: 1.0, "theirs": NotMeasured("it is not installed")}
    played = play(contestants, 2, random.Random(1))
    assert played == [{"ours": 1.0}, {"ours": 1.0}]
    found = answer(TWICE, played, {"theirs": "it is not installed"})
    assert (found.value, found.met) == (None, None)
    assert report.row(found)[2:4] == ("not measured", "it is not installed")


def test_one_that_gives_several_values_is_asked_once_for_all_of_them():
    numbers = count()
    played = play({"wait": lambda: {"p50": next(numbers), "p95": 7}}, 2, random.Random(1))
    assert played == [{"wait.p50": 0, "wait.p95": 7}, {"wait.p50": 1, "wait.p95": 7}]


def test_a_figure_is_the_median_of_the_rounds_ratios_and_not_the_ratio_of_medians():
    found = answer(TWICE, ROUNDS, {})
    assert found.values == (2.0, 3.0, 1.0)
    assert found.value == 2.0
    assert found.medians == (9.0, 4.0)
    assert report.row(found)[2:4] == ("2", "1 to 3")


@pytest.mark.parametrize(
    ("target", "met"),
    [
        ({"at_least": 2}, True),
        ({"at_least": 2.1}, False),
        ({"at_most": 2}, True),
        ({"at_most": 1.9}, False),
        ({}, None),
    ],
)
def test_the_median_is_judged_by_the_target(target, met):
    figure = Figure(name="f", words="", of="ours", against="theirs", **target)
    assert answer(figure, ROUNDS, {}).met is met


def test_readmes_table_is_replaced_between_its_markers_and_nothing_else_is_touched():
    before = f"above\n{BEGIN}\nold\n{END}\nbelow\n"
    once = report.into(before, [answer(TWICE, ROUNDS, {})], FACTS)
    assert once.startswith(f"above\n{BEGIN}\n\n| measurement |")
    assert once.endswith(f"{END}\nbelow\n")
    assert "| `twice` | ours ÷ theirs | 2 | 1 to 3 | at least 2 | yes |" in once
    assert report.into(once, [answer(TWICE, ROUNDS, {})], FACTS) == once
    with pytest.raises(ValueError, match="no markers"):
        report.into("a README without", [], FACTS)


@pytest.mark.parametrize(
    "given", [["--readme", NAMES[0]], ["--readme", "--quick"], ["--readme", "--rounds", "4"], ["no-such"]]
)
def test_readme_gets_whole_runs_only_and_no_unknown_name_is_measured(given, capsys):
    with pytest.raises(SystemExit, match="2"):
        arguments(given)
    assert capsys.readouterr().err


@pytest.mark.slow
def test_the_command_measures_and_writes_down_what_it_found():
    # Of this run's own, unlike the test suite's: without pytest's Django, on a server that waits for the disk.
    own = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    command = [sys.executable, "-m", "tests.bench", "--quick", "--rounds", "1", "commit"]
    done = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    path = done.stdout.split("written to ")[1].splitlines()[0]
    written = json.loads((ROOT / path).read_text())
    assert written["facts"]["server"]["synchronous_commit"] == "on"
    commit = written["figures"][0]
    assert commit["name"] == "commit"
    assert (0 < commit["value"] < 10) or commit["not_measured"] == "there is no pgbench on this machine"
    assert written["rounds"]["commit"][0]["outside.worker"] > 0
