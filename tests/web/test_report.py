"""The report as a download: who gets it, its headers, what is refused, and how it breaks off."""

from __future__ import annotations

import http.client
import re
import socket
import struct
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from bulkops import services
from bulkops.models import Job
from bulkops.report import INCOMPLETE
from bulkops.states import JobState
from tests.clusters import wait_for
from tests.reports import OURS, parsed, stored
from tests.sites import WEB, RealSite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.django_db


def address(job: Job, query: str = "") -> str:
    return f"{job.get_absolute_url()}report.csv{query}"


def text_of(response: Any) -> str:
    return b"".join(response.streaming_content).decode()


# -- who gets it


def test_owner_and_colleague_get_it_and_for_strangers_there_is_none(
    as_owner: Client, as_colleague: Client, as_stranger: Client, job: Job
) -> None:
    assert as_owner.get(address(job)).status_code == 200
    assert [row["item"] for row in parsed(text_of(as_colleague.get(address(job))))] == list("abcd")
    for query in ("", "?folded=1", "?state=nonsense"):
        response = as_stranger.get(address(job, query))
        assert response.status_code == 404
        assert b"position" not in response.content
    assert as_stranger.head(address(job)).status_code == 404


def test_who_is_logged_out_is_sent_to_the_login_and_comes_back(client: Client, job: Job) -> None:
    response = client.get(address(job, "?state=failed"))
    assert response.status_code == 302
    assert unquote(response["Location"]) == f"/accounts/login/?next={address(job, '?state=failed')}"


def test_a_job_that_is_being_deleted_has_no_report(as_owner: Client, put: Callable[..., Job]) -> None:
    job = put(JobState.COMPLETED, succeeded=4, pruned_at=timezone.now())
    assert as_owner.get(address(job)).status_code == 404


def test_secrets_never_occur(person: Callable[..., Any], alive: Any) -> None:
    trusted = person("trusted", "sample.change_account")
    job = services.submit(user=trusted, operation="guarded", items=["a"], params={"token": "hush"}, name="n")
    client = Client()
    client.force_login(trusted)
    response = client.get(address(job, "?raw=1&folded=1"))
    assert "hush" not in text_of(response)
    assert "hush" not in str(response.headers)


# -- what it is


def test_it_is_a_download_that_nobody_keeps(as_owner: Client, job: Job) -> None:
    response = as_owner.get(address(job))
    assert response.streaming
    assert response["Content-Type"] == "text/csv; charset=utf-8; header=present"
    assert response["Cache-Control"] == "private, no-store"
    short = str(job.pk)[-8:]
    assert response["Content-Disposition"] == (
        f"attachment; filename=\"Autumn-{short}.csv\"; filename*=UTF-8''Autumn-{short}.csv"
    )
    assert response["X-Content-Type-Options"] == "nosniff"


def test_a_name_beyond_ascii_is_told_in_both_ways(as_owner: Client, put: Callable[..., Job]) -> None:
    job = put(JobState.RUNNING, name='Grüße "\r\nX-Evil: 1 Ω')
    told = as_owner.get(address(job))["Content-Disposition"]
    plain, full = re.fullmatch(r"attachment; filename=\"([ -~]+)\"; filename\*=UTF-8''([!-~]+)", told).groups()
    assert plain == f"Grue-X-Evil-1 -{str(job.pk)[-8:]}.csv"
    assert unquote(full) == f"Grüße-X-Evil-1 Ω-{str(job.pk)[-8:]}.csv"


def test_rows_end_as_rfc_4180_says_and_stand_in_order(as_owner: Client, put: Callable[..., Job]) -> None:
    job = put(JobState.COMPLETED_WITH_ERRORS, succeeded=3, failed=1)
    text = text_of(as_owner.get(address(job)))
    assert text.split("\r\n")[0] == "position,item," + ",".join(OURS[1:])
    assert text.endswith("\r\n")
    assert "\n" not in text.replace("\r\n", "")
    assert [(row["item"], row["state"]) for row in parsed(text)] == [
        ("a", "succeeded"),
        ("b", "succeeded"),
        ("c", "succeeded"),
        ("d", "failed"),
    ]


