"""`manage.py jobs`: the newest jobs, for people and for programs."""

from __future__ import annotations

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bulkops import services

pytestmark = pytest.mark.django_db


@pytest.fixture
def two(owner, colleague):
    """One running job with a failure, and one cancelled."""
    running = services.submit(user=owner, operation="note", items=list("abcdefghij"))
    running.chunks.update(cursor=5, succeeded=3, failed=2)
    over = services.submit(user=colleague, operation="note-outside", items=["a"])
    services.cancel(job=over, actor=None)
    return running, over


def test_lists_the_newest_first_with_a_bar(run, two):
    ran = run("jobs")
    head, first, second = ran.out.splitlines()
    assert (ran.code, ran.err) == (0, "")
    assert head.split() == ["ID", "OPERATION", "OWNER", "STATE", "DONE", "FAILED", "AGE"]
    assert first.split()[:4] == [str(two[1].pk), "note-outside", "colleague", "cancelled"]
    assert second.split()[:4] == [str(two[0].pk), "note", "owner", "queued"]
    assert "█████░░░░░  50 %  5 of 10  2" in second


def test_json_is_a_list_of_status_resources(run, two):
    listed = json.loads(run("jobs", "--json").out)
    assert [one["id"] for one in listed] == [str(two[1].pk), str(two[0].pk)]
    assert listed[1]["percent"] == 50


def test_a_users_and_a_states_jobs_can_be_asked_for(run, two):
    assert len(json.loads(run("jobs", "--user", "owner", "--json").out)) == 1
    assert len(json.loads(run("jobs", "--state", "cancelled", "--json").out)) == 1
    assert json.loads(run("jobs", "--user", "owner", "--state", "cancelled", "--json").out) == []
    assert len(json.loads(run("jobs", "--limit", "1", "--json").out)) == 1


def test_no_job_is_said_beside_the_answer(run, db):
    ran = run("jobs")
    assert (ran.code, ran.out) == (0, "")
    assert ran.complaint == "There is no such job."


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--user", "nobody"], "no user “nobody”"),
        (["--state", "asleep"], "invalid choice: 'asleep'"),
        (["--limit", "0"], "at least 1"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(run, two, arguments, words):
    ran = run("jobs", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.complaint


def test_the_number_of_queries_does_not_grow_with_the_list(run, person):
    def queries():
        with CaptureQueriesContext(connection) as asked:
            run("jobs", "--json")
        return len(asked)

    services.submit(user=person("first"), operation="note", items=["a"])
    few = queries()
    for number in range(10):
        services.submit(user=person(f"user{number}"), operation="note", items=["a"])
    assert queries() == few
