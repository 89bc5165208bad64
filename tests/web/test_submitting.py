"""The form of an operation: preview, start, one-time key, and every refusal in words with nothing stored."""

from __future__ import annotations

import io
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, override_settings
from django.utils import timezone

from bulkops import dry_run, services
from bulkops.models import Chunk, Cluster, Job, Manifest
from bulkops.web import uploads
from tests.elsewhere import elsewhere
from tests.sample.models import Effect
from tests.web.conftest import logged_in
from ticketing.models import Event, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("alive")]

NOTE, ROWS, DEPOSIT = "/operations/note/", "/operations/rows/", "/operations/deposit/"
HTMX = {"HX-Request": "true"}


def hidden(response: Any) -> dict[str, str]:
    """The hidden fields of the page's form, as a browser would send them."""
    form = re.search(r'<form[^>]+action="/operations/.*?</form>', response.content.decode(), re.DOTALL)
    assert form is not None
    fields = {}
    for tag in re.findall(r'<input type="hidden"[^>]*>', form.group()):
        name = re.search(r'name="([^"]+)"', tag)
        value = re.search(r'value="([^"]*)"', tag, re.DOTALL)
        assert name is not None
        fields[name.group(1)] = (value.group(1) if value else "").replace("&quot;", '"')
    return fields


def csv(text: str, name: str = "rows.csv") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, text.encode(), content_type="text/csv")


def nothing_stored() -> bool:
    return not (Job.objects.exists() or Chunk.objects.exists() or Manifest.objects.exists())


# -- start


def test_pasted_items_start_a_job_with_one_press(as_owner: Client, owner: Any) -> None:
    form = hidden(as_owner.get(NOTE))
    response = as_owner.post(NOTE, form | {"items": "a\nb\n\nc", "name": "Trial", "action": "start"})
    job = Job.objects.get()
    assert response.status_code == 302
    assert response["Location"] == job.get_absolute_url()
    assert (job.owner, job.total, job.name) == (owner, 3, "Trial")


def test_htmx_is_told_to_go_to_the_job(as_owner: Client) -> None:
    response = as_owner.post(NOTE, {"items": "a"}, headers=HTMX)
    assert response.status_code == 200
    assert response["HX-Redirect"] == Job.objects.get().get_absolute_url()


def test_what_no_button_says_starts_nothing(as_owner: Client) -> None:
    assert b"Nothing has been started yet" in as_owner.post(DEPOSIT, {"amount": "5", "action": "begin"}).content
    assert not Job.objects.exists()


def test_an_upload_starts_a_job(as_owner: Client) -> None:
    as_owner.post(ROWS, {"file": csv("number,note\n1,x\n2,y\n")})
    job = Job.objects.get()
    assert (job.total, job.input_name) == (2, "rows.csv")


def test_an_operation_that_collects_needs_no_items(as_owner: Client) -> None:
    as_owner.post(DEPOSIT, {"amount": "5"})
    job = Job.objects.get()
    assert job.params == {"amount": 5, "pause": None}
    assert job.state == "preparing"


def test_only_the_first_items_are_taken(as_owner: Client) -> None:
    as_owner.post(NOTE, {"items": "a\nb\nc", "limit": "2", "parallelism": "3"})
    job = Job.objects.get()
    assert (job.total, job.limit, job.parallelism) == (2, 2, 3)


def test_csrf_is_enforced(owner: Any) -> None:
    client = logged_in(owner, enforce_csrf_checks=True)
    assert client.post(NOTE, {"items": "a"}).status_code == 403
    assert client.post(NOTE, {"items": "a"}, headers=HTMX).status_code == 422
    assert nothing_stored()
    form = hidden(client.get(NOTE))
    assert client.post(NOTE, form | {"items": "a"}).status_code == 302


