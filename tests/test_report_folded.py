"""The folded report: what became of each item in the last job that tried it."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkops import services
from bulkops.models import Chunk
from bulkops.report import Report, Wanted
from bulkops.report import rows as report_rows
from bulkops.states import JobState, OutcomeState
from tests.reports import rows, stored
from tests.test_report_cells import AS_OFTEN

pytestmark = pytest.mark.django_db


def fold_naively(line):
    """What `folded` promises, by the shortest program that says it. `line`: jobs, each after its parent."""
    last: dict[str, tuple] = {}
    for job, roots in line:
        for row in rows(job):
            root = roots[int(row["position"])]
            attempts, *_ = last.get(root, (0,))
            if int(row["attempts"]):
                told = (row["state"], row["error_code"], row["message"], row["result"], row["finished_at"])
                last[root] = (attempts + int(row["attempts"]), *told, str(job.pk))
    return last


FATE = ("state", "error_code", "message", "result", "finished_at", "job")


def folded(job):
    return [
        (
            int(row["attempts"]),
            *(row[name] for name in ("state", "error_code", "message", "result", "finished_at", "job")),
        )
        for row in rows(job, folded=True)
    ]


NEVER = (0, "unprocessed", "", "", "", "", "")


@pytest.mark.slow
@AS_OFTEN
@given(data=st.data())
def test_the_folded_report_is_that_of_the_last_job_that_tried_each_item(owner, data, settings, monkeypatch):
    settings.BULKOPS = {"chunk_items": data.draw(st.integers(1, 5))}
    monkeypatch.setattr(report_rows, "PAGE", data.draw(st.integers(1, 4)))
    count = data.draw(st.integers(1, 14))
    line = []

    def job(roots, **fields):
        states = [data.draw(st.sampled_from([*OutcomeState.values, None])) for _ in roots]
        told = {
            n: {"state": state, "attempt": data.draw(st.integers(1, 3)), "message": f"{len(line)}-{n}"}
            for n, state in enumerate(states)
            if state
        }
        made = stored(
            owner,
            [f"i{root}" for root in roots],
            told,
            roots=roots if fields else None,
            state=JobState.CANCELLED,
            **fields,
        )
        line.append((made, roots))
        return made

    job(list(range(count)))
    for _ in range(data.draw(st.integers(0, 4))):
        parent, roots = data.draw(st.sampled_from(line))
        taken = {root for child, theirs in line if child.parent_id == parent.pk for root in theirs}
        left = [root for root in roots if root not in taken]
        if left:
            chosen = sorted(data.draw(st.sets(st.sampled_from(left), min_size=1)))
            job(chosen, parent=parent, root=line[0][0])

    for start, roots in line:
        below = [start.pk]
        downward = [(start, roots)]
        for child, theirs in line:
            if child.parent_id in below:
                below.append(child.pk)
                downward.append((child, theirs))
        expected = fold_naively(downward)
        assert folded(start) == [expected.get(root, NEVER) for root in roots]


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_retries_that_workers_ran_are_folded_in(owner, worker, failing, settings):
    settings.BULKOPS = {"chunk_items": 3}
    failing |= {"i1", "i4", "i7"}
    first = worker.finish(services.submit(user=owner, operation="holding", items=[f"i{n}" for n in range(8)]))
    failing -= {"i4"}
    second = worker.finish(services.retry(job=first, actor=owner))
    failing -= {"i7"}
    third = worker.finish(services.retry(job=second, actor=owner))
    told = [(row["item"], row["state"], row["attempts"], row["job"]) for row in rows(first, folded=True)]
    fates = {
        "i1": ("failed", "3", third),
        "i4": ("succeeded", "2", second),
        "i7": ("succeeded", "3", third),
    }
    names = [f"i{n}" for n in range(8)]
    assert told == [
        (name, *fates.get(name, ("succeeded", "1", first))[:2], str(fates.get(name, (0, 0, first))[2].pk))
        for name in names
    ]
    # From the middle of the line: downwards, over that job's own items.
    assert [(row["item"], row["state"], row["attempts"]) for row in rows(second, folded=True)] == [
        ("i1", "failed", "2"),
        ("i4", "succeeded", "1"),
        ("i7", "succeeded", "2"),
    ]
    assert [row["item"] for row in rows(first, folded=True, states=frozenset({"failed"}))] == ["i1"]
    assert "job" not in rows(first)[0]


def test_a_child_that_is_still_collecting_changes_nothing(owner):
    job = stored(owner, ["a"], {0: {"state": "failed"}}, state=JobState.COMPLETED_WITH_ERRORS)
    child = stored(owner, ["a"], {}, roots=[0], state=JobState.PREPARING, parent=job, root=job, total=None)
    Chunk.objects.filter(job=child).delete()
    assert [row["state"] for row in rows(job, folded=True)] == ["failed"]


@pytest.mark.slow
def test_folding_a_long_line_needs_no_more_memory(owner):
    def peak(job):
        tracemalloc.start()
        try:
            for _ in Report(job, Wanted(folded=True)).blocks():
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def line(count):
        job = stored(owner, range(count))
        child = stored(owner, range(0, count, 2), roots=range(0, count, 2), parent=job, root=job)
        stored(owner, range(0, count, 4), roots=range(0, count, 4), parent=child, root=job)
        return job

    small, large = line(3_000), line(20_000)
    peak(small)
    assert peak(large) < peak(small) * 2  # of nearly seven times as many items
