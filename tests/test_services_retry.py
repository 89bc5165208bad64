"""Retrying: a child takes what failed, was left, or is in doubt; each item once, under the same key, for ever."""

from __future__ import annotations

import threading

import pytest
from django.db import connections

from bulkops import fingerprints, lineage, progress, registry, services, what_failed
from bulkops.engine import chunks, finishing, turns
from bulkops.engine.statements import ItemStatements, Result, Try
from bulkops.exceptions import ActiveJobExists, InvalidSubmission, NotAllowedNow, NotPermitted
from bulkops.models import Event, Job, Manifest, Outcome
from bulkops.states import ACTIVE, ENDED, EventKind, JobState, OutcomeState
from bulkops.verify import verify
from bulkops.web import items
from tests.sample.models import Effect
from tests.sample.operations import Holding, Telling
from tests.worker import InProcessWorker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def small_chunks(settings):
    settings.BULKOPS = {"chunk_items": 3}


def submit(owner, count=8, **what):
    return services.submit(user=owner, operation="holding", items=[f"i{n}" for n in range(count)], **what)


def items_of(job):
    payloads = Manifest.objects.filter(job=job).order_by("number").values_list("payload", flat=True)
    return [item for payload in payloads for item in lineage.manifests.decode(payload)]


def left(job):
    job.refresh_from_db()
    return progress.of(job).left


def keys():
    """What the other system has been told: item by item, the keys it was asked with."""
    asked: dict = {}
    for item, note in Effect.objects.values_list("item", "note"):
        asked.setdefault(item, []).append(note.split()[1])
    return asked


def test_a_child_takes_what_failed_and_nothing_else(owner, worker, failing):
    failing |= {"i1", "i4", "i7"}
    job = submit(owner, name="spring", tags=["a"], metadata={"n": 1})
    worker.finish(job)
    assert left(job) == {"failed": 3}
    failing.clear()
    child = services.retry(job=job, actor=owner, items="failed", reason="mended")
    assert (child.state, child.total, child.parent_id, child.root_id, child.retry_count) == (
        JobState.PREPARING,
        None,
        job.pk,
        job.pk,
        1,
    )
    assert (child.name, child.tags, child.metadata, child.owner) == ("spring", ["a"], {"n": 1}, owner)
    worker.finish(child)
    assert (child.state, child.total, items_of(child)) == (JobState.COMPLETED, 3, ["i1", "i4", "i7"])
    assert left(job) == {}
    told = Event.objects.get(job=job, kind=EventKind.RETRIED)
    assert told.actor == owner
    assert str(child.pk) in told.detail
    assert "mended" in told.detail
    assert verify(job.pk).agrees
    assert verify(child.pk).agrees


def test_the_key_is_the_first_ancestors_over_all_generations(owner, worker, failing):
    failing |= {"i1", "i4", "i7"}
    job = submit(owner)
    worker.finish(job)
    first = services.retry(job=job, actor=owner)
    failing -= {"i4"}
    worker.finish(first)
    second = services.retry(job=first, actor=owner)
    failing.clear()
    worker.finish(second)
    assert (second.root_id, second.retry_count, items_of(second)) == (job.pk, 2, ["i1", "i7"])
    assert keys()["i7"] == [f"{job.pk}:7"] * 3
    assert keys()["i4"] == [f"{job.pk}:4"] * 2
    assert keys()["i0"] == [f"{job.pk}:0"]
    # The same key is shown to whoever has to look it up: at the child's first position lies the first job's second.
    assert lineage.key_at(second, 1) == f"{job.pk}:7"
    assert lineage.key_at(job, 7) == f"{job.pk}:7"
    assert lineage.key_at(second, 2) == lineage.key_at(job, 8) == ""  # where there is no item
    assert [row.key for row in items.page(second).items] == [f"{job.pk}:1", f"{job.pk}:7"]


