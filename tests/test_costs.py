"""What things cost, in round trips and statements: counted, so that it is the same on every machine.

A round trip is what an item, a poll and a submission pay for, so one more of them is a loss that no test of behaviour
sees. The figures are here, at one place: whoever saves one writes it down, and whoever needs one more says why.
Beside them: test_fragments.py holds the size of a fragment and the queries of a poll in every state, test_speed.py
those of many jobs at once, test_plans.py and test_ledger_pages.py what lists read, test_totals.py what totals do.
"""

from __future__ import annotations

import gzip
import time
from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import close_old_connections, connection
from django.test import Client, override_settings
from django_q.models import OrmQ

from bulkops import services, tokens
from bulkops.models import Job, Outcome
from bulkops.operation import Operation
from bulkops.states import JobState
from tests.clusters import wait_for
from tests.sample.models import Account, Effect
from tests.sample.operations import Holding, Note, NoteOutside
from tests.wire import Sent, Tap, tapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ITEM = {
    "outside": 1,  # the fenced statement, which commits by itself
    "outside-hold": 2,  # that it begins, then the same
    "outside-failing": 1,
    "nothing-written": 1,  # the same, in a transaction in which nothing was sent
    "one-row": 4,
    "failing": 1,  # nothing was sent before it failed
    "failing-after-a-row": 4,  # BEGIN, the row, ROLLBACK, the fenced statement
}
"""Round trips of an item."""
CHECKS = {"bulkops_chunk": 2, "bulkops_outcome": 0}
"""CHECK constraints on what an item writes: the server reads each anew at every statement."""
CHUNK = 1
"""Of the next chunk, beside those of its items."""
SLICE = 19
"""Of the next slice, beside those of its chunks and items: nothing in three seconds of work, much for a small job."""
POLL = {"page": 4, "api": 3, "api-unchanged": 3}
"""With the one that asks whether the connection still lives."""
FRAGMENT_BYTES = 4096
"""Compressed."""
SUBMIT = {"items": 16, "query": 12, "file": 25}
"""Whatever the number of items; the file is sent to the API, which looks at token and limits, and tells the job."""
CHECKED_THOUSAND = 6
"""Of items that a worker checks, beside the slice that does it: a commit for each chunk."""
COLLECTED_THOUSAND = 1
"""Of items that a worker collects; what is stored is committed twice a second, however much it is."""
IN_PLACE = 0.95
"""Share of the updates of chunks that touch no index (HOT); those of claiming and letting go do."""
TURN_UPDATES = 3
"""Of a slice: taken, let go, sent again. None is in place, since turns are looked for by what these change."""
IDLE_A_SECOND = 2.5
"""Of a cluster of two workers without work: 1.7 over a minute, and what comes each half minute may come just then."""


@pytest.fixture
def wire(transactional_db: None) -> Iterator[Tap]:
    """All that this process sends to PostgreSQL goes over it."""
    with tapped() as tap:
        yield tap


# -- the work


@pytest.fixture
def cost(wire: Tap, worker: Any, owner: Any) -> Callable[..., int]:
    """Round trips of working a job of so many items of that operation to its end."""

    def cost(operation: type[Operation], items: int) -> int:
        job = services.submit(user=owner, operation=operation.name, items=[str(n) for n in range(items)])
        with wire.watched() as sent:
            while worker.step() is not None:
                continue
        job.refresh_from_db()
        assert (job.total, job.finished_at is None) == (items, False)
        return len(sent)

    return cost


def raising(*_: Any) -> None:
    raise ValueError("not this one")


def raising_after_a_row(*_: Any) -> None:
    Effect.objects.create(item="lost")
    raise ValueError("not this one")


PROCESS: dict[str, tuple[type[Operation], Any]] = {
    "outside": (NoteOutside, lambda *_: None),
    "outside-hold": (Holding, lambda *_: None),
    "outside-failing": (NoteOutside, raising),
    "nothing-written": (Note, lambda *_: None),
    "one-row": (Note, Note.process),
    "failing": (Note, raising),
    "failing-after-a-row": (Note, raising_after_a_row),
}