@pytest.mark.parametrize("path", [ROWS, "/accounts/login/"])
def test_a_body_in_a_code_that_no_form_has_is_400_in_words(owner: Any, path: str) -> None:
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(owner)
    client.get(ROWS)  # brings the cookie, without which nothing looks into the body
    response = client.post(path, b"a=b", content_type="application/x-www-form-urlencoded; charset=utf-16")
    assert response.status_code == 400
    assert "makes no sense here" in response.content.decode()


def test_anonymous_people_start_nothing(client: Client) -> None:
    assert client.post(NOTE, {"items": "a"})["Location"].startswith("/accounts/login/")
    assert nothing_stored()


# -- preview


def test_the_preview_shows_first_rows_and_count_and_starts_nothing(as_owner: Client) -> None:
    rows = "".join(f"{n},note {n}\n" for n in range(1, 1_001))
    response = as_owner.post(ROWS, {"items": f"number,note\n{rows}", "action": "preview"})
    page = response.content.decode()
    assert response.status_code == 200
    assert "1,000 items, ready to start" in page
    assert "note 5" in page
    assert ">note 6<" not in page
    assert "and 995 more" in page
    assert nothing_stored()


def test_the_preview_of_pasted_text_is_carried_to_the_start(as_owner: Client) -> None:
    form = hidden(as_owner.get(NOTE))
    preview = as_owner.post(NOTE, form | {"items": "a\nb", "name": "Trial", "limit": "1", "action": "preview"})
    assert hidden(preview)["idempotency_key"] == form["idempotency_key"]
    as_owner.post(NOTE, hidden(preview) | {"action": "start"})
    job = Job.objects.get()
    assert (job.total, job.name, job.limit) == (1, "Trial", 1)


def test_a_speed_limit_is_given_on_the_form_and_carried_by_the_preview(as_owner: Client) -> None:
    preview = as_owner.post(NOTE, {"items": "a", "rate_per_second": "2.5", "action": "preview"})
    as_owner.post(NOTE, hidden(preview) | {"action": "start"})
    assert Job.objects.get().rate_per_second == 2.5


def test_a_speed_limit_beyond_the_operations_own_is_refused_next_to_its_field(person: Callable[..., Any]) -> None:
    client = logged_in(person("payer", "ticketing.change_order"))
    response = client.post("/operations/refund-orders/", {"reason": "x", "items": "1", "rate_per_second": "26"})
    assert response.status_code == 422
    assert "less than or equal to 25" in response.content.decode()
    assert nothing_stored()


# -- trying it


HABITS, OUTSIDE, COLLECTING = "/operations/habits/", "/operations/note-outside/", "/operations/collecting/"


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_trying_shows_what_would_become_of_the_first_items_and_keeps_nothing(
    as_owner: Client, headers: dict[str, str]
) -> None:
    items = "fine\nraise\nskip\npass-by\ndoubt\nfine\nfine"
    response = as_owner.post(HABITS, {"items": items, "action": "try"}, headers=headers)
    page = response.content.decode()
    assert response.status_code == 200
    assert "Tried the first 5 items, and kept nothing" in page
    assert "7 items, ready to start" in page
    for words in (
        "</span>succeeded",
        "</span>failed",
        "ValueError: this item is bad",
        "</span>skipped",
        "not today",
        "</span>would be tried again",
        "</span>in doubt",
    ):
        assert words in page
    assert nothing_stored()
    assert not Effect.objects.exists()


def test_after_trying_the_same_form_starts_the_job_or_tries_again(as_owner: Client) -> None:
    form = hidden(as_owner.get(ROWS))
    tried = as_owner.post(ROWS, form | {"file": csv("number\n1\n2\n"), "limit": "1", "action": "try"})
    assert "Tried the first item, and kept nothing" in tried.content.decode()
    again = as_owner.post(ROWS, hidden(tried) | {"action": "try"})
    token = {"csrfmiddlewaretoken": ""}
    assert hidden(again) | token == hidden(tried) | token
    as_owner.post(ROWS, hidden(again) | {"action": "start"})
    job = Job.objects.get()
    assert (job.total, job.limit, job.input_name) == (1, 1, "rows.csv")


