"""Many files at once on the page, and what items made, handed out to those who may see their job."""

from __future__ import annotations

import re
import resource
import threading
from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone

from bulkops import result_files, services, stored_files, uploaded_files
from bulkops.models import Job, Outcome
from tests.clusters import wait_for
from tests.elsewhere import elsewhere
from tests.stored import names_below
from tests.web.conftest import logged_in
from tests.web.test_submitting import hidden

if TYPE_CHECKING:
    from collections.abc import Callable


pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("alive")]

COPY = "/operations/copy-files/"


def some(*names: str, content: bytes = b"content") -> list[SimpleUploadedFile]:
    return [SimpleUploadedFile(name, content) for name in names]


def stored() -> list[str]:
    return sorted(names_below("bulkops/files"))


# -- choosing files


def test_many_files_start_a_job_with_one_press(as_owner: Client) -> None:
    page = as_owner.get(COPY)
    assert "multiple" in page.content.decode()
    response = as_owner.post(COPY, hidden(page) | {"files": some("a.txt", "b.txt", "c.txt"), "action": "start"})
    job = Job.objects.get()
    assert response["Location"] == job.get_absolute_url()
    assert (job.total, job.input_name) == (3, "3 files")
    assert [name.split("/")[2] for name in stored()] == [job.upload] * 3


def test_the_preview_shows_name_size_and_type_and_carries_the_files(as_owner: Client) -> None:
    preview = as_owner.post(COPY, {"files": some("Plan.pdf", "b.txt", content=b"%PDF-1.4"), "action": "preview"})
    page = preview.content.decode()
    assert "2 items, ready to start" in page
    assert re.search(r"Plan\.pdf.*8\s*bytes.*application/pdf", page, re.DOTALL)
    assert "bulkops/files" not in page
    assert not Job.objects.exists()
    as_owner.post(COPY, hidden(preview) | {"action": "start"})
    assert Job.objects.get().total == 2


def test_files_can_be_changed_after_the_preview(as_owner: Client) -> None:
    preview = as_owner.post(COPY, {"files": some("a.txt"), "action": "preview"})
    form = as_owner.post(COPY, hidden(preview) | {"action": "edit"})
    assert "Already here: <strong>a.txt</strong>" in form.content.decode()
    as_owner.post(COPY, hidden(form) | {"files": some("b.txt", "c.txt"), "action": "start"})
    assert Job.objects.get().total == 2
    assert len(stored()) == 2
    assert not any("a.txt" in name for name in stored())


def waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
def test_files_that_are_replaced_while_they_are_started_are_never_those_of_a_job(owner: Any) -> None:
    client, at_once = logged_in(owner), logged_in(owner)
    form = hidden(client.post(COPY, {"files": some("a.txt"), "action": "preview"}))
    answers = []

    def start() -> None:
        answers.append(client.post(COPY, form | {"action": "start"}))
        connection.close()

    with elsewhere() as cursor:
        cursor.execute("SELECT 1 FROM auth_user WHERE id = %s FOR UPDATE", [owner.pk])
        starting = threading.Thread(target=start)
        starting.start()
        wait_for(waits_for_a_lock, 5, "the start to wait for its user's row")
        at_once.post(COPY, form | {"files": some("b.txt"), "action": "preview"})
    starting.join()
    assert not Job.objects.exists()
    assert "The files are no longer there; choose them again." in answers[0].content.decode()
    assert len(stored()) == 1


@pytest.mark.django_db(transaction=True)
def test_files_that_a_job_took_stay_its_own_though_a_crash_left_them_to_be_replaced(as_owner: Client) -> None:
    form = hidden(as_owner.post(COPY, {"files": some("a.txt"), "action": "preview"}))
    (batch,) = default_storage.listdir(uploaded_files.WAITING)[1]
    note = default_storage.open(f"{uploaded_files.WAITING}/{batch}").read()
    as_owner.post(COPY, form | {"action": "start"})
    (file,) = stored()
    stored_files.replace(f"{uploaded_files.WAITING}/{batch}", note)
    as_owner.post(COPY, form | {"files": some("b.txt"), "action": "preview"})
    assert file in stored()


