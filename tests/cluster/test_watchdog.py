"""A worker that neither works nor takes what waits is replaced; a busy one never is, however long the backlog."""

from __future__ import annotations

import time

import pytest
from django_q.models import OrmQ, Task
from django_q.tasks import async_task

from bulkops import services
from bulkops.cluster import process
from bulkops.cluster.watchdog import Watchdog
from bulkops.cluster.workers import Workers
from bulkops.models import Cluster
from bulkops.states import JobState
from tests.clusters import wait_for
from tests.sample.models import Account, Effect

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 0.6


@pytest.fixture
def workers(transactional_db, settings, monkeypatch):
    """One worker process that hangs from its beginning."""
    settings.BULKOPS = {
        "wedged_after_seconds": PATIENCE,
        "listen_fallback_seconds": PATIENCE / 10,
        "cluster_renew_seconds": PATIENCE / 3,
    }
    monkeypatch.setattr(process, "work", lambda *_: time.sleep(60))
    workers = Workers(Cluster(pk=1, name="here"), 1, ["default"])
    workers.look(replace=True)
    yield workers
    workers.kill()
    while workers.any_left:
        workers.look(replace=False)


def watch(watchdog: Watchdog, workers: Workers, seconds: float, *, stopping: bool = False) -> bool:
    """Round after round; say whether the worker was killed."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        watchdog.look(stopping=stopping)
        time.sleep(PATIENCE / 20)
        if workers.look(replace=False):
            return True
    return False


def test_a_silent_worker_is_killed_while_something_waits_and_blamed_for_nothing(workers, caplog):
    async_task("math.sqrt", 4)
    began = time.monotonic()
    assert watch(Watchdog(workers, ["default"]), workers, 10)
    assert time.monotonic() - began > PATIENCE
    assert "event=worker_wedged" in caplog.text
    assert workers.dead[0].in_hand is None


@pytest.mark.slow
def test_as_long_as_nothing_waits_nobody_minds(workers):
    assert not watch(Watchdog(workers, ["default"]), workers, 3 * PATIENCE)


def test_a_cluster_that_stops_waits_for_no_stuck_worker(workers):
    assert watch(Watchdog(workers, ["default"]), workers, 10, stopping=True)


@pytest.mark.slow
def test_what_waits_for_another_queue_is_not_its_business(workers):
    async_task("math.sqrt", 4)
    OrmQ.objects.update(key="bulkops:slow")
    assert not watch(Watchdog(workers, ["default"]), workers, 3 * PATIENCE)


@pytest.mark.slow
def test_what_waited_before_an_outage_does_not_count(workers):
    async_task("math.sqrt", 4)
    watchdog = Watchdog(workers, ["default"])
    time.sleep(PATIENCE)  # it is silent for long enough when the leader begins to look
    watchdog.look()
    time.sleep(2 * PATIENCE)  # and the leader could ask nobody
    watchdog.look()
    assert not workers.look(replace=False)
    assert watch(watchdog, workers, 10)


@pytest.mark.slow
def test_a_worker_that_gives_signs_of_life_is_left_alone(workers):
    async_task("math.sqrt", 4)
    watchdog, ends = Watchdog(workers, ["default"]), time.monotonic() + 3 * PATIENCE
    while time.monotonic() < ends:
        workers._slots.of(1).clear()
        assert not watch(watchdog, workers, PATIENCE / 2)


IMPATIENT = """
from django.conf import settings
settings.BULKOPS = {
    "wedged_after_seconds": 1.5,
    "listen_fallback_seconds": 0.3,
    "cluster_renew_seconds": 0.3,
    "turn_grace_seconds": 0.5,
}
"""

HANG_ONCE = """
import multiprocessing, os, time
from django.db.backends.signals import connection_created
from django_q.signals import pre_execute
def hang_once(**_):
    if multiprocessing.current_process().name.startswith("worker"):
        try:
            os.close(os.open({path!r}, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        while True:
            time.sleep(60)
{signal}.connect(hang_once, weak=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize("signal", ["connection_created", "pre_execute"])
def test_a_worker_that_hangs_in_somebodys_receiver_is_replaced_and_the_turn_runs(owner, clusters, tmp_path, signal):
    path = tmp_path / "hung"
    cluster = clusters(workers=1, prelude=IMPATIENT + HANG_ONCE.format(path=str(path), signal=signal))
    (stuck,) = cluster.workers()
    job = services.submit(user=owner, operation="note", items=["a", "b"])
    wait_for(path.exists, 10, "the hanging")
    wait_for(lambda: type(job).objects.get(pk=job.pk).state == JobState.COMPLETED, 20, "the job's end")
    assert stuck not in cluster.workers()
    assert sorted(Effect.objects.values_list("item", flat=True)) == ["a", "b"]
    assert cluster.log.read_text().count("event=worker_wedged") == 1


@pytest.mark.slow
def test_a_busy_cluster_with_a_long_backlog_keeps_its_workers(owner, stranger, clusters):
    """Items and a task of the project's own, each longer than the watchdog's patience, and others that wait behind."""
    Account.objects.bulk_create([Account(number=number) for number in range(2)])
    long_items = services.submit(user=owner, operation="deposit", params={"amount": 1, "pause": 2})
    async_task("time.sleep", 3, save=True)
    behind = services.submit(user=stranger, operation="note", items=["a"])
    cluster = clusters(workers=1, prelude=IMPATIENT)
    workers = cluster.workers()

    def all_done() -> bool:
        return Task.objects.exists() and not type(behind).objects.filter(pk__in=[long_items.pk, behind.pk]).active()

    wait_for(all_done, 30, "the end")
    assert cluster.workers() == workers
    assert "worker_wedged" not in cluster.log.read_text()