def test_trying_needs_no_worker_and_no_free_slot(as_owner: Client, owner: Any, alive: Cluster) -> None:
    services.submit(user=owner, operation="note", items=["x"])
    alive.delete()
    response = as_owner.post(NOTE, {"items": "a", "action": "try"})
    assert response.status_code == 200
    assert "Tried the first item" in response.content.decode()
    assert Job.objects.count() == 1


def test_trying_what_works_outside_transactions_shows_the_items_and_says_why_they_were_not_run(
    as_owner: Client,
) -> None:
    page = as_owner.post(OUTSIDE, {"items": "alpha\nbeta", "action": "try"}).content.decode()
    assert "works outside transactions" in page
    assert "alpha" in page
    assert "These are the first rows" in page
    assert not Effect.objects.exists()


@pytest.mark.parametrize(("address", "offered"), [(NOTE, True), (OUTSIDE, False)])
def test_trying_is_offered_where_it_can_be_done(as_owner: Client, address: str, offered: bool) -> None:
    for page in (as_owner.get(address), as_owner.post(address, {"items": "alpha", "action": "preview"})):
        assert ('value="try"' in page.content.decode()) == offered


def test_trying_says_why_collecting_would_fail(as_owner: Client) -> None:
    page = as_owner.post(COLLECTING, {"how": "raise", "action": "try"}).content.decode()
    assert "The job would fail before its first item." in page
    assert "ValueError: the source is gone" in page


def test_trying_shows_what_an_operation_outside_transactions_would_find(person: Callable[..., Any]) -> None:
    event = Event.objects.create(name="TRIED", venue="Here", starts_at=timezone.now())
    ticket = Ticket.objects.create(event=event, code="T1", seat="1", price=100)
    client = logged_in(person("issuer", "ticketing.change_ticket"))
    page = client.post("/operations/issue-tickets/", {"action": "try"}).content.decode()
    assert f"The first ones: <code>{ticket.pk}</code>." in page
    ticket.refresh_from_db()
    assert ticket.issued_at is None


def test_trying_with_mistakes_is_the_form_again(as_owner: Client) -> None:
    assert as_owner.post(ROWS, {"items": "number\nmany", "action": "try"}).status_code == 422
    assert as_owner.post(DEPOSIT, {"amount": "much", "action": "try"}).status_code == 422
    assert as_owner.post(NOTE, {"items": "", "action": "try"}).status_code == 422


def test_trying_once_more_while_one_goes_on_is_refused_and_keeps_the_form(as_owner: Client, owner: Any) -> None:
    with elsewhere() as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [dry_run._lock_of(owner)])
        response = as_owner.post(ROWS, {"file": csv("number\n1\n"), "action": "try"})
    assert response.status_code == 409
    assert "A dry run of yours is going on" in response.content.decode()
    as_owner.post(ROWS, hidden(response) | {"action": "start"})
    assert Job.objects.get().input_name == "rows.csv"


def test_what_an_item_says_is_text_on_the_page(as_owner: Client) -> None:
    page = as_owner.post(NOTE, {"items": "<script>alert(1)</script>", "action": "try"}).content.decode()
    assert "<script>alert" not in page


def test_who_may_not_submit_may_not_try(as_owner: Client) -> None:
    assert as_owner.post("/operations/guarded/", {"items": "a", "action": "try"}).status_code == 403
    assert not Effect.objects.exists()


def test_the_preview_of_an_upload_is_kept_and_deleted_at_the_start(as_owner: Client) -> None:
    preview = as_owner.post(ROWS, {"file": csv("number\n1\n2\n"), "action": "preview"})
    assert len(default_storage.listdir(uploads.FOLDER)[1]) == 1
    as_owner.post(ROWS, hidden(preview) | {"action": "start"})
    job = Job.objects.get()
    assert (job.total, job.input_name) == (2, "rows.csv")
    assert default_storage.listdir(uploads.FOLDER)[1] == []


