"""What bulkops uses of django-q2's inside is where it was: a version that moves it fails here, not in production."""

from __future__ import annotations

import ast
import inspect
import re
from importlib.metadata import version
from pathlib import Path

import django_q.scheduler
from django.dispatch import Signal
from django.utils.version import get_version_tuple
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ, Schedule
from django_q.monitor import save_cached, save_task
from django_q.signals import post_execute
from django_q.signing import BadSignature, SignedPackage
from django_q.tasks import async_task
from django_q.utils import get_func_repr
from django_q.worker import worker

from bulkops.checks import TESTED_DJANGO_Q2

ROOT = Path(__file__).resolve().parents[1]
RANGE = re.compile(r"django-q2>=([\d.]+),<([\d.]+)")

USED = {
    "dispatch": {"brokers.orm.ORM", "conf.Conf", "models.OrmQ", "tasks.async_task"},
    "cluster/inbox": {
        "brokers.orm.ORM",
        "conf.Conf",
        "models.OrmQ",
        "monitor.save_cached",
        "monitor.save_task",
        "signals.post_execute",
        "signing.BadSignature",
        "signing.SignedPackage",
        "utils.get_func_repr",
    },
    "cluster/leader": {"conf.Conf"},
    "cluster/process": {"worker.worker"},
    "scheduling/defining": {"models.Schedule"},
    "scheduling/listing": {"conf.Conf", "models.Schedule", "models.Task"},
    "scheduling/plans": {"models.Schedule", "models.Task"},
    "cluster/schedules": {"scheduler", "scheduler.scheduler", "conf.Conf", "models.Schedule"},
}
SETTINGS = {"CLUSTER_NAME": str, "PREFIX": str, "RETRY": int, "SCHEDULER": bool, "TIME_ZONE": str, "WORKERS": int}


def imported_from_django_q(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{name}" for name in names]
        found |= {name.removeprefix("django_q.") for name in names if name.startswith("django_q.")}
    return found


def settings_read(path: Path) -> set[str]:
    return set(re.findall(r"\bQueueConf\.(\w+)", path.read_text()))


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_these_parts_and_no_others_are_used():
    package = ROOT / "bulkops"
    found = {
        str(path.relative_to(package).with_suffix("")): imported_from_django_q(path) for path in package.rglob("*.py")
    }
    assert {name: parts for name, parts in found.items() if parts} == USED


def test_the_settings_that_are_read_exist():
    read = set().union(*(settings_read(path) for path in (ROOT / "bulkops").rglob("*.py")))
    assert read == set(SETTINGS)
    assert {name: type(getattr(Conf, name)) for name in read} == SETTINGS


def test_the_worker_takes_its_queues_and_its_clock():
    assert parameters(worker) == ["task_queue", "result_queue", "timer", "timeout"]


def test_results_are_stored_by_the_monitors_functions():
    assert parameters(save_task) == parameters(save_cached) == ["task", "broker"]
    assert isinstance(post_execute, Signal)
    assert get_func_repr("a.path") == "a.path"


def test_enqueueing_ends_in_the_brokers_enqueue(db):
    assert [kind.kind.name for kind in inspect.signature(async_task).parameters.values()] == [
        "POSITIONAL_OR_KEYWORD",
        "VAR_POSITIONAL",
        "VAR_KEYWORD",
    ]
    assert "broker" not in parameters(async_task)  # an option that is taken out of the keywords
    assert parameters(ORM) == ["list_key"]
    assert parameters(ORM.enqueue) == ["self", "task"]

    taken = []

    class Taking(ORM):
        def enqueue(self, task):
            taken.append(SignedPackage.loads(task))

    async_task("a.path", 1, "two", broker=Taking("key"), task_name="name")
    (task,) = taken
    assert (task["func"], task["args"], task["name"]) == ("a.path", (1, "two"), "name")


def test_the_queues_table_has_these_columns():
    columns = {field.name: (field.get_internal_type(), field.null) for field in OrmQ._meta.get_fields()}
    assert columns.pop("id")[0] in {"AutoField", "BigAutoField"}
    assert columns == {"key": ("CharField", False), "payload": ("TextField", False), "lock": ("DateTimeField", True)}


def test_payloads_are_signed():
    assert SignedPackage.loads(SignedPackage.dumps({"func": "a.path"})) == {"func": "a.path"}
    assert issubclass(BadSignature, Exception)


def test_the_scheduler_asks_its_modules_schedule():
    assert parameters(django_q.scheduler.scheduler) == ["broker"]
    assert django_q.scheduler.Schedule is Schedule
    assert "Schedule.objects.select_for_update()" in inspect.getsource(django_q.scheduler.scheduler)
    assert {"next_run", "repeats", "cluster"} <= {field.name for field in Schedule._meta.get_fields()}


def test_the_versions_that_may_be_installed_are_those_that_were_tested():
    for text in ("requirements.txt", "README.md"):
        assert RANGE.findall((ROOT / text).read_text()) == [TESTED_DJANGO_Q2], text
    first, end = (get_version_tuple(limit) for limit in TESTED_DJANGO_Q2)
    assert first <= get_version_tuple(version("django-q2")) < end