@pytest.mark.parametrize("kind", ITEM)
def test_an_item_costs_its_round_trips_and_no_other(cost, settings, monkeypatch, kind):
    settings.BULKOPS = {"slice_seconds": 1_000}
    operation, process = PROCESS[kind]
    monkeypatch.setattr(operation, "process", process)
    cost(operation, 1)  # the first on a connection prepares the statements
    assert cost(operation, 60) - cost(operation, 10) == 50 * ITEM[kind]


@pytest.mark.django_db
@pytest.mark.parametrize("table", CHECKS)
def test_what_an_item_writes_is_checked_by_few_constraints(table):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND conrelid = %s::regclass", [table])
        assert cursor.fetchone() == (CHECKS[table],)


def test_the_next_chunk_costs_one_round_trip(cost, settings, monkeypatch):
    monkeypatch.setattr(NoteOutside, "process", lambda *_: None)
    settings.BULKOPS = {"slice_seconds": 1_000, "chunk_items": 2}
    cost(NoteOutside, 1)
    assert cost(NoteOutside, 24) - cost(NoteOutside, 4) == 20 * ITEM["outside"] + 10 * CHUNK


def test_the_next_slice_costs_as_much_as_it_did(cost, settings, monkeypatch):
    monkeypatch.setattr(NoteOutside, "process", lambda *_: None)
    settings.BULKOPS = {"slice_seconds": 0}
    cost(NoteOutside, 1)
    assert cost(NoteOutside, 12) - cost(NoteOutside, 2) == 10 * (ITEM["outside"] + SLICE)


def updated(table: str) -> tuple[int, int]:
    """Updates of a table since its counters were reset, and those of them in place, with what this session has done."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = %s",
            [table],
        )
        return cursor.fetchone()


@pytest.mark.slow
def test_a_whole_run_updates_its_chunks_in_place_and_its_turn_seldom(worker, owner, settings):
    settings.BULKOPS = {"slice_seconds": 0.5}
    job = services.submit(user=owner, operation="note", items=[str(n) for n in range(3_000)])
    tables = ("bulkops_chunk", "bulkops_turn")
    before = {table: updated(table) for table in tables}
    said = worker.drain()
    chunks, turns = ([now - then for now, then in zip(updated(table), before[table], strict=True)] for table in tables)
    assert Outcome.objects.filter(job=job, state="succeeded").count() == 3_000
    assert chunks[0] >= 3_000
    assert chunks[1] / chunks[0] >= IN_PLACE
    assert turns[0] <= TURN_UPDATES * len(said)


# -- a poll


def program(user: Any) -> Client:
    """Sends that user's token."""
    _, token = tokens.make(user=user, name="a test")
    return Client(headers={"Authorization": f"Token {token}"})


@pytest.fixture
def running(owner: Any, worker: Any) -> Job:
    """A job in the middle of its work."""
    job = services.submit(user=owner, operation="note", items=[str(n) for n in range(30)], name="Autumn")
    with override_settings(BULKOPS={"slice_seconds": 0}):
        worker.step()
    job.refresh_from_db()
    assert job.state == JobState.RUNNING
    return job


def asked(wire: Tap, client: Client, path: str, status: int, **headers: str) -> tuple[Sent, Any]:
    """Get it as a web server does, which looks at its connection before each request."""
    client.get(path)
    with wire.watched() as sent:
        close_old_connections()
        answer = client.get(path, headers=headers)
    assert answer.status_code == status
    return sent, answer


def test_a_poll_of_the_card(wire, owner, running):
    client = Client()
    client.force_login(owner)
    path = f"{running.get_absolute_url()}progress/?place=job"
    sent, answer = asked(wire, client, path, 200)
    assert len(sent) == POLL["page"], sent.messages
    assert len(gzip.compress(answer.content)) < FRAGMENT_BYTES


