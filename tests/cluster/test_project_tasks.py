"""Tasks that a project gives to django-q2 itself: our workers run them as its documentation says, at least once."""

from __future__ import annotations

import pytest
from django_q.models import OrmQ, Task
from django_q.signals import post_execute
from django_q.tasks import async_chain, async_task, result
from django_q.worker import worker as work

from bulkops import dispatch
from bulkops.cluster.inbox import Inbox, Outbox, Timer
from tests.clusters import wait_for
from tests.sample.models import Effect

pytestmark = pytest.mark.django_db(transaction=True)


def work_all() -> None:
    """django-q2's worker in this process, on our queue, until nothing is due."""
    inbox = Inbox(dispatch.queue_keys(["default"]), lambda: not dispatch.anything_waits(["default"]))
    work(inbox, Outbox(), Timer(), -1)


def effects() -> list[str]:
    return list(Effect.objects.order_by("pk").values_list("item", flat=True))


def test_a_task_that_succeeds_is_acknowledged_and_stored_where_that_is_asked():
    async_task("tests.sample.tasks.write", "plain")
    saved = async_task("tests.sample.tasks.write", "saved", save=True)
    work_all()
    assert sorted(effects()) == ["plain", "saved"]
    assert not OrmQ.objects.exists()
    assert Task.objects.get().id == saved
    assert result(saved) == "wrote saved"


def test_a_task_that_fails_is_stored_and_logged_and_with_ack_failure_not_run_again(caplog):
    async_task("tests.sample.tasks.fail", "bad", ack_failure=True)
    work_all()
    assert not OrmQ.objects.exists()
    stored = Task.objects.get()
    assert not stored.success
    assert "this task is bad" in stored.result
    assert "func=tests.sample.tasks.fail event=task_failed this task is bad" in caplog.text


def test_without_ack_failure_a_failed_task_stays_and_is_due_again_after_retry(monkeypatch):
    monkeypatch.setattr("django_q.conf.Conf.MAX_ATTEMPTS", 0)
    async_task("tests.sample.tasks.fail", "again", ack_failure=False)
    work_all()
    assert not dispatch.anything_waits(["default"])
    OrmQ.objects.update(lock=OrmQ.objects.get().lock.replace(year=2000))  # `retry` seconds later
    work_all()
    assert effects() == ["again", "again"]
    assert Task.objects.get().attempt_count == 2
    assert OrmQ.objects.exists()


def test_a_hook_is_called_with_the_stored_task():
    async_task("tests.sample.tasks.write", "hooked", hook="tests.sample.tasks.note_result", save=True)
    async_task("tests.sample.tasks.fail", "bad", hook="tests.sample.tasks.note_result")
    work_all()
    notes = Effect.objects.filter(item="hook").values_list("note", flat=True)
    assert sorted(note.split(" :")[0] for note in notes) == ["False this task is bad", "True wrote hooked"]


def test_a_chain_goes_on_and_a_cached_result_is_in_the_cache():
    async_chain([("tests.sample.tasks.write", ("first",)), ("tests.sample.tasks.write", ("second",))], cached=True)
    work_all()
    assert effects() == ["first", "second"]
    cached = async_task("tests.sample.tasks.write", "third", cached=True)
    work_all()
    assert result(cached, cached=True) == "wrote third"
    assert not Task.objects.exists()


def test_a_receiver_that_raises_costs_no_worker(caplog):
    heard = []

    def listen(task, **_):
        heard.append(task["name"])
        raise ValueError("cannot listen")

    post_execute.connect(listen)
    try:
        async_task("tests.sample.tasks.write", "heard", task_name="spoken")
        work_all()
    finally:
        post_execute.disconnect(listen)
    assert heard == ["spoken"]
    assert "event=receiver_failed" in caplog.text


RETRY_SOON = """
from django_q.conf import Conf
Conf.RETRY = 2
"""


@pytest.mark.slow
def test_a_task_killed_midway_is_run_again_after_retry_and_others_run_meanwhile(clusters):
    cluster = clusters(workers=1, prelude=RETRY_SOON)
    async_task("tests.sample.tasks.kill_at_first", "killed")
    wait_for(lambda: effects() == ["killed"], 10, "the first run")
    async_task("tests.sample.tasks.write", "meanwhile")
    wait_for(lambda: len(effects()) == 3, 10, "the second run")
    assert effects() == ["killed", "meanwhile", "killed"]
    wait_for(lambda: not OrmQ.objects.exists(), 5, "the acknowledgement")
    wait_for(lambda: len(cluster.workers()) == 1, 5, "another worker")


@pytest.mark.slow
def test_a_task_with_a_timeout_is_stopped_by_an_alarm_or_else_by_the_leader(clusters):
    cluster = clusters(workers=2)
    async_task("time.sleep", 60, timeout=1)
    async_task("tests.sample.tasks.sleep_through_alarms", 60, timeout=1)
    wait_for(Task.objects.exists, 10, "the alarm's failure")
    assert "exceeded maximum timeout value (1 seconds)" in Task.objects.get().result
    wait_for(lambda: "event=task_overdue" in cluster.log.read_text(), 10, "the leader's")
    wait_for(lambda: len(cluster.workers()) == 2, 5, "two workers again")
    async_task("tests.sample.tasks.write", "after")
    wait_for(lambda: effects() == ["after"], 5, "another task")
