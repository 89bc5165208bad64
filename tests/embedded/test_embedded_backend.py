"""Django connects through the embedded engine as through any other; only connecting starts a server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import ConnectionHandler, OperationalError

from project.embedded.places import DATABASE_ENGINE, choose_places

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def database(make_server, django_db_blocker):
    """A Django connection to a server that doesn't run yet."""
    server = make_server()
    handler = ConnectionHandler(
        {
            "default": {
                "ENGINE": DATABASE_ENGINE,
                "NAME": "bulkops",
                "USER": "bulkops",
                "HOST": str(server.places.sockets),
                "PORT": server.places.port,
                "EMBEDDED": {"places": server.places, "programs": ""},
            }
        }
    )
    connection = handler["default"]
    with django_db_blocker.unblock():
        yield connection
        connection.close()


@pytest.mark.slow
def test_importing_the_settings_starts_nothing(folder):
    home = folder / "home"
    program = "import django; django.setup(); from django.conf import settings; print(settings.DATABASES['default'])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={
            **{name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "site"), os.environ.get("PYTHONPATH", "")]),
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "DEBUG": "1",
            "BULKOPS_POSTGRES_HOME": str(home),
        },
    )
    assert f"'ENGINE': '{DATABASE_ENGINE}'" in done.stdout
    assert str(home / "run") in done.stdout
    assert not home.exists()


@pytest.mark.slow
def test_connecting_starts_the_server(database, folder):
    assert not (folder / "home").exists()
    with database.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        assert cursor.fetchone() == ("bulkops",)


@pytest.mark.slow
def test_a_server_that_was_stopped_is_started_by_the_next_connection(database, make_server):
    database.ensure_connection()
    make_server().stop()
    database.close()
    with database.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


@pytest.mark.slow
def test_a_database_that_does_not_exist_is_djangos_own_error(database):
    database.settings_dict["NAME"] = "missing"
    with pytest.raises(OperationalError, match='database "missing" does not exist'):
        database.ensure_connection()


def test_a_server_that_cannot_start_is_an_operational_error_in_words(database, folder):
    (folder / "home" / "data").mkdir(parents=True)
    (folder / "home" / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(OperationalError, match="was made by PostgreSQL 9"):
        database.ensure_connection()


def test_the_places_are_the_same_in_every_process(folder, child):
    assert child(lambda: choose_places(folder / "home")).result() == choose_places(folder / "home")