def test_files_can_be_left_out_again(as_owner: Client) -> None:
    preview = as_owner.post(COPY, {"files": some("a.txt"), "action": "preview"})
    response = as_owner.post(COPY, hidden(preview) | {"forget_batch": "on", "action": "start"})
    assert response.status_code == 422
    assert "choose the files" in response.content.decode()
    assert stored() == []


@pytest.mark.parametrize("sent", ["a list", "a large list", "a list that was kept"])
def test_what_the_form_does_not_ask_for_is_not_looked_at(as_owner: Client, settings: Any, sent: str) -> None:
    settings.BULKOPS = {"file_bytes": 100, "files_folders": ()}
    assert 'name="file"' not in as_owner.get(COPY).content.decode()
    data: dict[str, Any] = {"upload": "made-up"}
    if sent != "a list that was kept":
        data = {"file": SimpleUploadedFile("names.csv", b"name\n" * (1 if sent == "a list" else 50))}
    response = as_owner.post(COPY, data | {"action": "start"})
    assert response.status_code == 422
    assert "choose the files" in response.content.decode()


def test_files_that_a_job_has_taken_stay_though_their_note_says_that_they_wait(as_owner: Client) -> None:
    """As when deleting the note failed after the job was committed, and its old page is sent with other files."""
    preview = as_owner.post(COPY, {"files": some("a.txt"), "action": "preview"})
    (note,) = names_below(uploaded_files.WAITING)
    with default_storage.open(note) as file:
        content = file.read()
    as_owner.post(COPY, hidden(preview) | {"action": "start"})
    taken = stored()
    assert Job.objects.get().upload in taken[0]
    stored_files.replace(note, content)
    as_owner.post(COPY, hidden(preview) | {"files": some("b.txt"), "action": "preview"})
    assert set(taken) < set(stored())


def test_files_are_their_users_alone(as_owner: Client, as_stranger: Client) -> None:
    preview = as_owner.post(COPY, {"files": some("a.txt"), "action": "preview"})
    response = as_stranger.post(COPY, hidden(preview) | {"action": "start"})
    assert response.status_code == 422
    assert "no longer there" in response.content.decode()
    assert not Job.objects.exists()


def test_files_stay_when_something_else_is_refused(as_owner: Client, owner: Any) -> None:
    services.submit(user=owner, operation="note", items=["a"])
    refused = as_owner.post(COPY, {"files": some("a.txt"), "action": "start"})
    assert refused.status_code == 409
    services.cancel(job=Job.objects.get(), actor=owner)
    as_owner.post(COPY, hidden(refused) | {"action": "start"})
    assert Job.objects.filter(operation="copy-files").get().total == 1


def test_one_form_with_files_sent_twice_makes_one_job(as_owner: Client, owner: Any) -> None:
    form = hidden(as_owner.get(COPY))
    first = as_owner.post(COPY, form | {"files": some("a.txt"), "action": "start"})
    services.cancel(job=Job.objects.get(), actor=owner)
    second = as_owner.post(COPY, form | {"files": some("a.txt"), "action": "start"})
    assert first["Location"] == second["Location"]
    assert (Job.objects.count(), len(stored())) == (1, 1)


def test_files_stay_when_they_are_only_tried(as_owner: Client) -> None:
    tried = as_owner.post(COPY, hidden(as_owner.get(COPY)) | {"files": some("a.txt"), "action": "try"})
    assert tried.status_code == 200
    as_owner.post(COPY, hidden(tried) | {"action": "start"})
    assert (Job.objects.get().total, len(stored())) == (1, 1)


