"""A project may have users of its own: everything works from the first migration on."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from django.conf import settings
from django.db import connection

from tests.clusters import environment


@pytest.fixture
def empty_database(transactional_db):
    """Another database on the same server; its name."""
    name = f"{connection.settings_dict['NAME']}_customuser"
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {name}")
    yield name
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.slow
def test_a_project_with_its_own_user_model_migrates_submits_and_works(empty_database):
    env = environment(DJANGO_SETTINGS_MODULE="tests.customuser.settings")
    env["DATABASE_URL"] = env["DATABASE_URL"].replace(f"/{connection.settings_dict['NAME']}", f"/{empty_database}")
    env["PYTHONPATH"] = f"{settings.BASE_DIR}:{settings.BASE_DIR / 'site'}"
    ran = subprocess.run(
        [sys.executable, "-m", "tests.customuser.story"],
        cwd=settings.BASE_DIR,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == {
        "slot": True,
        "refused": True,
        "replayed": True,
        "state": "completed",
        "agrees": True,
        "made_up": ["completed", True, False],
        "found": True,
        "actor": True,
        "owner": "ann@example.org",
        "login": True,
        "page": 200,
    }
