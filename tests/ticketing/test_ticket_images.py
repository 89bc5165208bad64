"""A ticket's image is served to those who may see its job, and to nobody else."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.urls import reverse
from django.utils import timezone

from bulkops import registry, retention
from bulkops.models import Job, Outcome
from bulkops.states import JobState, OutcomeState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from django.test import Client

    from bulkops import Context
    from ticketing.models import Ticket

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def ended_job(owner: Any, operation: str = "issue-tickets") -> Job:
    return Job.objects.create(operation=operation, owner=owner, state=JobState.COMPLETED, total=1)


def outcome(job: Job, result: Any, position: int = 0) -> Outcome:
    return Outcome.objects.create(
        job=job, position=position, state=OutcomeState.SUCCEEDED, result=result, finished_at=timezone.now()
    )


def address(job_id: uuid.UUID, position: int = 0) -> str:
    return reverse("ticketing:image", args=[job_id, position])


@pytest.fixture
def issued(owner: Any, tickets: list[Ticket], item_context: Callable[..., Context]) -> Job:
    """A job that made the image of one ticket."""
    job = ended_job(owner)
    outcome(job, registry.get("issue-tickets").process(tickets[0].pk, {}, item_context(job.pk)))
    return job


def test_the_owner_gets_the_image(client: Client, issued: Job, owner: Any) -> None:
    client.force_login(owner)
    response = client.get(address(issued.pk))
    assert response.status_code == 200
    assert b"".join(response.streaming_content).startswith(b"\x89PNG\r\n")
    assert response["Content-Type"] == "image/png"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Disposition"] == 'inline; filename="AUR-1.png"'
    assert "private" in response["Cache-Control"]


def test_somebody_who_may_see_every_job_gets_it_too(client: Client, issued: Job, colleague: Any) -> None:
    client.force_login(colleague)
    assert client.get(address(issued.pk)).status_code == 200


def test_for_a_stranger_there_is_nothing(client: Client, issued: Job, stranger: Any) -> None:
    client.force_login(stranger)
    assert client.get(address(issued.pk)).status_code == 404


def test_for_the_staff_there_is_nothing_either(client: Client, issued: Job, stranger: Any) -> None:
    stranger.is_staff = True
    stranger.save()
    client.force_login(stranger)
    assert client.get(address(issued.pk)).status_code == 404


def test_without_a_login_there_is_nothing(client: Client, issued: Job) -> None:
    assert client.get(address(issued.pk)).status_code == 404


def test_it_is_only_read(client: Client, issued: Job, owner: Any) -> None:
    client.force_login(owner)
    assert client.head(address(issued.pk)).status_code == 200
    assert client.post(address(issued.pk)).status_code == 405


@pytest.mark.parametrize("position", [1, 2**31, 10**30])
def test_another_position_is_not_found(client: Client, issued: Job, owner: Any, position: int) -> None:
    client.force_login(owner)
    assert client.get(address(issued.pk, position)).status_code == 404


def test_another_job_is_not_found(client: Client, issued: Job, owner: Any) -> None:
    client.force_login(owner)
    assert client.get(address(uuid.uuid4())).status_code == 404


def test_an_image_that_was_removed_is_not_found(client: Client, issued: Job, owner: Any) -> None:
    default_storage.delete(issued.outcomes.get().result["file"])
    client.force_login(owner)
    assert client.get(address(issued.pk)).status_code == 404


@pytest.mark.parametrize(
    "result",
    [
        None,
        "tickets/x.png",
        [],
        {},
        {"file": None},
        {"file": 7},
        {"file": ["a"]},
        {"file": ""},
        {"file": "tickets/JOB/"},
        {"file": "tickets/JOB/.."},
        {"file": "tickets/JOB/../../../secret.png"},
        {"file": "tickets/JOB/../OTHER/AUR-1.png"},
        {"file": "/etc/passwd"},
        {"file": "secret.png"},
    ],
)
def test_a_result_that_names_another_file_leads_nowhere(
    client: Client, issued: Job, owner: Any, result: Any, settings: Any
) -> None:
    media: Path = settings.MEDIA_ROOT
    (media.parent / "secret.png").write_bytes(b"secret")
    default_storage.save("secret.png", ContentFile(b"secret"))
    job = ended_job(owner)
    default_storage.save(f"tickets/{job.pk}/own.png", ContentFile(b"own"))
    if isinstance(result, dict) and isinstance(result.get("file"), str):
        result = {"file": result["file"].replace("JOB", str(job.pk)).replace("OTHER", str(issued.pk))}
    outcome(job, result)
    client.force_login(owner)
    assert client.get(address(job.pk)).status_code == 404


def test_results_of_other_operations_are_no_images(client: Client, issued: Job, owner: Any) -> None:
    job = ended_job(owner, operation="reprice-tickets")
    name = default_storage.save(f"tickets/{job.pk}/x.png", ContentFile(b"x"))
    outcome(job, {"file": name})
    client.force_login(owner)
    assert client.get(address(job.pk)).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_the_images_go_with_an_old_job_and_with_no_other(
    issued: Job, owner: Any, tickets: list[Ticket], item_context: Callable[..., Context], monkeypatch: Any
) -> None:
    young = ended_job(owner)
    registry.get("issue-tickets").process(tickets[0].pk, {}, item_context(young.pk))
    default_storage.save(f"tickets/{issued.pk}/LOST-1.png", ContentFile(b"of a worker that died"))
    Job.objects.filter(pk=issued.pk).update(created_at=LONG_AGO, finished_at=LONG_AGO)
    Job.objects.filter(pk=young.pk).update(finished_at=timezone.now())
    monkeypatch.setattr(registry, "_operations", {})
    assert retention.prune().jobs == 1
    assert not default_storage.exists(f"tickets/{issued.pk}/")
    assert default_storage.listdir(f"tickets/{young.pk}")[1] == ["AUR-1.png"]
