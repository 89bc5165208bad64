"""What the form refuses: told in words, next to the field, with what was entered kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, override_settings

from bulkops.models import Cluster, Job
from bulkops.web import uploads
from tests.web.conftest import logged_in
from tests.web.test_submitting import DEPOSIT, HTMX, NOTE, ROWS, csv, hidden, nothing_stored

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("alive")]


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