def test_a_running_job_says_what_is_known_now(as_owner: Client, put: Callable[..., Job]) -> None:
    job = put(JobState.RUNNING, succeeded=1, failed=1)
    assert [row["state"] for row in parsed(text_of(as_owner.get(address(job))))] == [
        "succeeded",
        "failed",
        "unprocessed",
        "unprocessed",
    ]


def test_head_is_answered_without_reading_an_item(
    as_owner: Client, job: Job, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(3):
        response = as_owner.head(address(job))
    assert response.status_code == 200
    assert text_of(response) == ""
    assert response["Content-Type"].startswith("text/csv")
    assert "attachment" in response["Content-Disposition"]
    assert "Content-Length" not in response


def test_nothing_but_reading_is_allowed(as_owner: Client, job: Job) -> None:
    assert as_owner.post(address(job)).status_code == 405


@pytest.mark.parametrize(
    ("query", "items"),
    [
        ("?state=failed", ["b"]),
        ("?state=failed&state=unprocessed", ["b", "c", "d"]),
        ("?state=succeeded,failed", ["a", "b"]),
        ("?state=", ["a", "b", "c", "d"]),
        ("?state=skipped", []),
        ("?folded=0&raw=0&bom=0", ["a", "b", "c", "d"]),
    ],
)
def test_the_address_narrows_it(as_owner: Client, put: Callable[..., Job], query: str, items: list[str]) -> None:
    job = put(JobState.RUNNING, succeeded=1, failed=1)
    response = as_owner.get(address(job, query))
    assert [row["item"] for row in parsed(text_of(response))] == items


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?state=nonsense", "There is no state “nonsense” of an item. There are succeeded,"),
        ("?state=%00%0d%0aX", "There is no state “\ufffd\ufffd\ufffdX”"),
        ("?folded=maybe", "“folded” is 1 or 0."),
        ("?raw=yes", "“raw” is 1 or 0."),
    ],
)
def test_what_is_asked_wrongly_is_refused_in_words(as_owner: Client, job: Job, query: str, words: str) -> None:
    response = as_owner.get(address(job, query))
    assert response.status_code == 400
    assert response["Content-Type"].startswith("text/plain")
    assert response.content.decode().startswith(words)


def test_raw_leaves_cells_alone_and_bom_is_for_excel(as_owner: Client, owner: Any, alive: Any) -> None:
    job = stored(owner, ["=1+1"])
    assert parsed(text_of(as_owner.get(address(job))))[0]["item"] == "'=1+1"
    assert parsed(text_of(as_owner.get(address(job, "?raw=1"))))[0]["item"] == "=1+1"
    assert text_of(as_owner.get(address(job, "?bom=1"))).startswith("\ufeffposition,")


def test_folded_follows_items_into_later_jobs(as_owner: Client, owner: Any, alive: Any) -> None:
    job = stored(owner, ["a", "b"], {0: {"state": "failed"}, 1: {"state": "succeeded"}})
    child = stored(owner, ["a"], roots=[0], parent=job, root=job)
    found = parsed(text_of(as_owner.get(address(job, "?folded=1"))))
    assert [(row["state"], row["job"]) for row in found] == [("succeeded", str(child.pk)), ("succeeded", str(job.pk))]


# -- where it is offered


def test_the_pages_lead_to_it(as_owner: Client, put: Callable[..., Job], owner: Any) -> None:
    job = put(JobState.COMPLETED_WITH_ERRORS, succeeded=3, failed=1)
    page = as_owner.get(job.get_absolute_url()).content.decode()
    assert f'href="{address(job, "?bom=1")}"' in page
    assert "folded=1" not in page
    stored(owner, ["d"], roots=[3], parent=job, root=job)
    pages = [job.get_absolute_url(), f"{job.get_absolute_url()}items/", f"{job.get_absolute_url()}items/?state=failed"]
    links = [link for url in pages for link in re.findall(r'href="([^"]*report\.csv[^"]*)"', as_owner.get(url).text)]
    assert len(links) == 4
    for link in links:
        assert text_of(as_owner.get(link.replace("&amp;", "&"))).startswith("\ufeffposition,")
    assert [row["item"] for row in parsed(text_of(as_owner.get(links[-1].replace("&amp;", "&")))[1:])] == ["d"]


