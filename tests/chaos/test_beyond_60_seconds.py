"""What the product is for: a job that outlives the gateway's 60 seconds, and the web server too."""

from __future__ import annotations

import http.client
import re
import time
import urllib.error

import pytest

from bulkops.models import Job
from bulkops.states import JobState
from tests.clusters import wait_for
from tests.sample.models import Account
from tests.sites import Gateway, Person, RealSite

pytestmark = pytest.mark.slow

GATEWAY_SECONDS = 60
WEB_KILLED_AT_SECONDS = 30
LONGEST_REQUEST_SECONDS = 30
ITEMS, ITEM_SECONDS = 940, 0.1


@pytest.fixture
def site(transactional_db, tmp_path):
    site = RealSite(tmp_path / "web.log")
    site.start()
    yield site
    site.kill()


def test_a_job_of_over_90_seconds_survives_the_gateway_and_a_killed_web_server(owner, clusters, site):
    clusters(workers=1)
    Account.objects.bulk_create([Account(number=number) for number in range(ITEMS)])
    gateway = Gateway(site.port, GATEWAY_SECONDS)
    person = Person(f"http://127.0.0.1:{gateway.port}")
    person.log_in("owner", "secret")
    form = person.get("/operations/deposit/")
    person.post("/operations/deposit/", form, amount=1, pause=ITEM_SECONDS, action="start")
    assert re.search(r"/jobs/[0-9a-f-]{36}/$", person.url), person.url
    job_page = person.url
    job = Job.objects.get()
    began = time.monotonic()

    percents, away, killed = [], 0, False
    while job.is_active:
        if not killed and time.monotonic() - began >= WEB_KILLED_AT_SECONDS:
            site.kill()
            killed = True
        elif killed and site.process is None and time.monotonic() - began >= WEB_KILLED_AT_SECONDS + 3:
            site.start()
        try:
            fragment = person.get(f"{job_page}progress/", **{"HX-Request": "true"})
            percents += [int(value) for value in re.findall(r'<progress[^>]*? value="(\d+)"', fragment)[:1]]
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError):
            away += 1
        assert time.monotonic() - began < 240, "the job does not end"
        time.sleep(1)
        job.refresh_from_db()
    gateway.close()

    assert killed
    assert away >= 1
    assert job.state == JobState.COMPLETED
    took = (job.finished_at - job.created_at).total_seconds()
    assert took > 90
    assert max(person.seconds) < LONGEST_REQUEST_SECONDS
    assert gateway.cut == 0
    assert percents == sorted(percents)
    assert len(set(percents)) > 20
    assert set(Account.objects.values_list("balance", flat=True)) == {1}
    assert "Completed" in person.get(job_page)
    print(f"job {took:.0f} s, {len(person.seconds)} requests, longest {max(person.seconds):.2f} s, {away} while away")


def test_the_gateway_of_this_test_does_cut(tmp_path):
    import socket

    silent = socket.create_server(("127.0.0.1", 0))
    gateway = Gateway(silent.getsockname()[1], 0.3)
    with pytest.raises((urllib.error.URLError, http.client.HTTPException, ConnectionError)):
        Person(f"http://127.0.0.1:{gateway.port}").get("/")
    wait_for(lambda: gateway.cut, 5)