def test_one_form_sent_again_with_other_files_is_asked_about(as_owner: Client, owner: Any) -> None:
    form = hidden(as_owner.get(COPY))
    as_owner.post(COPY, form | {"files": some("a.txt"), "action": "start"})
    services.cancel(job=Job.objects.get(), actor=owner)
    again = as_owner.post(COPY, form | {"files": some("a.txt", content=b"changed"), "action": "start"})
    assert again.status_code == 422
    assert "sent before with other values" in again.content.decode()
    as_owner.post(COPY, hidden(again) | {"action": "start"})
    assert Job.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_preview_with_files_sent_twice_makes_one_job(as_owner: Client, owner: Any) -> None:
    form = hidden(as_owner.get(COPY))
    preview = hidden(as_owner.post(COPY, form | {"files": some("a.txt"), "action": "preview"}))
    first = as_owner.post(COPY, preview | {"action": "start"})
    services.cancel(job=Job.objects.get(), actor=owner)
    assert as_owner.post(COPY, preview | {"action": "start"})["Location"] == first["Location"]
    assert Job.objects.count() == 1


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"upload_files": 2}, "more than 2 files"),
        ({"file_bytes": 1024 * 1024}, "“b.bin” is larger than 1 MB"),
        ({"upload_bytes": 2 * 1024 * 1024}, "larger than 2 MB together"),
    ],
)
def test_too_much_is_refused_in_words_and_nothing_stays(as_owner: Client, limit: Any, words: str) -> None:
    files = [*some("a.bin"), *some("b.bin", "c.bin", content=bytes(1_100_000)), *some("d.bin")]
    with override_settings(BULKOPS=limit):
        response = as_owner.post(COPY, {"files": files, "action": "start"})
    assert response.status_code == 413
    assert words in response.content.decode()
    assert list(names_below("bulkops")) == []
    assert not Job.objects.exists()


@pytest.mark.slow
def test_a_thousand_files_are_taken_without_keeping_them_open(as_owner: Client) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = some(*(f"{number}.txt" for number in range(1_000)))
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        as_owner.post(COPY, {"files": files, "action": "start"})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert Job.objects.get().total == len(stored()) == 1_000


def test_more_files_than_django_reads_are_refused_in_the_same_words(as_owner: Client) -> None:
    with override_settings(DATA_UPLOAD_MAX_NUMBER_FILES=3):
        response = as_owner.post(COPY, {"files": some("a", "b", "c", "d"), "action": "start"})
    assert response.status_code == 413
    assert "more than 1,000 files" in response.content.decode()
    assert list(names_below("bulkops")) == []


def test_a_form_without_its_token_leaves_no_files(owner: Any) -> None:
    client = logged_in(owner, enforce_csrf_checks=True)
    client.get(COPY)
    assert client.post(COPY, {"files": some("a.txt")}).status_code == 403
    assert list(names_below("bulkops")) == []


def test_names_of_files_can_be_pasted_only_where_a_folder_is_open(as_owner: Client) -> None:
    assert 'name="items"' not in as_owner.get(COPY).content.decode()
    with override_settings(BULKOPS={"files_folders": ("inbox",)}):
        assert 'name="items"' in as_owner.get(COPY).content.decode()
        refused = as_owner.post(COPY, {"items": "inbox/a.txt\nbulkops/x", "action": "start"})
        assert "Item 2, file" in refused.content.decode()
        as_owner.post(COPY, {"items": "inbox/a.txt", "action": "start"})
    assert Job.objects.get().total == 1


def test_an_empty_file_among_them_is_no_reason_to_refuse_the_form(as_owner: Client) -> None:
    as_owner.post(COPY, {"files": [*some("a.txt"), *some("empty.txt", content=b"")], "action": "start"})
    assert Job.objects.get().total == 2


# -- what items made


