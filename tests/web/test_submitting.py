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

from bulkops import services
from bulkops.models import Chunk, Job, Manifest
from bulkops.web import uploads
from tests.web.conftest import logged_in

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
