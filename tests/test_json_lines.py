"""Log lines as JSON: fields from the format that our code wrote, none from what was filled in."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from bulkops import services
from bulkops.json_lines import JsonLines

SOURCE = Path(__file__).resolve().parents[1] / "bulkops"


def line(text, *values, name="bulkops.engine", exc_info=None):
    record = logging.LogRecord(name, logging.INFO, __file__, 1, text, values, exc_info)
    written = JsonLines().format(record)
    assert "\n" not in written
    return json.loads(written)


def test_names_and_values_become_fields_and_numbers_stay_numbers():
    told = line("job=%s operation=%s event=slice_ended items=%s seconds=%.3f", "7c1d", "note", 12, 1.23456)
    assert told["job"] == "7c1d"
    assert told["operation"] == "note"
    assert told["event"] == "slice_ended"
    assert (told["items"], told["duration_seconds"]) == (12, 1.235)
    assert (told["level"], told["logger"]) == ("INFO", "bulkops.engine")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", told["time"])


def test_what_is_filled_in_can_pass_for_no_field():
    told = line("job=%s event=rescue_failed %s", "1", 'event=forged level=NONE\n{"job": 2}')
    assert (told["job"], told["event"], told["level"]) == ("1", "rescue_failed", "INFO")
    assert "forged" in told["message"]
    assert line("%s event=database_away %s: %s", "job=5", "x", "operation=y")["event"] == "database_away"
    assert "job" not in line("%s event=database_away %s: %s", "job=5", "x", "operation=y")


def test_no_name_of_a_line_takes_the_place_of_its_own_fields():
    assert line("level=%s time=%s message=%s", "x", "y", "z")["level"] == "INFO"


def test_what_is_not_there_is_no_field():
    assert {"actor", "to"} & line("job=%s actor=%s to=%s", 1, "-", "").keys() == set()


def test_other_libraries_lines_are_told_as_they_are():
    told = line("Not Found: %s", "/?job=1", name="django.request")
    assert told["message"] == "Not Found: /?job=1"
    assert "job" not in told


def test_a_traceback_is_a_field_of_the_same_line():
    try:
        raise ZeroDivisionError("no")
    except ZeroDivisionError:
        told = line("event=failed", exc_info=sys.exc_info())
    assert told["error"] == "ZeroDivisionError"
    assert told["traceback"].startswith("Traceback")


@pytest.mark.parametrize(
    ("text", "values"), [("%s and %s", ("one",)), ("%d", ("x",)), (ValueError("x"), ()), ("100%", ())]
)
def test_a_line_with_wrong_arguments_is_not_lost(text, values):
    assert line(text, *values)["message"]


def test_every_line_of_ours_says_which_event_it_is():
    """So that a program can tell them apart; but for sentences to whoever starts a program."""
    calls = re.compile(r"(?:logger|slices)\.(?:info|warning|error|exception)\(\s*\"([^\"]+)\"")
    texts = [text for path in SOURCE.rglob("*.py") for text in calls.findall(path.read_text())]
    assert len(texts) > 30
    silent = [text for text in texts if "event=" not in text and "=" in text]
    assert silent == []
    for text in texts:
        if "event=" in text:
            assert line(text, *["x"] * 10)["event"]


@pytest.mark.django_db(transaction=True)
def test_a_jobs_lines_have_its_id_and_operation_and_nothing_of_its_items(owner, worker, caplog):
    caplog.set_level(logging.INFO, logger="bulkops.slices")
    job = worker.finish(services.submit(user=owner, operation="telling", items=["fine", "a secret text"]))
    told = [json.loads(JsonLines().format(record)) for record in caplog.records if record.name.startswith("bulkops")]
    assert {one["job"] for one in told} == {str(job.pk)}
    assert {one["operation"] for one in told} == {"telling"}
    assert {"submitted", "state_changed", "slice_ended"} <= {one["event"] for one in told}
    (ended,) = (one for one in told if one["event"] == "slice_ended")
    assert ended["items"] == 2
    assert 0 < ended["duration_seconds"] < 60
    assert "secret" not in json.dumps(told)


@pytest.mark.parametrize(
    ("debug", "asked", "is_json"),
    [
        ("0", "", True),
        pytest.param("1", "", False, marks=pytest.mark.slow),
        pytest.param("0", "line", False, marks=pytest.mark.slow),
        pytest.param("1", "json", True, marks=pytest.mark.slow),
    ],
)
def test_production_writes_json_and_development_what_people_read(debug, asked, is_json):
    code = (
        "import django, logging; django.setup();"
        "logging.getLogger('bulkops.slices').info('job=%s event=slice_ended', 1);"
        "logging.getLogger('bulkops.events').info('job=%s event=submitted', 1)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=settings.BASE_DIR,
        env={
            "PATH": "",
            "PYTHONPATH": ":".join(["site", *filter(None, sys.path)]),
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "SECRET_KEY": "0" * 50,
            "DATABASE_URL": "postgres://nobody@localhost/nothing",
            "DEBUG": debug,
            "BULKOPS_LOG_FORMAT": asked,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = ran.stderr.splitlines()
    assert [one.startswith("{") for one in lines] == ([True, True] if is_json else [False]), ran.stderr
    if is_json:
        assert [json.loads(one)["event"] for one in lines] == ["slice_ended", "submitted"]