def test_the_form_can_be_changed_after_the_preview(as_owner: Client) -> None:
    preview = as_owner.post(ROWS, {"file": csv("number\n1\n"), "name": "Trial", "action": "preview"})
    form = as_owner.post(ROWS, hidden(preview) | {"action": "edit"})
    page = form.content.decode()
    assert "rows.csv" in page
    assert 'value="Trial"' in page
    as_owner.post(ROWS, hidden(form) | {"forget_upload": "on", "items": "number\n7\n8\n9"})
    assert Job.objects.get().total == 3


def test_a_kept_upload_is_its_users_alone(as_owner: Client, as_stranger: Client) -> None:
    preview = as_owner.post(ROWS, {"file": csv("number\n1\n"), "action": "preview"})
    response = as_stranger.post(ROWS, hidden(preview) | {"action": "start"})
    assert response.status_code == 422
    assert "no longer there" in response.content.decode()
    assert nothing_stored()


def test_forgotten_uploads_are_swept_after_a_day(as_owner: Client, owner: Any) -> None:
    import os
    from pathlib import Path

    kept = uploads.keep(csv("number\n1\n"), owner)
    two_days_ago = (timezone.now() - timedelta(days=2)).timestamp()
    os.utime(Path(default_storage.path(kept.path)), (two_days_ago, two_days_ago))
    fresh = uploads.keep(csv("number\n2\n"), owner)
    assert default_storage.listdir(uploads.FOLDER)[1] == [fresh.path.rpartition("/")[2]]


# -- one-time key


def test_one_form_sent_twice_makes_one_job_also_after_it_ended(as_owner: Client, owner: Any) -> None:
    form = hidden(as_owner.get(NOTE)) | {"items": "a", "action": "start"}
    first = as_owner.post(NOTE, form)
    services.cancel(job=Job.objects.get(), actor=owner)
    second = as_owner.post(NOTE, form)
    assert first["Location"] == second["Location"]
    assert Job.objects.count() == 1
    assert "sent already" in as_owner.get(second["Location"]).content.decode()


def test_a_preview_with_an_upload_sent_twice_makes_one_job(as_owner: Client, owner: Any) -> None:
    preview = hidden(
        as_owner.post(ROWS, {**hidden(as_owner.get(ROWS)), "file": csv("number\n1\n"), "action": "preview"})
    )
    first = as_owner.post(ROWS, preview | {"action": "start"})
    services.cancel(job=Job.objects.get(), actor=owner)
    second = as_owner.post(ROWS, preview | {"action": "start"})
    assert second["Location"] == first["Location"]
    assert Job.objects.count() == 1


def test_a_spent_form_with_other_values_is_asked_again_with_a_fresh_key(as_owner: Client, owner: Any) -> None:
    form = hidden(as_owner.get(NOTE))
    as_owner.post(NOTE, form | {"items": "a"})
    services.cancel(job=Job.objects.get(), actor=owner)
    response = as_owner.post(NOTE, form | {"items": "b"})
    assert response.status_code == 422
    assert "sent before with other values" in response.content.decode()
    fresh = hidden(response)
    assert fresh["idempotency_key"] != form["idempotency_key"]
    assert as_owner.post(NOTE, fresh | {"items": "b"}).status_code == 302


def test_a_form_with_mistakes_keeps_its_key(as_owner: Client) -> None:
    form = hidden(as_owner.get(NOTE))
    response = as_owner.post(NOTE, form | {"items": "", "limit": "0"})
    assert response.status_code == 422
    assert hidden(response)["idempotency_key"] == form["idempotency_key"]


def test_every_rendering_has_a_key_of_its_own(as_owner: Client) -> None:
    assert hidden(as_owner.get(NOTE))["idempotency_key"] != hidden(as_owner.get(NOTE))["idempotency_key"]


