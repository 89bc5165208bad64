"""System checks: each dangerous setting is refused in words."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import pytest
from django import forms
from django.core.checks import run_checks
from django.db import connections

from bulkops import Operation, checks, register, registry
from bulkops.conf import conf


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
    settings.Q_CLUSTER = {"orm": "default", "sync": True}
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
