"""`enqueue --dry-run`: what would be accepted, what would become of the first items, and nothing kept."""

from __future__ import annotations

import json

import pytest

from bulkops import dry_run, services
from bulkops.models import Event, Job
from tests.elsewhere import elsewhere
from tests.sample.models import Effect

pytestmark = pytest.mark.django_db


def test_a_dry_run_tells_count_and_first_outcomes_and_stores_nothing(run, owner, lines):
    ran = run("enqueue", "note", "--user", "owner", "--items", lines, "--dry-run")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "Would be accepted: note with 3 items.",
        "Tried the first 3 and kept nothing:",
        "POSITION  ITEM  OUTCOME    WHAT IT SAYS",
        '0         "a"   succeeded  {"item": "a"}',
        '1         "b"   succeeded  {"item": "b"}',
        '2         "c"   succeeded  {"item": "c"}',
    ]
    assert not Job.objects.exists()
    assert not Event.objects.exists()
    assert not Effect.objects.exists()


def test_a_dry_run_ends_with_0_also_where_items_fail_since_the_job_would_be_accepted(run, owner, tmp_path):
    (tmp_path / "mixed.txt").write_text("fine\nraise\nskip\n")
    arguments = ("enqueue", "habits", "--user", "owner", "--items", tmp_path / "mixed.txt", "--dry-run")
    ran = run(*arguments)
    assert ran.code == 0
    assert [line.split()[2] for line in ran.out.splitlines()[3:]] == ["succeeded", "failed", "skipped"]
    assert "ValueError: this item is bad" in ran.out
    answer = json.loads(run(*arguments, "--json").out)
    assert [one["state"] for one in answer["outcomes"]] == ["succeeded", "failed", "skipped"]
    assert answer["outcomes"][1] == {
        "position": 1,
        "item": "raise",
        "state": "failed",
        "result": None,
        "error_code": "ValueError",
        "message": "ValueError: this item is bad",
        "said": "",
    }
    assert (answer["not_run"], answer["problem"]) == (None, None)


def test_a_long_item_of_a_dry_run_ends_with_a_sign_that_there_is_more(run, owner, tmp_path):
    (tmp_path / "long.txt").write_text(f"{'x' * 38}\n{'y' * 39}\n")
    ran = run("enqueue", "note", "--user", "owner", "--items", tmp_path / "long.txt", "--dry-run")
    assert f'"{"x" * 38}"  succeeded' in ran.out
    assert f'"{"y" * 38}…  succeeded' in ran.out


def test_a_dry_run_honours_the_limit(run, owner, lines):
    ran = run("enqueue", "note", "--user", "owner", "--items", lines, "--limit", 2, "--dry-run", "--json")
    assert [one["item"] for one in json.loads(ran.out)["outcomes"]] == ["a", "b"]


@pytest.mark.django_db(transaction=True)
def test_a_dry_run_outside_transactions_shows_the_items_and_why_they_were_not_run(run, owner, lines):
    ran = run("enqueue", "note-outside", "--user", "owner", "--items", lines, "--dry-run")
    assert ran.code == 0
    _, why, *items = ran.out.splitlines()
    assert "works outside transactions" in why
    assert items == ['  "a"', '  "b"', '  "c"']
    assert not Effect.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_second_dry_run_of_the_same_user_is_refused_for_now(run, owner, lines):
    with elsewhere() as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [dry_run._lock_of(owner)])
        ran = run("enqueue", "note", "--user", "owner", "--items", lines, "--dry-run")
    assert (ran.code, ran.out) == (4, "")
    assert "wait until it has ended" in ran.complaint


def test_a_dry_run_is_refused_as_the_submission_would_be(run, owner, lines):
    ran = run("enqueue", "note", "--user", "owner", "--items", lines, "--limit", 0, "--dry-run")
    assert ran.code == 2


def test_a_dry_run_makes_no_job_to_wait_for(run, owner, lines):
    ran = run("enqueue", "note", "--user", "owner", "--items", lines, "--dry-run", "--wait")
    assert (ran.code, ran.complaint) == (2, "enqueue: --dry-run makes no job to --wait for")


def test_a_dry_run_hides_secrets(run, person, lines):
    person("trusted", "sample.change_account")
    arguments = ("--user", "trusted", "--items", lines, "--param", "token=hush", "--dry-run", "--json")
    ran = run("enqueue", "guarded", *arguments)
    assert "hush" not in ran.out
    assert json.loads(ran.out)["params"] == {"token": "•••"}
    assert json.loads(ran.out)["total"] == 3


def test_a_dry_run_says_why_collecting_would_fail(run, owner):
    ran = run("enqueue", "collecting", "--user", "owner", "--param", "how=raise", "--limit", 5, "--dry-run")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "Would be accepted: collecting; a worker collects its items, 5 at most.",
        "The job would fail before its first item. Collecting the items failed: ValueError: the source is gone",
    ]


def test_a_dry_run_of_nothing_says_so(run, owner):
    ran = run("enqueue", "collecting", "--user", "owner", "--param", "how=nothing", "--dry-run")
    assert ran.out.splitlines()[1:] == ["There are no items."]


def test_a_dry_run_mentions_the_active_job(run, owner, lines):
    job = services.submit(user=owner, operation="note", items=["x"])
    ran = run("enqueue", "note", "--user", "owner", "--items", lines, "--dry-run")
    assert ran.code == 0
    assert str(job.pk) in ran.complaint


def test_a_terminal_is_never_steered_by_an_item(run, owner, tmp_path):
    (tmp_path / "a.txt").write_text("\x1b[2Jgone\n")
    ran = run("enqueue", "note", "--user", "owner", "--items", tmp_path / "a.txt", "--dry-run")
    assert "\x1b" not in ran.out
