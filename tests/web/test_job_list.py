"""The list of jobs: search and filters that mean what they mean elsewhere, pages, and news without a reload."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bulkops import services
from bulkops.models import Chunk, Job
from bulkops.states import JobState

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db

JOBS = "/jobs/"
HTMX = {"HX-Request": "true"}


def names(page: Any) -> list[str]:
    return re.findall(r'<a id="row-\w+" href="[^"]+">([^<]*)</a>', page.content.decode())


def past(owner: Any, name: str, **fields: Any) -> Job:
    """A job of the owner that has ended."""
    job = services.submit(user=owner, operation=fields.pop("operation", "note"), items=["a"], name=name, **fields)
    return services.cancel(job=job, actor=None)


@pytest.fixture
def jobs(owner: Any, stranger: Any, alive: Any) -> dict[str, Job]:
    """Three of the owner's, of which one is active; one of a stranger's."""
    spring = past(owner, "Spring", tags=["q2"], input_name="tickets.csv")
    outside = past(owner, "Outside", operation="note-outside")
    Job.objects.filter(pk=spring.pk).update(created_at=timezone.now() - timedelta(days=10))
    now = services.submit(user=owner, operation="note", items=["a", "b"], name="Now")
    return {"Spring": spring, "Outside": outside, "Now": now, "Other": past(stranger, "Other")}


def test_it_lists_my_jobs_the_newest_first(as_owner: Client, jobs: dict[str, Job]) -> None:
    page = as_owner.get(JOBS)
    assert names(page) == ["Now", "Outside", "Spring"]
    assert "3 jobs" in page.content.decode()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"search": "spr"}, ["Spring"]),
        ({"search": "q2"}, ["Spring"]),
        ({"search": "tickets"}, ["Spring"]),
        ({"search": "nothing of it"}, []),
        ({"state": "cancelled"}, ["Outside", "Spring"]),
        ({"state": "active"}, ["Now"]),
        ({"state": "ended"}, ["Outside", "Spring"]),
        ({"operation": "note-outside"}, ["Outside"]),
        ({"operation": "gone-long-ago"}, []),
        ({"since": "TODAY"}, ["Now", "Outside"]),
        ({"search": "note", "state": "ended", "since": "TODAY"}, ["Outside"]),
    ],
)
def test_search_and_filters_narrow_it(
    as_owner: Client, jobs: dict[str, Job], query: dict[str, str], found: list[str]
) -> None:
    today = (timezone.now() - timedelta(days=1)).date().isoformat()
    query = {name: today if text == "TODAY" else text for name, text in query.items()}
    assert names(as_owner.get(JOBS, query)) == found


def test_it_finds_a_job_by_its_id(as_owner: Client, jobs: dict[str, Job]) -> None:
    assert names(as_owner.get(JOBS, {"search": str(jobs["Outside"].pk)})) == ["Outside"]


@pytest.mark.parametrize("client", ["as_owner", "as_stranger"])
@pytest.mark.parametrize("whose", ["", "all", "owner", "stranger", "nobody"])
def test_nobody_is_shown_a_job_that_they_may_not_see(
    request: Any, jobs: dict[str, Job], client: str, whose: str
) -> None:
    own = {"as_owner": ["Now", "Outside", "Spring"], "as_stranger": ["Other"]}[client]
    page = request.getfixturevalue(client).get(JOBS, {"owner": whose})
    assert names(page) == own
    assert 'name="owner"' not in page.content.decode()


def test_a_holder_of_view_job_sees_everybodys_or_somebodys(as_colleague: Client, jobs: dict[str, Job]) -> None:
    assert names(as_colleague.get(JOBS)) == []
    page = as_colleague.get(JOBS, {"owner": "all"})
    assert names(page) == ["Other", "Now", "Outside", "Spring"]
    assert "by stranger" in page.content.decode()
    assert names(as_colleague.get(JOBS, {"owner": "owner", "state": "active"})) == ["Now"]
    assert names(as_colleague.get(JOBS, {"owner": "nobody"})) == []


@pytest.mark.parametrize(
    "query",
    [
        {"state": "dancing"},
        {"since": "yesterday"},
        {"since": "0000-00-00"},
        {"search": "\x00"},
        {"operation": "\x00"},
        {"page": "-1"},
        {"page": "x"},
        {"search": "x" * 201},
        {"operation": "x" * 5_000},
    ],
)
def test_what_makes_no_sense_is_left_out(as_owner: Client, jobs: dict[str, Job], query: dict[str, str]) -> None:
    page = as_owner.get(JOBS, query)
    assert page.status_code == 200
    assert names(page) == ["Now", "Outside", "Spring"]


def test_a_filter_that_was_left_out_is_named(as_owner: Client, jobs: dict[str, Job]) -> None:
    assert "Since: Enter a valid date. It was left out." in as_owner.get(JOBS, {"since": "soon"}).content.decode()


@pytest.mark.slow
def test_pages_lead_on_and_keep_the_filters(as_owner: Client, owner: Any, alive: Any) -> None:
    for number in range(30):
        past(owner, f"Job {number:02}")
    first = as_owner.get(JOBS, {"state": "ended", "search": "Job"})
    assert names(first) == [f"Job {number:02}" for number in range(29, 4, -1)]
    text = first.content.decode()
    older = re.search(r'<a id="older" href="([^"]+)"', text).group(1).replace("&amp;", "&")  # type: ignore[union-attr]
    assert 'id="newer"' not in text
    second = as_owner.get(older)
    assert names(second) == [f"Job {number:02}" for number in range(4, -1, -1)]
    assert 'id="older"' not in second.content.decode()
    beyond = as_owner.get(JOBS, {"page": "9"})
    assert "There are no more jobs" in beyond.content.decode()


def test_the_form_gets_the_list_alone_and_an_address_to_keep(as_owner: Client, jobs: dict[str, Job]) -> None:
    asked = {"search": "spr", "state": "", "operation": "", "since": "", "page": ""}
    answer = as_owner.get(JOBS, asked, headers=HTMX)
    assert answer["HX-Push-Url"] == "/jobs/?search=spr"
    assert names(answer) == ["Spring"]
    assert "<html" not in answer.content.decode()
    assert 'id="jobs-head" hx-swap-oob="true"' in answer.content.decode()
    assert as_owner.get(JOBS, {"page": "1"}, headers=HTMX)["HX-Push-Url"] == "/jobs/"


def test_going_back_gets_the_whole_page(as_owner: Client, jobs: dict[str, Job]) -> None:
    page = as_owner.get(f"{JOBS}?search=spr", headers=HTMX | {"HX-History-Restore-Request": "true"})
    assert "<html" in page.content.decode()
    assert 'value="spr"' in page.content.decode()


def test_news_comes_only_where_something_is_new(as_owner: Client, jobs: dict[str, Job]) -> None:
    page = as_owner.get(JOBS).content.decode()
    address, interval = re.search(r'hx-get="([^"]+seen=[^"]+)" hx-trigger="every (\w+)"', page).groups()  # type: ignore[union-attr]
    assert interval == "1s"
    assert as_owner.get(address, headers=HTMX).status_code == 204
    Chunk.objects.filter(job=jobs["Now"]).update(cursor=1, succeeded=1)
    news = as_owner.get(address, headers=HTMX)
    assert "1 of 2" in news.content.decode()
    assert "HX-Push-Url" not in news
    assert "hx-swap-oob" not in news.content.decode()


def test_where_nothing_moves_news_is_asked_for_seldom(as_stranger: Client, jobs: dict[str, Job]) -> None:
    assert 'hx-trigger="every 5s"' in as_stranger.get(JOBS).content.decode()


def test_texts_are_escaped(as_owner: Client, owner: Any, alive: Any) -> None:
    past(owner, "<i>name</i>", tags=["<i>tag</i>"], input_name="<i>.csv")
    assert "<i>" not in as_owner.get(JOBS, {"search": "<i>", "operation": "<i>"}).content.decode()


def test_the_first_page_and_every_page_lead_there(as_owner: Client, as_colleague: Client, alive: Any) -> None:
    home = as_owner.get("/").content.decode()
    assert 'href="/jobs/"' in home
    assert 'href="/jobs/active/"' not in home
    assert 'href="/jobs/active/"' in as_colleague.get("/").content.decode()


def test_who_is_not_logged_in_is_led_to_the_log_in(client: Client) -> None:
    assert client.get(JOBS)["Location"] == "/accounts/login/?next=/jobs/"
    headers = HTMX | {"HX-Current-URL": "http://testserver/jobs/?search=a"}
    assert client.get(JOBS, headers=headers)["HX-Redirect"] == "/accounts/login/?next=%2Fjobs%2F%3Fsearch%3Da"


@pytest.fixture
def ten_thousand(owner: Any, stranger: Any, alive: Any) -> None:
    """Ended jobs, a hundredth of them the owner's."""
    first = Job.objects.create(
        operation="note", owner=stranger, state=JobState.COMPLETED, total=0, created_at=timezone.now() - timedelta(365)
    )
    own = {"id", "owner_id", "name", "tags", "created_at"}
    columns = [field.column for field in Job._meta.local_concrete_fields if field.column not in own]
    shared = ", ".join(f'"{column}"' for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO bulkops_job (id, owner_id, name, tags, created_at, {shared})"
            " SELECT gen_random_uuid(), CASE n %% 100 WHEN 0 THEN %s ELSE %s END, 'Job ' || n,"
            " ARRAY['week-' || n %% 50], now() - interval '100 days' + n * interval '1 minute',"
            f" {shared} FROM bulkops_job, generate_series(0, 9999) AS n WHERE id = %s",
            [owner.pk, stranger.pk, first.pk],
        )
        cursor.execute("ANALYZE bulkops_job")