# -- refusals


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_a_second_start_is_told_which_job_runs_and_how_to_cancel_it(
    as_owner: Client, job: Job, headers: dict[str, str]
) -> None:
    response = as_owner.post(NOTE, hidden(as_owner.get(NOTE)) | {"items": "x\ny"}, headers=headers)
    page = response.content.decode()
    assert response.status_code == 409
    assert "already have an active job" in page
    assert f'href="{job.get_absolute_url()}"' in page
    assert "Cancel this job" in page
    assert "x\ny" in page
    assert Job.objects.count() == 1


def test_an_unknown_operation_is_not_found(as_owner: Client) -> None:
    assert as_owner.get("/operations/nothing/").status_code == 404
    assert as_owner.post("/operations/nothing/", {"items": "a"}).status_code == 404


def test_a_missing_permission_is_forbidden(as_owner: Client, person: Callable[..., Any]) -> None:
    for response in (as_owner.get("/operations/guarded/"), as_owner.post("/operations/guarded/", {"items": "a"})):
        assert response.status_code == 403
        assert "You may not run" in response.content.decode()
    assert nothing_stored()
    assert logged_in(person("guard", "sample.change_account")).get("/operations/guarded/").status_code == 200


@pytest.mark.parametrize("action", ["start", "preview"])
@pytest.mark.parametrize(
    ("url", "data", "words"),
    [
        (DEPOSIT, {"amount": "many"}, "Enter a whole number."),
        (DEPOSIT, {"amount": ""}, "This field is required."),
        (NOTE, {"items": "  \n"}, "This operation needs items"),
        (NOTE, {"items": "a", "limit": "0"}, "greater than or equal to 1"),
        (NOTE, {"items": "a", "parallelism": "99"}, "less than or equal to 4"),
        (NOTE, {"items": "a", "name": "x" * 201}, "at most 200 characters"),
        (ROWS, {"items": "number,note\n1\n"}, "Line 2"),
        (ROWS, {"items": "note\nx\n"}, "the header lacks 1 column: number"),
        (ROWS, {"items": "number\n1\nx\n"}, "Item 2, number: Enter a whole number."),
        (NOTE, {"items": "a\x00b"}, "Null characters are not allowed"),
    ],
)
def test_wrong_input_is_told_next_to_the_field(
    as_owner: Client, action: str, url: str, data: dict[str, str], words: str
) -> None:
    response = as_owner.post(url, data | {"action": action})
    assert response.status_code == 422
    assert words in response.content.decode()
    assert nothing_stored()


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"number,note\n1,Zo\xc3\xab\n2,\xff\n", "rows.csv", "not UTF-8"),
        (b"", "rows.csv", "empty"),
        (b"PK", "rows.xlsx", "must end in"),
        (b"{", "rows.json", "not JSON"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_next_to_it(as_owner: Client, content: bytes, name: str, words: str) -> None:
    response = as_owner.post(ROWS, {"file": SimpleUploadedFile(name, content), "action": "preview"})
    assert response.status_code == 422
    assert words in response.content.decode()
    assert nothing_stored()
    assert not default_storage.exists(uploads.FOLDER) or not default_storage.listdir(uploads.FOLDER)[1]


def test_items_and_a_file_at_once_are_refused(as_owner: Client) -> None:
    response = as_owner.post(ROWS, {"items": "number\n1\n", "file": csv("number\n2\n")})
    assert response.status_code == 422
    assert "not both" in response.content.decode()
    assert nothing_stored()


@override_settings(BULKOPS={"file_bytes": 200_000})
@pytest.mark.parametrize("action", ["start", "preview"])
def test_a_file_over_the_limit_is_413_and_not_kept(as_owner: Client, action: str) -> None:
    content = b"number\n" + b"1\n" * 200_000
    large = SimpleUploadedFile("rows.csv", content)
    response = as_owner.post(ROWS, {"file": large, "name": "stays", "action": action})
    assert response.status_code == 413
    assert "larger than" in response.content.decode()
    assert 'value="stays"' in response.content.decode()
    assert nothing_stored()
    large.seek(0)
    assert as_owner.post(ROWS, {"file": large}, headers=HTMX).status_code == 422


@override_settings(BULKOPS={"body_items": 3})
def test_too_many_pasted_items_are_413(as_owner: Client) -> None:
    response = as_owner.post(NOTE, {"items": "a\nb\nc\nd"})
    assert response.status_code == 413
    assert "more than 3 items" in response.content.decode()


@override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=1_000)
def test_a_body_that_django_refuses_to_read_is_413_in_words(as_owner: Client) -> None:
    response = as_owner.post(NOTE, {"items": "a\n" * 1_000})
    assert response.status_code == 413
    assert "upload it as a file" in response.content.decode()
    assert nothing_stored()