def test_items_that_a_child_has_taken_are_not_taken_again(owner, worker, failing):
    failing |= {"i1", "i4"}
    job = submit(owner)
    worker.finish(job)
    child = worker.finish(services.retry(job=job, actor=owner))
    with pytest.raises(NotAllowedNow, match=f"Job {child.pk} has taken the failed items of this job already") as no:
        services.retry(job=job, actor=owner)
    assert no.value.job == child
    assert left(child) == {"failed": 2}


def test_what_a_cancelled_job_left_goes_on_in_a_child(owner, worker, failing):
    failing |= {"i1"}
    job = submit(owner)
    Holding.meanwhile["never"] = None
    worker.stop = True  # ends its slice after the item in hand
    worker.step()
    worker.stop = False
    services.cancel(job=job, actor=owner)
    assert left(job) == {"unprocessed": 7}
    child = worker.finish(services.retry(job=job, actor=owner))
    assert items_of(child) == [f"i{n}" for n in range(1, 8)]
    assert left(job) == {}
    assert left(child) == {"failed": 1}
    assert keys()["i1"] == [f"{job.pk}:1"]
    with pytest.raises(NotAllowedNow, match="has taken the unprocessed items"):
        services.retry(job=job, actor=owner, items="unprocessed")


def test_deferred_items_of_an_ended_job_are_unprocessed(owner, worker):
    job = services.submit(user=owner, operation="habits-outside", items=["a", "retry-after", "b"])
    worker.step()
    services.cancel(job=job, actor=owner)
    assert left(job) == {"unprocessed": 1}
    child = services.retry(job=job, actor=owner)
    worker.step()
    assert items_of(child) == ["retry-after"]


def test_a_child_cancelled_before_it_had_its_items_has_taken_none(owner, worker, failing):
    failing |= {"i1"}
    job = worker.finish(submit(owner))
    services.cancel(job=services.retry(job=job, actor=owner), actor=owner)
    assert left(job) == {"failed": 1}
    child = worker.finish(services.retry(job=job, actor=owner))
    assert items_of(child) == ["i1"]


def test_items_in_doubt_are_tried_again_only_when_asked_for_by_name(owner, worker, failing):
    job = submit(owner)
    worker.finish(job)
    lie_in_doubt(job, 2)
    assert left(job) == {"in_doubt": 1}
    with pytest.raises(NotAllowedNow, match="only when in_doubt is asked for"):
        services.retry(job=job, actor=owner)
    with pytest.raises(NotAllowedNow, match="no failed items"):
        services.retry(job=job, actor=owner, items="failed")
    child = worker.finish(services.retry(job=job, actor=owner, items="in_doubt"))
    assert items_of(child) == ["i2"]
    with pytest.raises(NotAllowedNow, match=f"tried again by job {child.pk}"):
        services.decide(job=job, position=2, decision="done", actor=owner)