@pytest.fixture
def made(job: Job, put: Callable[..., Job]) -> Callable[..., str]:
    """Ends the job with a file of its first item; returns the file's address."""

    def make(name: str, content_type: str = "", content: bytes = b"<script>", **more: Any) -> str:
        entry = result_files.save(job.pk, 0, name, content, content_type, **more)
        put("completed", succeeded=4)
        Outcome.objects.filter(job=job, position=0).update(result={"pages": 3, "files": [entry]})
        return reverse("bulkops:item-file", args=[job.pk, 0, 0])

    return make


def test_those_who_may_see_the_job_get_the_file_and_for_others_there_is_none(
    made: Any, as_owner: Client, as_colleague: Client, as_stranger: Client
) -> None:
    address = made("a.bin", content=b"the content")
    for client in (as_owner, as_colleague):
        response = client.get(address)
        assert response.status_code == 200
        assert b"".join(response.streaming_content) == b"the content"
    assert as_stranger.get(address).status_code == 404
    assert Client().get(address)["Location"].startswith("/accounts/login/")
    assert as_owner.post(address).status_code == 405


@pytest.mark.parametrize(
    ("name", "kind", "inline"),
    [
        ("a.png", "image/png", True),
        ("a.jpg", "image/jpeg", True),
        ("a.webp", "image/webp", True),
        ("a.svg", "image/svg+xml", False),
        ("a.html", "text/html", False),
        ("a.pdf", "application/pdf", False),
        ("a.txt", "text/html; charset=x\r\nSet-Cookie: a=b", False),
        ("a.png", "IMAGE/PNG", False),
    ],
)
def test_only_pictures_are_shown_by_the_browser_and_nothing_runs(
    made: Any, as_owner: Client, name: str, kind: str, inline: bool
) -> None:
    response = as_owner.get(made(name, kind))
    assert response["Content-Disposition"].startswith("inline" if inline else "attachment")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert "private" in response["Cache-Control"]
    assert "\n" not in response["Content-Type"]


def test_a_name_that_would_break_a_header_breaks_none(made: Any, as_owner: Client) -> None:
    response = as_owner.get(made('x"\r\nSet-Cookie: a=b; ü\u202e.pdf', "application/pdf"))
    assert response.status_code == 200
    assert "a" not in response.cookies


def test_a_file_that_was_removed_and_one_that_never_was_are_not_found(made: Any, as_owner: Client, job: Job) -> None:
    address = made("a.bin")
    assert as_owner.get(reverse("bulkops:item-file", args=[job.pk, 0, 1])).status_code == 404
    assert as_owner.get(reverse("bulkops:item-file", args=[job.pk, 10**20, 0])).status_code == 404
    default_storage.delete(Outcome.objects.get(job=job, position=0).result["files"][0]["path"])
    assert as_owner.get(address).status_code == 404


def test_the_jobs_page_and_its_items_link_them(made: Any, as_owner: Client, job: Job) -> None:
    address = made("Größe.bin", "application/x-thing", content=bytes(2048))
    for page in (job.get_absolute_url(), reverse("bulkops:job-items", args=[job.pk])):
        text = as_owner.get(page).content.decode()
        assert f'href="{address}"' in text
        assert re.search(r"Größe\.bin</a>.*2\.0\s*KB, application/x-thing", text)
    assert "pages: 3" in text


def test_a_thumbnail_is_shown_as_a_picture(made: Any, as_owner: Client, job: Job) -> None:
    address = made("small.png", "image/png", thumbnail=True)
    assert f'<img src="{address}" alt="small.png"' in as_owner.get(job.get_absolute_url()).content.decode()


def test_items_that_are_files_are_listed_by_name_size_and_type(as_owner: Client) -> None:
    as_owner.post(COPY, {"files": some("Plan.pdf", content=b"%PDF-1.4"), "action": "start"})
    job = Job.objects.get()
    Outcome.objects.create(job=job, position=0, state="failed", message="no", finished_at=timezone.now())
    for page in (job.get_absolute_url(), reverse("bulkops:job-items", args=[job.pk])):
        assert re.search(r"Plan\.pdf, 8\s*bytes, application/pdf", as_owner.get(page).content.decode())