def test_ten_megabytes_may_be_pasted(as_owner: Client) -> None:
    line = "x" * 999
    response = as_owner.post(NOTE, {"items": "\n".join([line] * 9_000)})
    assert response.status_code == 302
    assert Job.objects.get().total == 9_000


def test_without_a_worker_a_start_is_refused_in_words(as_owner: Client) -> None:
    Cluster.objects.all().delete()
    response = as_owner.post(NOTE, {"items": "a"})
    assert response.status_code == 503
    assert "No worker is running" in response.content.decode()
    assert as_owner.post(NOTE, {"items": "a"}, headers=HTMX).status_code == 422
    assert nothing_stored()


def test_programs_get_202_and_people_the_page(owner: Any, job: Job, rf: Any) -> None:
    import bulkops

    program = bulkops.accepted(job, rf.post("/", headers={"Accept": "application/json"}))
    assert program.status_code == 202
    assert program["Location"].endswith(job.get_absolute_url())
    assert program["Retry-After"] == "1"
    assert b'"state": "queued"' in program.content
    assert bulkops.accepted(job, rf.post("/", headers={"Accept": "*/*"})).status_code == 202
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    person = bulkops.accepted(job, rf.post("/", headers={"Accept": browser}))
    assert (person.status_code, person["Location"]) == (302, job.get_absolute_url())


def test_an_upload_is_read_to_its_end_so_that_the_answer_arrives() -> None:
    from django.core.files.uploadhandler import SkipFile

    handler = uploads.BoundedUpload(None)  # type: ignore[arg-type]
    handler.new_file("file", "big.csv", "text/csv", None)
    with override_settings(BULKOPS={"file_bytes": 3}):
        assert handler.receive_data_chunk(b"abc", 0) == b"abc"
        with pytest.raises(SkipFile):
            handler.receive_data_chunk(b"d", 3)
    assert handler.dropped == "big.csv"
    assert io.BytesIO().read() == b""


# -- in another project


def test_the_pages_exchange_only_what_they_bring_themselves(as_owner: Client) -> None:
    """A host's base.html has the blocks, and no element of a name that bulkops could know."""
    (ours,) = settings.TEMPLATES
    bare = {"base.html": "{% block content %}{% endblock %}"}
    loaders = [
        ("django.template.loaders.locmem.Loader", bare),
        ("django.template.loaders.filesystem.Loader", ours["DIRS"]),
        "django.template.loaders.app_directories.Loader",
    ]
    hosts = {key: value for key, value in ours.items() if key not in {"DIRS", "APP_DIRS"}}
    hosts["OPTIONS"] = {**ours["OPTIONS"], "loaders": loaders}
    with override_settings(TEMPLATES=[hosts]):
        pages = [
            as_owner.get(NOTE),
            as_owner.post(NOTE, {"items": "a", "action": "preview"}),
            as_owner.post(ROWS, {"items": "no header", "action": "start"}, headers=HTMX),
        ]
    for page in pages:
        text = page.content.decode()
        assert "<html" not in text
        (target,) = set(re.findall(r'hx-(?:target|select)="#([^"]+)"', text))
        assert f'<div id="{target}">' in text