def test_a_poll_of_a_program_with_and_without_news(wire, owner, running):
    client = program(owner)
    path = f"/api/jobs/{running.pk}/"
    sent, answer = asked(wire, client, path, 200)
    assert len(sent) == POLL["api"], sent.messages
    sent, answer = asked(wire, client, path, 304, **{"If-None-Match": answer["ETag"]})
    assert len(sent) == POLL["api-unchanged"], sent.messages
    assert not answer.content


# -- a submission


@pytest.fixture
def submission(wire: Tap, worker: Any) -> Callable[[Callable[[], Any]], int]:
    """Round trips of what submits a job; the job ends at once, so that there may be another."""

    def cost(submit: Callable[[], Any]) -> int:
        with wire.watched() as sent:
            submit()
        assert Job.objects.exclude(slot=None).update(state=JobState.CANCELLED, slot=None) == 1
        OrmQ.objects.all().delete()
        return len(sent)

    return cost


def test_a_submission_of_many_items_costs_as_much_as_one_of_few(submission, owner):
    for number in (10, 5_000):
        items = list(range(number))
        cost = submission(lambda items=items: services.submit(user=owner, operation="note", items=items))
        assert cost == SUBMIT["items"]


def test_a_submission_of_a_query_costs_as_much_whatever_it_finds(submission, owner):
    assert submission(lambda: services.submit(user=owner, operation="deposit")) == SUBMIT["query"]
    Account.objects.bulk_create(Account(number=n) for n in range(2_000))
    assert submission(lambda: services.submit(user=owner, operation="deposit")) == SUBMIT["query"]


@pytest.mark.slow
def test_a_submission_of_a_long_file_costs_as_much_as_one_of_a_short_file(submission, owner):
    for rows in (10, 10_000):
        file = SimpleUploadedFile("rows.csv", ("number,note\n" + "7,a\n" * rows).encode())
        body = {"operation": "rows", "file": file}
        client = program(owner)
        assert submission(lambda body=body, client=client: client.post("/api/jobs/", body)) == SUBMIT["file"]


@pytest.fixture
def preparing(submission: Any, worker: Any, owner: Any, monkeypatch: Any) -> Callable[..., int]:
    """Round trips of a submission and of the slice that prepares its items."""
    monkeypatch.setattr("bulkops.engine.preparing.COMMIT_SECONDS", 1_000)

    def cost(operation: str, **what: Any) -> int:
        def submit() -> None:
            services.submit(user=owner, operation=operation, **what)
            assert worker.step() == "prepared"

        return submission(submit)

    return cost


def test_a_thousand_items_more_to_be_checked(preparing, settings):
    settings.BULKOPS = {"validated_in_request": 10}
    few, many = (preparing("rows", items=[{"number": 7}] * 1_000 * thousands) for thousands in (1, 4))
    assert many - few == 3 * CHECKED_THOUSAND


def test_a_thousand_items_more_to_be_collected(preparing):
    Account.objects.bulk_create(Account(number=n) for n in range(4_000))
    few, many = (preparing("deposit-range", params={"first": 0, "last": last}) for last in (999, 3_999))
    assert many - few == 3 * COLLECTED_THOUSAND


# -- nothing to do


@pytest.mark.slow
def test_an_idle_cluster_asks_little_and_holds_no_transaction_open(wire, clusters):
    seconds = 8
    with wire.watched() as sent:
        clusters(workers=2)
        wait_for(lambda: len(sent.with_word("django_q_ormq")) >= 2 and sent.with_word("django_q_schedule"), 10)
    with wire.watched() as sent:
        time.sleep(seconds)
    assert 0 < len(sent) <= seconds * IDLE_A_SECOND, sent.messages
    assert not sent.with_word("BEGIN")
