"""System checks: each dangerous setting is refused in words."""

from __future__ import annotations

import importlib.util
from types import ModuleType, SimpleNamespace

import psycopg2.extensions
import pytest
from django import forms
from django.contrib.auth.models import Permission
from django.core.checks import run_checks
from django.db import OperationalError, connection, connections, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpResponse
from django.urls import path

from bulkops import Operation, checks, register, registry, services
from bulkops.clock import from_now
from bulkops.conf import conf
from bulkops.models import Cluster, Job
from bulkops.services.locking import lock_user
from tests.elsewhere import elsewhere


def found():
    """Ids and texts of what the checks say, without other apps' checks."""
    return {message.id: f"{message.msg} {message.hint}" for message in run_checks(tags=[checks.TAG])}


@pytest.fixture
def default_database(monkeypatch):
    """The settings of the default database, to be changed for one test."""
    changed = dict(connections["default"].settings_dict)
    monkeypatch.setattr(connections["default"], "settings_dict", changed)
    return changed


@pytest.fixture
def registered():
    """Registers an operation for one test."""
    names = []

    def register_for_now(operation):
        register(operation)
        names.append(operation.name)

    yield register_for_now
    for name in names:
        registry.unregister(name)


def test_the_project_passes():
    assert found() == {}


def test_another_database_is_refused(monkeypatch):
    monkeypatch.setattr(checks, "connections", {"default": SimpleNamespace(vendor="sqlite")})
    assert "default database is sqlite" in found()["bulkops.E001"]


def test_psycopg_3_is_refused(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(checks, "find_spec", lambda name: object() if name == "psycopg" else real(name))
    assert "psycopg 3 is installed" in found()["bulkops.E002"]


def test_a_connection_for_each_request_is_warned_of(default_database):
    default_database["CONN_MAX_AGE"] = 0
    assert list(found()) == ["bulkops.W001"]


def test_connections_without_health_checks_are_warned_of(default_database):
    default_database["CONN_HEALTH_CHECKS"] = False
    assert list(found()) == ["bulkops.W002"]


@pytest.mark.parametrize("broker", [{"orm": "other"}, {"redis": {}}])
def test_a_queue_in_another_place_is_refused(settings, broker):
    settings.Q_CLUSTER = broker
    assert "'orm'" in found()["bulkops.E003"]


def test_a_queue_that_runs_in_the_request_is_refused(settings):
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "sync": True}
    assert list(found()) == ["bulkops.E004"]


def test_django_q_must_be_installed(monkeypatch):
    monkeypatch.setattr(checks.apps, "is_installed", lambda name: name != "django_q")
    assert "bulkops.E005" in found()


def test_django_q_must_stand_behind_bulkops(monkeypatch):
    configs = list(checks.apps.get_app_configs())
    monkeypatch.setattr(checks.apps, "get_app_configs", lambda: reversed(configs))
    assert "django-q2's own" in found()["bulkops.E006"]


@pytest.mark.parametrize(
    ("installed", "warned"), [("1.11.0", True), ("1.11.1", False), ("1.11.9", False), ("1.12", True)]
)
def test_a_django_q2_that_was_not_tested_is_warned_of(monkeypatch, installed, warned):
    monkeypatch.setattr(checks, "version", lambda _: installed)
    said = found()
    assert list(said) == (["bulkops.W004"] if warned else [])
    if warned:
        assert f"django-q2 {installed} is installed" in said["bulkops.W004"]


def test_times_without_zones_are_refused(settings):
    settings.USE_TZ = False
    assert "bulkops.E007" in found()


@pytest.mark.parametrize("way", ["db_for_write", "db_for_read"])
def test_a_router_that_parts_the_tables_is_refused(monkeypatch, way):
    monkeypatch.setattr(checks.router, way, lambda model: "other" if model.__name__ == "Turn" else "default")
    assert "sends Turn to “other”" in found()["bulkops.E008"]


def test_an_unknown_setting_is_refused(settings):
    settings.BULKOPS = {"slice_minutes": 3}
    assert "slice_minutes" in found()["bulkops.E009"]
    settings.BULKOPS = {}
    assert conf().slice_seconds == 3.0


def test_a_form_that_wants_arguments_is_refused(registered):
    class Wanting(Operation):
        name = "wanting"

        class Params(forms.Form):
            def __init__(self, user, **kwargs):
                super().__init__(**kwargs)

        def process(self, item, params, context): ...

    registered(Wanting)
    assert "“wanting”: Params cannot be made without arguments" in found()["bulkops.E010"]


