"""The web side behind a real pgbouncer in transaction mode, the workers at PostgreSQL itself."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2
import pytest
from django.db import connection

from bulkops import tokens
from bulkops.models import Job
from bulkops.states import JobState
from tests.clusters import wait_for
from tests.sites import Person, RealSite, free_port
from tests.wire import PORT, tapped

if TYPE_CHECKING:
    from collections.abc import Iterator

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(PGBOUNCER is None, reason="there is no pgbouncer (Debian has it)"),
]

PRESSES, POLLS = 12, 60
SETTINGS = """
[databases]
{name} = host={host} port={port} dbname={name} user={user}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listens}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
ignore_startup_parameters = extra_float_digits
"""


@pytest.fixture
def pooler(transactional_db: None) -> Iterator[str]:
    """The test database's URL over the pooler, which has three sessions for all of its clients."""
    of, listens = connection.settings_dict, free_port()
    # Run as root it takes another account's name, which the server does not let in: our own line lies in between.
    with tapped() as tap, tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "pgbouncer.ini"
        told.write_text(SETTINGS.format(name=of["NAME"], user=of["USER"], host=tap.folder, port=PORT, listens=listens))
        account = []
        if os.geteuid() == 0:
            account = ["-u", "nobody"]
            for one in (tap.folder, tap.folder / f".s.PGSQL.{PORT}", Path(folder), told):
                os.chown(one, pwd.getpwnam("nobody").pw_uid, -1)
        url = f"postgres://{of['USER']}@127.0.0.1:{listens}/{of['NAME']}"
        with (Path(folder) / "log").open("w") as log:
            process = subprocess.Popen([str(PGBOUNCER), *account, str(told)], stdout=log, stderr=log)
        try:
            wait_for(lambda: _answers(url), 10, "pgbouncer")
            yield url
        finally:
            process.terminate()
            process.wait(10)


def _answers(url: str) -> bool:
    with suppress(psycopg2.OperationalError):
        psycopg2.connect(url).close()
        return True
    return False


@pytest.mark.parametrize("told", ["1", "0"])
def test_a_job_is_started_watched_and_reported_over_a_pooler_whether_the_site_was_told_of_it_or_not(
    pooler, told, owner, cluster, tmp_path
):
    owner.set_password("secret")
    owner.save()
    _, token = tokens.make(user=owner, name="a test")
    site = RealSite(tmp_path / "site.log", DATABASE_URL=pooler, BULKOPS_POOLER=told)
    site.start()
    base = f"http://127.0.0.1:{site.port}"
    try:
        with ThreadPoolExecutor(PRESSES) as presses:
            statuses = sorted(presses.map(lambda _: _press(base, token), range(PRESSES)))
        assert statuses == [202] + [409] * (PRESSES - 1)
        job = Job.objects.get()
        person = Person(base)
        person.log_in(owner.get_username(), "secret")
        with ThreadPoolExecutor(4) as looks:
            card = f"{job.get_absolute_url()}progress/?place=job"
            seen = {status for status, _ in looks.map(lambda _: person.look(card), range(POLLS))}
        assert seen == {200}
        wait_for(lambda: Job.objects.get().state == JobState.COMPLETED, 30, "the job's end")
        assert person.get(f"{job.get_absolute_url()}report.csv").count("\n") == 1 + 2_000
        assert "2,000" in person.get(job.get_absolute_url())
        log = site.log.read_text()
        assert "Traceback" not in log
        assert told == "0" or "event=prepared_query_lost" not in log
    finally:
        site.kill()


def _press(base: str, token: str) -> int:
    body = json.dumps({"operation": "note", "items": [str(number) for number in range(2_000)]}).encode()
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{base}/api/jobs/", body, headers), timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
