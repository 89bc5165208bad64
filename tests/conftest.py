"""Fixtures: three actors, a queue worked in this process, and a real cluster on the test database."""

from __future__ import annotations

import gc
import itertools
import math
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import lanes

# Playwright's synchronous interface leaves an event loop in the thread, at which Django's ORM takes offence.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

# Hundreds of processes are started here; where nothing compiled is kept, each of them compiles the product anew, and
# each of those that run tests rewrites five thousand asserts.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.clusters import RealCluster
    from tests.worker import InProcessWorker

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long a kill storm lasts, and which one it is; how many examples are played or sent, and images processed."""
    parser.addoption("--storm-seconds", type=int, default=60)
    parser.addoption("--storm-seed", type=int, default=7)
    parser.addoption("--model-examples", type=int, default=None)
    parser.addoption("--schema-examples", type=int, default=None)
    parser.addoption("--images", type=int, default=80)


def pytest_configure() -> None:
    """Empty the database between tests quickly."""
    from tests import flushing

    flushing.install()


def pytest_collection_finish() -> None:
    """Let the collector of garbage look at what tests make, and not each time at every module and test."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the embedded PostgreSQL, unless somebody else uses it; of several processes, the one that ends last does."""
    from project.embedded import stop_if_unused

    if not in_one_of_several(config):
        stop_if_unused()


def in_one_of_several(config: pytest.Config) -> bool:
    """Whether this process got its tests from another one."""
    return hasattr(config, "workerinput")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """What `-n auto`, which pyproject.toml gives, comes to."""
    return lanes.processes_for(config, Path(__file__).parent)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> lanes.Lanes:
    """Who runs beside whom, instead of what `--dist` says."""
    config.option.loadscopereorder = False
    return lanes.Lanes(config, log)


@pytest.fixture(scope="session")
def _shelf(tmp_path_factory: Any) -> Iterator[Path]:
    """A place in the folder that holds every test's media; making a folder for each costs more than many a test."""
    folder = tmp_path_factory.mktemp("shelf")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _media_of_its_own(settings: Any, _shelf: Iterator[Path]) -> None:
    settings.MEDIA_ROOT = next(_shelf) / "media"


@pytest.fixture(autouse=True)
def _latencies_are_not_stored(monkeypatch: Any) -> None:
    """A test that counts its queries would now and then find those of the seconds before it."""
    from bulkops.latencies import Latencies

    monkeypatch.setattr("bulkops.latencies.STORE_SECONDS", math.inf)
    monkeypatch.setattr("bulkops.latencies._latencies", Latencies())


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Without the schedule that a migration makes: the first test would find it, and no other."""
    from django_q.models import Schedule

    with django_db_blocker.unblock():
        Schedule.objects.all().delete()


def _person(django_user_model: Any, name: str, *permissions: str) -> Any:
    from django.contrib.auth.models import Permission

    user = django_user_model.objects.create_user(name, password="secret")
    for permission in permissions:
        app, codename = permission.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    return user


@pytest.fixture
def person(django_user_model: Any) -> Callable[..., Any]:
    """Makes a user of that name, with permissions written “app.codename”; the password is “secret”."""
    return lambda name, *permissions: _person(django_user_model, name, *permissions)


@pytest.fixture
def owner(person: Any) -> Any:
    """Who submits."""
    return person("owner")


@pytest.fixture
def colleague(person: Any) -> Any:
    """May see everybody's jobs, and control none but their own."""
    return person("colleague", "bulkops.view_job")


@pytest.fixture
def stranger(person: Any) -> Any:
    """For whom other people's jobs do not exist."""
    return person("stranger")


@pytest.fixture
def manager(person: Any) -> Any:
    """May control everybody's jobs."""
    return person("manager", "bulkops.change_job")


@pytest.fixture
def job_in(owner: Any) -> Callable[[Any], Any]:
    """Makes a job of two items in a state, with what belongs to that state, and an empty trail."""
    from bulkops import services
    from bulkops.models import Event, Job
    from bulkops.states import ENDED, JobState

    def make(state: Any) -> Any:
        job = services.submit(user=owner, operation="note", items=["a", "b"])
        fields: dict[str, Any] = {"state": state}
        if state not in {JobState.PREPARING, JobState.QUEUED}:
            fields["started_at"] = job.created_at
        if state == JobState.PREPARING:
            fields["total"] = None
        if state in ENDED:
            fields |= {"slot": None, "finished_at": job.created_at}
        Job.objects.filter(pk=job.pk).update(**fields)
        Event.objects.all().delete()
        job.refresh_from_db()
        return job

    return make


@pytest.fixture
def worker(transactional_db: None) -> InProcessWorker:
    """A worker in this process, of a cluster that counts as living; `worker.drain()` empties the queue."""
    from tests.worker import InProcessWorker

    return InProcessWorker()


@pytest.fixture
def failing(monkeypatch: Any) -> set[Any]:
    """The items of the operation `holding` that fail, until a test mends them; every other one succeeds."""
    from tests.sample.operations import Holding

    bad: set[Any] = set()

    class Falling(dict):
        def get(self, item: Any, default: Any = None) -> Any:
            return self._fall if item in bad else default

        @staticmethod
        def _fall(context: Any) -> None:
            raise ValueError("not this one")

    monkeypatch.setattr(Holding, "meanwhile", Falling())
    return bad


@pytest.fixture
def clusters(transactional_db: None, tmp_path: Any) -> Iterator[Callable[..., RealCluster]]:
    """Starts real `manage.py qcluster` processes on the test database; all are gone after the test."""
    from tests.clusters import RealCluster

    started: list[RealCluster] = []

    def start(**options: Any) -> RealCluster:
        cluster = RealCluster(log=tmp_path / f"cluster{len(started)}.log", **options)
        started.append(cluster)
        cluster.wait_until_alive()
        return cluster

    yield start
    for cluster in started:
        cluster.kill()


@pytest.fixture
def cluster(clusters: Any) -> RealCluster:
    """One real cluster of two workers."""
    return clusters(workers=2)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Debian's chromium, as root too, asking nobody outside."""
    return {
        **browser_type_launch_args,
        "executable_path": CHROMIUM,
        "headless": True,
        "args": [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ],
    }


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Fast tests first; in one of several processes, what takes longest, so that small files fill up the end.

    Browser tests are skipped where there is no browser, except in CI, where that is a failure.
    """
    if in_one_of_several(config):
        heavy = {lanes.place(item.nodeid) for item in items if item.get_closest_marker("slow") is not None}
        items.sort(key=lambda item: (lanes.place(item.nodeid)[0], lanes.place(item.nodeid) not in heavy))
    else:
        items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
    if CHROMIUM or os.environ.get("CI"):
        return
    skip = pytest.mark.skip(reason="no chromium: apt-get install chromium")
    for item in items:
        if "page" in getattr(item, "fixturenames", ()) or "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(skip)