@pytest.mark.parametrize("name", ["sample.change_acount", "nowhere.change_account"])
def test_a_permission_that_nothing_declares_is_warned_of(registered, name):
    class Locked(Operation):
        permission = name

        def process(self, item, params, context): ...

    Locked.name = "locked"
    registered(Locked)
    assert f"no model declares the permission “{name}”" in found()["bulkops.W003"]


def test_a_misspelt_attribute_is_warned_of(registered):
    class Hasty(Operation):
        name = "hasty"
        max_attempt = 5

        def process(self, item, params, context): ...

    registered(Hasty)
    said = found()
    assert list(said) == ["bulkops.W010"]
    assert "“hasty” declares `max_attempt`" in said["bulkops.W010"]
    assert "is `max_attempts` meant?" in said["bulkops.W010"]


def found_in_the_database():
    """The same, of the checks that ask the database."""
    messages = run_checks(tags=["database"], databases=["default"])
    return {message.id: f"{message.msg} {message.hint}" for message in messages}


@pytest.mark.django_db
def test_a_migrated_database_has_what_the_operations_need():
    assert found_in_the_database() == {}


@pytest.mark.django_db
def test_a_permission_that_the_database_lacks_is_warned_of():
    Permission.objects.filter(codename="change_account").delete()
    assert "no permission “sample.change_account”" in found_in_the_database()["bulkops.W011"]


@pytest.mark.django_db
def test_while_there_are_migrations_to_apply_nothing_is_missed():
    Permission.objects.filter(codename="change_account").delete()
    MigrationRecorder.Migration.objects.filter(app="bulkops").latest("pk").delete()
    assert found_in_the_database() == {}


@pytest.mark.django_db
def test_a_queue_that_none_of_the_workers_serves_is_warned_of(registered):
    class Slow(Operation):
        name = "slow-one"
        queue = "slow"

        def process(self, item, params, context): ...

    registered(Slow)
    assert found_in_the_database() == {}  # no worker at all: that is what `manage.py status` is for
    Cluster.objects.create(name="here", alive_until=from_now(60), workers=1, queues=["default"])
    assert "none serves its queue “slow”" in found_in_the_database()["bulkops.W012"]
    Cluster.objects.create(name="there", alive_until=from_now(60), workers=1, queues=["slow"])
    assert found_in_the_database() == {}


# -- transactions, and the way to the database


@pytest.mark.parametrize(
    "options",
    [
        {"isolation_level": psycopg2.extensions.ISOLATION_LEVEL_REPEATABLE_READ},
        {"isolation_level": psycopg2.extensions.ISOLATION_LEVEL_SERIALIZABLE},
        {"options": "-c default_transaction_isolation=serializable"},
        {"options": r"-c search_path=x -c default_transaction_isolation=repeatable\ read"},
    ],
)
def test_a_stricter_isolation_is_refused(default_database, options):
    default_database["OPTIONS"] = options
    assert list(found()) == ["bulkops.E012"]


@pytest.mark.parametrize(
    "options",
    [{"isolation_level": psycopg2.extensions.ISOLATION_LEVEL_READ_COMMITTED}, {"options": "-c search_path=x"}],
)
def test_read_committed_is_what_it_should_be(default_database, options):
    default_database["OPTIONS"] = options
    assert found() == {}


@pytest.mark.django_db(transaction=True)
def test_under_a_stricter_isolation_a_submission_fails_that_would_only_have_waited(owner):
    """What E012 says, of the first thing that a submission does."""
    with transaction.atomic(), connection.cursor() as mine:
        mine.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        with elsewhere() as other:
            other.execute("UPDATE auth_user SET first_name = 'x' WHERE id = %s", [owner.pk])
            other.connection.commit()
        with pytest.raises(OperationalError, match="could not serialize access"):
            lock_user(owner)
        transaction.set_rollback(True)
    with transaction.atomic():
        lock_user(owner)


def test_transactions_that_never_end_are_refused(default_database):
    default_database["AUTOCOMMIT"] = False
    assert "AUTOCOMMIT" in found()["bulkops.E013"]