def test_of_ten_thousand_jobs_a_page_reads_its_own(
    as_owner: Client, ten_thousand: None, django_assert_max_num_queries: Any
) -> None:
    as_owner.get(JOBS)
    with CaptureQueriesContext(connection) as sent:
        page = as_owner.get(JOBS)
    assert names(page)[0] == "Job 9900"
    assert len(sent) <= 9
    (listing,) = [one["sql"] for one in sent if "LIMIT 25" in one["sql"]]
    assert rows_read(explained(listing)) <= 200


@pytest.mark.parametrize("query", [{"owner": "all"}, {"owner": "all", "state": "ended"}, {"owner": "stranger"}])
def test_everybodys_jobs_are_read_page_by_page_too(
    as_colleague: Client, ten_thousand: None, query: dict[str, str]
) -> None:
    with CaptureQueriesContext(connection) as sent:
        assert len(names(as_colleague.get(JOBS, query))) == 25
    assert len(sent) <= 12
    (listing,) = [one["sql"] for one in sent if "LIMIT 25" in one["sql"]]
    assert rows_read(explained(listing)) <= 200


def explained(sql: str) -> str:
    """What PostgreSQL did for it."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) {sql}")
        return "\n".join(line for (line,) in cursor.fetchall())


def rows_read(plan: str) -> int:
    """The most that one step of it gave on, and all that was thrown away."""
    given = [float(rows) * int(loops) for rows, loops in re.findall(r"actual rows=([\d.]+) loops=(\d+)", plan)]
    return max(given) + sum(map(int, re.findall(r"Rows Removed by Filter: (\d+)", plan)))