def test_what_a_cancelled_job_left_is_offered_where_it_is_listed(as_owner: Client, owner: Any, alive: Any) -> None:
    told = {0: {"state": "succeeded"}, 1: {"state": "deferred", "message": "later"}}
    job = stored(owner, ["a", "b", "c"], told, state=JobState.CANCELLED)
    link = f'href="{address(job, "?bom=1&amp;state=unprocessed")}"'
    assert link in as_owner.get(job.get_absolute_url()).text
    page = as_owner.get(f"{job.get_absolute_url()}items/?state=deferred").text
    assert "later" in page
    assert link in page
    found = parsed(text_of(as_owner.get(address(job, "?state=unprocessed"))))
    assert [row["item"] for row in found] == ["b", "c"]


# -- a database that goes away, and a client that does


def test_a_database_that_is_away_from_the_start_is_said_on_a_page(
    as_owner: Client, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> Any:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr("bulkops.report.columns.of", away)
    response = as_owner.get(address(job))
    assert response.status_code == 503
    assert "Content-Disposition" not in response


@pytest.fixture
def site(transactional_db: None, tmp_path: Path) -> Iterator[RealSite]:
    """gunicorn with four threads."""
    site = RealSite(tmp_path / "web.log")
    try:
        site.start()
        yield site
    finally:
        site.kill()


@pytest.fixture
def long_job(site: RealSite, owner: Any) -> Job:
    """So large a report that much of it waits for its reader: some 20 MB."""
    return stored(owner, (f"{n:06d}" + "x" * 2_000 for n in range(10_000)))


@pytest.fixture
def cookie(site: RealSite, owner: Any) -> str:
    """The owner's session."""
    session = SessionStore()
    session[SESSION_KEY] = str(owner.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = owner.get_session_auth_hash()
    session.save()
    return f"sessionid={session.session_key}"


def begin(site: RealSite, job: Job, cookie: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    """Ask for a report and read its first bytes only; the rest is far more than fits on the way."""
    link = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
    link.request("GET", address(job), headers={"Cookie": cookie})
    answer = link.getresponse()
    assert answer.status == 200
    assert answer.read(8) == b"position"
    return link, answer


def sessions(*states: str) -> list[int]:
    """The site's database sessions in these states."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = %s AND state = ANY(%s)", [WEB, list(states)]
        )
        return [pid for (pid,) in cursor.fetchall()]


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_database_that_goes_away_midway_breaks_the_answer_off(site: RealSite, long_job: Job, cookie: str) -> None:
    link, answer = begin(site, long_job, cookie)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", [WEB])
    with pytest.raises(http.client.IncompleteRead) as broken:
        answer.read()
    link.close()
    text = "position" + broken.value.partial.decode()
    found = parsed(text)
    assert 0 < len(found) < 10_000
    assert found[-1]["position"] == INCOMPLETE
    wait_for(lambda: site.ask("/readyz") == 200, 10, "the site, with a database again")


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_readers_who_go_away_leave_neither_thread_nor_transaction_behind(
    site: RealSite, long_job: Job, cookie: str
) -> None:
    for _ in range(6):  # more than there are threads
        link, _answer = begin(site, long_job, cookie)
        assert sessions("idle in transaction", "idle in transaction (aborted)") == []
        link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        _answer.close()
        link.close()
    wait_for(lambda: not sessions("active", "idle in transaction"), 10, "the readers' queries to end")
    assert len(sessions("idle")) <= 4
    link, answer = begin(site, long_job, cookie)
    assert len(parsed("position" + answer.read().decode())) == 10_000
    link.close()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_four_slow_readers_hold_no_transaction(site: RealSite, long_job: Job, cookie: str) -> None:
    readers = [begin(site, long_job, cookie) for _ in range(4)]
    wait_for(lambda: len(sessions("idle")) == 4, 10, "the four to wait for their readers")
    assert sessions("idle in transaction") == []
    for link, answer in readers:
        answer.close()
        link.close()
