"""The database restarted, cut off and away: everybody comes back by themselves, and nothing is lost or doubled."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

import psycopg2
import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from bulkops import services
from bulkops.engine.faults import Fault, classify
from bulkops.models import Chunk, Cluster, Outcome
from bulkops.states import JobState
from bulkops.verify import verify
from tests.chaos.databases import cut_all, patiently
from tests.clusters import RealCluster, wait_for
from tests.sample.models import Account
from tests.sites import Person, RealSite

if TYPE_CHECKING:
    from bulkops.models import Job
    from tests.chaos.databases import OwnDatabase

pytestmark = pytest.mark.slow

ITEMS = 300
PAUSE_SECONDS = 0.01
AWAY_SECONDS = 20
BACK_SECONDS = 5
"""How soon after the database the work is back, on a busy machine."""
AWAY = "The database does not answer"


class Answer(NamedTuple):
    what: str
    status: int
    text: str


class Watcher(threading.Thread):
    """Somebody who looks at every kind of page of a job, again and again, as their browser would."""

    def __init__(self, person: Person, job: Job) -> None:
        super().__init__(daemon=True)
        self.person = person
        page = job.get_absolute_url()
        self.pages = {"home": "/", "job": page, "form": "/operations/deposit/", "admin": "/admin/bulkops/job/"}
        self.pages |= {"items": f"{page}items/", "login": "/accounts/login/"}
        self.fragment = f"{page}progress/?place=job"
        self.answers: list[Answer] = []
        self._enough = threading.Event()

    def run(self) -> None:
        """Until told that it is enough."""
        while not self._enough.wait(0.1):
            for what, path in self.pages.items():
                self.answers.append(Answer(what, *self.person.look(path, Accept="text/html")))
                self.answers.append(Answer("fragment", *self.person.look(self.fragment, **{"HX-Request": "true"})))

    def stop(self) -> None:
        self._enough.set()
        self.join(30)

    def of(self, what: str) -> list[Answer]:
        return [answer for answer in self.answers if answer.what == what]


class Rig:
    """Two clusters, a web server and a user of one database, which has faults."""

    def __init__(self, database: OwnDatabase, folder) -> None:
        self.database = database
        self.clusters = [RealCluster(log=folder / f"cluster{number}.log", workers=1) for number in range(2)]
        self.site = RealSite(folder / "web.log")
        self.site.start()
        for cluster in self.clusters:
            cluster.wait_until_alive()
        self.watcher: Watcher | None = None
        self.user = get_user_model().objects.create_superuser("owner", password="secret")
        self.person = Person(f"http://127.0.0.1:{self.site.port}")
        self.person.log_in("owner", "secret")

    def begin(self) -> tuple[Job, Watcher]:
        """A job under way, with somebody watching it."""
        Account.objects.all().delete()
        Account.objects.bulk_create([Account(number=number) for number in range(ITEMS)])
        job = services.submit(
            user=self.user, operation="deposit", params={"amount": 1, "pause": PAUSE_SECONDS}, parallelism=2
        )
        self.watcher = Watcher(self.person, job)
        self.watcher.start()
        wait_for(lambda: processed(job) > ITEMS / 10, 20, "some items")
        return job, self.watcher

    def goes_on(self, job: Job) -> float:
        """Wait until more items are processed; in how many seconds that was."""
        began, stood = time.monotonic(), patiently(lambda: processed(job))
        wait_for(lambda: patiently(lambda: processed(job)) > stood, BACK_SECONDS, "the work to go on")
        return time.monotonic() - began

    def end(self) -> None:
        self.site.kill()
        for cluster in self.clusters:
            cluster.kill()


@pytest.fixture(scope="module")
def rig(own_database, tmp_path_factory):
    rig = Rig(own_database, tmp_path_factory.mktemp("rig"))
    yield rig
    rig.end()


@pytest.fixture(autouse=True)
def nobody_was_restarted(rig):
    """The leaders and the web server are the same processes after each fault as before."""
    web = rig.site.processes()
    rows = set(Cluster.objects.values_list("name", flat=True))
    yield
    if rig.watcher is not None:
        rig.watcher.stop()
    assert all(cluster.leader.poll() is None for cluster in rig.clusters)
    assert rig.site.processes() == web
    assert set(Cluster.objects.values_list("name", flat=True)) == rows
    for cluster in rig.clusters:
        wait_for(lambda cluster=cluster: len(cluster.workers()) == 1, 5, "one worker again")


def processed(job: Job) -> int:
    return sum(Chunk.objects.filter(job=job).values_list("cursor", flat=True))


def assert_nothing_lost_or_doubled(job: Job, watcher: Watcher) -> None:
    def ended() -> bool:
        job.refresh_from_db()
        return not job.is_active

    wait_for(lambda: patiently(ended), 30, "the job's end")
    wait_for(lambda: all("Completed" in watcher.of(what)[-1].text for what in ("fragment", "job")), 10, "it to be seen")
    watcher.stop()
    assert job.state == JobState.COMPLETED, job.error
    assert Account.objects.filter(balance=1).count() == ITEMS == Account.objects.count()
    assert Outcome.objects.filter(job=job, state="succeeded").count() == ITEMS
    assert verify(job.pk).agrees
    assert_pages_in_order(watcher)


def assert_pages_in_order(watcher: Watcher) -> None:
    """Each answer was the page, or said in words that the database is away."""
    for answer in watcher.answers:
        away = AWAY in answer.text
        if answer.what == "fragment":
            assert answer.status == 200
            assert away == ("still trying</h2>" in answer.text)
            assert 'hx-trigger="every' in answer.text or "Completed" in answer.text
        else:
            assert answer.status == (503 if away else 200), (answer.what, answer.text[:2000])
            assert ('http-equiv="refresh"' in answer.text) or not away
    assert AWAY not in watcher.answers[-1].text
    assert "Completed" in watcher.of("fragment")[-1].text
    assert "Completed" in watcher.of("job")[-1].text


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_of_the_database_costs_seconds(rig, mode):
    job, watcher = rig.begin()
    rig.database.restart(mode)
    print(f"went on {rig.goes_on(job):.2f} s after the database was back")
    assert_nothing_lost_or_doubled(job, watcher)


def test_a_statement_that_finds_the_server_restarted_is_no_items_failure(rig):
    """psycopg2 may call such a connection open: what the server said in parting came before the end of the line."""
    connection.ensure_connection()
    driver = connection.connection
    rig.database.restart("immediate")
    with pytest.raises(psycopg2.DatabaseError) as caught, driver.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert classify(caught.value, driver) is Fault.CONNECTION
    connection.close()


def test_all_sessions_terminated_again_and_again_cost_seconds(rig):
    job, watcher = rig.begin()
    cuts = 0
    for _ in range(4):
        cuts += cut_all()
        rig.goes_on(job)
    assert cuts > 10
    assert_nothing_lost_or_doubled(job, watcher)


def test_a_database_that_is_away_for_20_seconds_is_waited_for(rig):
    job, watcher = rig.begin()
    rig.database.stop()
    stopped = len(watcher.answers)
    time.sleep(AWAY_SECONDS)
    during = watcher.answers[stopped + 1 :]
    assert rig.site.ask("/healthz") == 200
    assert rig.site.ask("/readyz") == 503
    rig.database.start()
    print(f"went on {rig.goes_on(job):.2f} s after the database was back")
    wait_for(lambda: "Running" in watcher.of("job")[-1].text, BACK_SECONDS, "the page to show the job going on")
    for what in watcher.pages:
        assert {answer.status for answer in during if answer.what == what} == {503}
    assert all(AWAY in answer.text for answer in during)
    assert len(during) > 50
    assert_nothing_lost_or_doubled(job, watcher)
    for cluster in rig.clusters:
        said = cluster.log.read_text()
        assert "Traceback" not in said
    assert "Traceback" not in rig.site.log.read_text()
