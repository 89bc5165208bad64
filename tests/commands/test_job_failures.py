"""`manage.py job ID failures` and `retry --fingerprint`."""

from __future__ import annotations

import json

import pytest

from bulkops import fingerprints, services
from bulkops.models import Job, Outcome

pytestmark = pytest.mark.django_db(transaction=True)

TICKET, PRICE = (fingerprints.of("ValueError", words).fingerprint for words in ("no ticket 1", "no price"))


@pytest.fixture
def told(owner, worker):
    items = ["no ticket 1", "fine", "no price", *(f"no ticket {n}" for n in range(2, 5))]
    return worker.finish(services.submit(user=owner, operation="telling", items=items))


def test_shows_the_groups_the_largest_first(run, told):
    ran = run("job", told.pk, "failures")
    head, ticket, price = (line.split() for line in ran.out.strip().splitlines())
    assert (ran.code, head[0]) == (0, "FINGERPRINT")
    assert ticket == [TICKET, "4", "4", "0,", "3,", "4,", "…", "ValueError", "no", "ticket", "…"]
    assert price == [PRICE, "1", "1", "2", "ValueError", "no", "price"]


def test_prints_them_for_programs_as_the_api_does(run, told):
    found = json.loads(run("job", told.pk, "failures", "--json").out)
    assert found["ungrouped"] == 0
    assert [(one["fingerprint"], one["count"], one["left"]) for one in found["results"]] == [
        (TICKET, 4, 4),
        (PRICE, 1, 1),
    ]


def test_says_that_nothing_failed_and_what_has_no_group(run, owner, worker, told):
    fine = worker.finish(services.submit(user=owner, operation="telling", items=["fine"]))
    assert run("job", fine.pk, "failures").out == "Nothing has failed.\n"
    Outcome.objects.filter(job=told).update(fingerprint="")
    told.chunks.update(succeeded=0, failed=6)
    assert "Failures without a group, from before there were groups: 1." in run("job", told.pk, "failures").out


def test_retries_one_group(run, told, worker):
    ran = run("job", told.pk, "retry", "--fingerprint", TICKET)
    assert ran.code == 0
    child = worker.finish(Job.objects.get(pk=ran.out.strip()))
    assert (child.total, child.retry_fingerprint) == (4, TICKET)
    assert f"the failed items of group {TICKET} of {told.pk}" in run("job", child.pk).out
    again = run("job", told.pk, "retry", "--fingerprint", TICKET)
    assert (again.code, str(child.pk) in again.complaint) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["retry", "--fingerprint", "x"], "no fingerprint"),
        (["retry", "--fingerprint", ""], "--fingerprint is empty"),
        (["retry", "--fingerprint", TICKET, "--items", "unprocessed"], "Only failed items"),
        (["cancel", "--fingerprint", TICKET], "--fingerprint is for retry"),
        (["failures", "--reason", "x"], "--reason is for"),
        (["failures", "--force"], "--force is for"),
    ],
)
def test_what_is_asked_wrongly_is_said_in_one_line(run, told, arguments, words):
    ran = run("job", told.pk, *arguments)
    assert ran.code == 2
    assert words in ran.complaint
    assert Job.objects.count() == 1