def lie_in_doubt(job, *positions):
    """Make succeeded items doubtful, as if their workers had been lost."""
    for position in positions:
        Outcome.objects.filter(job=job, position=position).update(state=OutcomeState.IN_DOUBT, message="lost")
        chunk = job.chunks.get(number=position // 3)
        chunk.succeeded, chunk.in_doubt = chunk.succeeded - 1, chunk.in_doubt + 1
        chunk.save(update_fields=["succeeded", "in_doubt"])
    Job.objects.filter(pk=job.pk, state=JobState.COMPLETED).update(state=JobState.COMPLETED_WITH_ERRORS)
    job.refresh_from_db()


@pytest.mark.parametrize("state", sorted(JobState))
def test_only_an_ended_job_is_retried(owner, worker, failing, state):
    failing |= {"i1"}
    job = worker.finish(submit(owner))
    slot = {"slot": "somebody"} if state in ACTIVE else {}
    Job.objects.filter(pk=job.pk).update(state=state, **slot)
    if state in ENDED:
        assert services.retry(job=job, actor=owner).parent_id == job.pk
    else:
        with pytest.raises(NotAllowedNow, match="has not ended yet"):
            services.retry(job=job, actor=owner)


def test_an_item_still_in_a_workers_hand_is_not_taken_from_a_failed_job(owner, worker):
    other = InProcessWorker()
    job = services.submit(user=owner, operation="note", items=["a", "b", "c", "d"], parallelism=2)
    taken = [turns.take(job.pk, number, 0, one.holder) for number, one in enumerate((worker, other))]
    claim = chunks.claim(taken[0], worker.holder)
    finishing.fail(taken[1], "cannot go on", "error")
    with pytest.raises(NotAllowedNow, match="still has an item"):
        services.retry(job=job, actor=owner)
    statements = ItemStatements()
    statements.prepare()
    statements.record(Try(claim=claim, position=0), Result(state=OutcomeState.SUCCEEDED))
    finishing.end_slice(taken[0], claim, registry.get("note"), {})
    assert items_of(worker.finish(services.retry(job=job, actor=owner))) == ["b", "c", "d"]


def test_a_child_needs_its_owners_slot(owner, worker, failing):
    failing |= {"i1"}
    job = worker.finish(submit(owner))
    running = submit(owner)
    with pytest.raises(ActiveJobExists) as refusal:
        services.retry(job=job, actor=owner)
    assert refusal.value.job == running


def test_of_twenty_presses_at_once_one_makes_a_child(owner, worker, failing):
    failing |= {"i1"}
    job = worker.finish(submit(owner))
    made, refused = [], []

    def press() -> None:
        try:
            made.append(services.retry(job=job, actor=owner))
        except ActiveJobExists as refusal:
            refused.append(refusal.job)
        connections.close_all()

    threads = [threading.Thread(target=press) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert refused == made * 19
    assert Job.objects.count() == 2


def test_who_may_control_may_retry_and_the_child_is_the_owners(owner, worker, failing, manager, stranger):
    failing |= {"i1"}
    job = worker.finish(submit(owner))
    with pytest.raises(NotPermitted):
        services.retry(job=job, actor=stranger)
    child = services.retry(job=job, actor=manager)
    assert child.owner == owner
    assert Event.objects.get(job=child, kind=EventKind.SUBMITTED).actor == manager


def test_an_owner_who_may_no_longer_run_it_gets_no_child(owner, worker, failing, manager):
    failing |= {"i1"}
    job = worker.finish(submit(owner))
    type(owner).objects.filter(pk=owner.pk).update(is_active=False)
    with pytest.raises(NotPermitted, match="owner"):
        services.retry(job=Job.objects.get(pk=job.pk), actor=manager)


def test_other_words_are_refused(owner, worker):
    with pytest.raises(InvalidSubmission):
        services.retry(job=worker.finish(submit(owner)), actor=owner, items="succeeded")


def test_a_job_that_never_had_its_items_has_nothing_to_retry(owner):
    job = services.submit(user=owner, operation="collecting", params={"how": "nothing"})
    services.cancel(job=job, actor=owner)
    with pytest.raises(NotAllowedNow, match="no unprocessed items"):
        services.retry(job=job, actor=owner, items="unprocessed")


def test_collecting_for_a_child_begins_anew_after_a_crash(owner, worker, failing, monkeypatch):
    failing |= {f"i{n}" for n in range(8)}
    job = worker.finish(submit(owner))
    child = services.retry(job=job, actor=owner)
    real = lineage.items_to_take

    def torn(of):
        for number, pair in enumerate(real(of)):
            if number == 5:
                raise KeyboardInterrupt
            yield pair

    monkeypatch.setattr(lineage, "items_to_take", torn)
    with monkeypatch.context() as patch:
        patch.setattr("bulkops.engine.finishing.fail", lambda *_: None)
        worker.step()
    monkeypatch.setattr(lineage, "items_to_take", real)
    child.refresh_from_db()
    assert child.state == JobState.PREPARING
    worker.rescue()
    failing.clear()
    worker.finish(child)
    assert items_of(child) == [f"i{n}" for n in range(8)]
    assert verify(child.pk).agrees


# -- one group of failures


@pytest.fixture
def told(owner, worker, monkeypatch):
    """An ended job: three items without a ticket, two without a price, one fine; nothing fails any more."""
    items = ["no ticket 1", "no price", "fine", "no ticket 2", "no price", "no ticket 3"]
    job = worker.finish(services.submit(user=owner, operation="telling", items=items))
    monkeypatch.setattr(Telling, "mended", set(items))
    return job


TICKET, PRICE = (fingerprints.of("ValueError", words).fingerprint for words in ("no ticket 1", "no price"))


def left_by_group(job):
    return what_failed.of(job).left


def test_a_group_is_retried_and_nothing_else(owner, worker, told):
    assert left_by_group(told) == {TICKET: 3, PRICE: 2}
    child = worker.finish(services.retry(job=told, actor=owner, fingerprint=TICKET))
    assert items_of(child) == ["no ticket 1", "no ticket 2", "no ticket 3"]
    assert (child.state, child.retry_items, child.retry_fingerprint, child.took) == (
        JobState.COMPLETED,
        "failed",
        TICKET,
        {TICKET: 3},
    )
    assert left_by_group(told) == {PRICE: 2}
    assert left(told) == {"failed": 2}
    with pytest.raises(NotAllowedNow, match=f"{child.pk} has taken the failed items of group {TICKET}"):
        services.retry(job=told, actor=owner, items="failed", fingerprint=TICKET)
    rest = worker.finish(services.retry(job=told, actor=owner))
    assert items_of(rest) == ["no price", "no price"]
    assert (rest.took, left_by_group(told), left(told)) == ({PRICE: 2}, {}, {})
    assert verify(told.pk).agrees


def test_after_all_failures_were_taken_no_group_has_any_left(owner, worker, told):
    child = worker.finish(services.retry(job=told, actor=owner))
    assert child.took == {TICKET: 3, PRICE: 2}
    assert left_by_group(told) == {}
    with pytest.raises(NotAllowedNow, match=str(child.pk)) as refusal:
        services.retry(job=told, actor=owner, fingerprint=PRICE)
    assert refusal.value.job == child


def test_while_a_child_collects_every_group_counts_as_taken(owner, worker, told):
    child = services.retry(job=told, actor=owner, fingerprint=TICKET)
    assert left_by_group(told) == {}
    services.cancel(job=child, actor=owner)
    assert left_by_group(told) == {TICKET: 3, PRICE: 2}


def test_an_item_decided_as_failed_after_the_retry_is_left_in_its_group(owner, worker, told):
    worker.finish(services.retry(job=told, actor=owner))
    lie_in_doubt(told, 2)
    services.decide(job=told, position=2, decision="failed", actor=owner)
    (late,) = (group for group in what_failed.of(told).groups if group.positions == (2,))
    assert left_by_group(told) == {late.fingerprint: 1}
    assert items_of(worker.finish(services.retry(job=told, actor=owner, fingerprint=late.fingerprint))) == ["fine"]
    assert left_by_group(told) == {}


def test_a_childs_own_failures_have_groups_of_their_own(owner, worker, told, monkeypatch):
    monkeypatch.setattr(Telling, "mended", set())
    child = worker.finish(services.retry(job=told, actor=owner, fingerprint=PRICE))
    assert left_by_group(child) == {PRICE: 2}
    grandchild = worker.finish(services.retry(job=child, actor=owner, fingerprint=PRICE))
    assert items_of(grandchild) == ["no price", "no price"]
    assert left_by_group(child) == {}


def test_a_group_that_there_is_not_is_refused(owner, worker, told):
    with pytest.raises(NotAllowedNow, match="no failed items of group 0123456789ab"):
        services.retry(job=told, actor=owner, fingerprint="0123456789ab")
    with pytest.raises(InvalidSubmission, match="no fingerprint"):
        services.retry(job=told, actor=owner, fingerprint="x\x00")
    with pytest.raises(InvalidSubmission, match="Only failed items"):
        services.retry(job=told, actor=owner, items="unprocessed", fingerprint=TICKET)