def test_requests_in_a_transaction_are_warned_of(default_database):
    default_database["ATOMIC_REQUESTS"] = True
    said = found()
    assert list(said) == ["bulkops.W005"]
    assert "non_atomic_requests" in said["bulkops.W005"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("atomic", [True, False])
def test_a_request_in_a_transaction_keeps_its_user_locked_and_its_job_unseen(
    settings, default_database, monkeypatch, client, owner, atomic
):
    """What W005 says: here is a view that goes on for a while after it submitted."""
    seen = {}

    def view(request):
        job = services.submit(user=request.user, operation="note", items=["a"])
        with elsewhere() as other:
            other.execute("SELECT id FROM auth_user WHERE id = %s FOR NO KEY UPDATE SKIP LOCKED", [owner.pk])
            seen["locked"] = other.fetchone() is None
            other.execute("SELECT count(*) FROM django_q_ormq")
            seen["messages"] = other.fetchone()[0]
        return HttpResponse(job.pk)

    default_database["ATOMIC_REQUESTS"] = atomic
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", atomic)
    settings.ROOT_URLCONF = ModuleType("urls_of_a_view")
    settings.ROOT_URLCONF.urlpatterns = [path("submit/", view)]
    client.force_login(owner)
    assert client.get("/submit/").status_code == 200
    assert seen == ({"locked": True, "messages": 0} if atomic else {"locked": False, "messages": 1})
    assert Job.objects.count() == 1


@pytest.mark.parametrize("sign", [{"DISABLE_SERVER_SIDE_CURSORS": True}, {"PORT": "6432"}, {"PORT": 6432}])
def test_a_pooler_is_warned_of(default_database, sign):
    default_database.update(sign)
    assert "Workers use LISTEN" in found()["bulkops.W006"]


def test_a_second_alias_of_the_same_database_is_warned_of(monkeypatch):
    here = connections["default"].settings_dict
    monkeypatch.setitem(connections.settings, "again", {**here})
    monkeypatch.setitem(connections.settings, "replica", {**here, "HOST": "replica.example.org"})
    try:
        said = found()
    finally:
        del connections["again"], connections["replica"]
    assert list(said) == ["bulkops.W007"]
    assert "The alias “again”" in said["bulkops.W007"]


@pytest.mark.parametrize("name", ["User", "OrmQ"])
def test_a_router_that_parts_users_or_the_queue_is_refused(monkeypatch, name):
    monkeypatch.setattr(checks.router, "db_for_read", lambda model: "replica" if model.__name__ == name else "default")
    assert f"sends {name} to “replica”" in found()["bulkops.E008"]


# -- the project's own tasks


@pytest.mark.parametrize("name", ["broker_class", "iron_mq", "sqs"])
def test_a_second_broker_is_refused(settings, name):
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, name: "x"}
    assert name in found()["bulkops.E011"]


@pytest.mark.parametrize(
    ("timing", "told"),
    [({}, "is 60 s"), ({"retry": 300, "timeout": 300}, "is 300 s"), ({"retry": 300, "timeout": 600}, "is 300 s")],
)
def test_a_task_that_may_be_begun_twice_is_warned_of(settings, timing, told):
    settings.Q_CLUSTER = {"orm": "default", "ack_failures": True, **timing}
    said = found()
    assert list(said) == ["bulkops.W008"]
    assert told in said["bulkops.W008"]


@pytest.mark.parametrize(
    ("given", "warned"),
    [({}, True), ({"max_attempts": 0}, True), ({"max_attempts": 3}, False), ({"ack_failures": True}, False)],
)
def test_a_task_that_fails_for_ever_is_warned_of(settings, given, warned):
    settings.Q_CLUSTER = {"orm": "default", "retry": 3600, **given}
    assert list(found()) == (["bulkops.W009"] if warned else [])


def test_settings_of_django_q2_that_do_nothing_are_named(settings):
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "bulk": 10, "poll": 1}
    said = found()
    assert list(said) == ["bulkops.I001"]
    assert "bulk, poll" in said["bulkops.I001"]


def test_a_folder_of_uploads_that_depends_on_where_a_process_starts_is_told(settings, tmp_path):
    assert "bulkops.W022" not in found()
    settings.MEDIA_ROOT = ""
    assert "MEDIA_ROOT" in found()["bulkops.W022"]
    settings.MEDIA_ROOT = tmp_path
    assert "bulkops.W022" not in found()
    settings.MEDIA_ROOT = "media"
    assert "bulkops.W022" in found()
    settings.STORAGES = settings.STORAGES | {"default": {"BACKEND": "django.core.files.storage.InMemoryStorage"}}
    assert "bulkops.W022" not in found()
    settings.STORAGES = settings.STORAGES | {"default": {"BACKEND": "nowhere.Storage"}}
    assert "bulkops.W022" not in found()


def test_a_limit_of_django_below_ours_on_files_in_a_form_is_told(settings):
    assert "bulkops.W020" not in found()
    settings.DATA_UPLOAD_MAX_NUMBER_FILES = 100
    assert "DATA_UPLOAD_MAX_NUMBER_FILES = 1001" in found()["bulkops.W020"]
    settings.BULKOPS = {"upload_files": 50}
    assert "bulkops.W020" not in found()
    settings.DATA_UPLOAD_MAX_NUMBER_FILES = None
    assert "bulkops.W020" not in found()
