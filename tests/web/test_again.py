"""An earlier run fills the form of the next: its parameters but for secrets, and its items where they were given."""

from __future__ import annotations

import re
import uuid
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from bulkops import item_values, registry, services, states, uploaded_files
from bulkops.models import Job, Manifest
from bulkops.signals import job_pruned
from bulkops.web.again import Again
from tests.sample.operations import Guarded
from tests.web.conftest import logged_in
from tests.web.test_submitting import DEPOSIT, NOTE, ROWS, hidden

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("alive")]

NOTHING_MORE = "Its items are not taken again"


def ended(user: Any, operation: str, **what: Any) -> Job:
    """A run of that operation, over."""
    job = services.submit(user=user, operation=operation, **what)
    services.cancel(job=job, actor=user)
    return job


def form_of(client: Client, job: Job) -> Any:
    """The form that “Run again” leads to."""
    return client.get(f"/operations/{job.operation}/?again={job.pk}")


def tag(page: str, id_: str) -> str:
    """The tag of that id."""
    found = re.search(rf'<[^>]* id="{id_}"[^>]*>', page)
    assert found is not None
    return found.group()


# -- the last run, one click away


def test_the_last_runs_parameters_are_one_click_away(as_owner: Client, owner: Any) -> None:
    ended(owner, "deposit", params={"amount": 3})
    last = ended(owner, "deposit", params={"amount": 77}, limit=9)
    page = as_owner.get(DEPOSIT).content.decode()
    assert f'href="?again={last.pk}"' in page
    assert "Use the parameters of the last run" in page
    form = form_of(as_owner, last).content.decode()
    assert 'name="amount" value="77"' in form
    assert 'name="limit" value="9"' in form
    assert "Filled in from" in form
    assert "?again=" not in form


def test_only_ones_own_runs_and_none_of_a_schedule_are_offered(
    as_owner: Client, as_stranger: Client, owner: Any
) -> None:
    job = ended(owner, "deposit", params={"amount": 77})
    assert "?again=" not in as_stranger.get(DEPOSIT).content.decode()
    Job.objects.filter(pk=job.pk).update(schedule="nightly")
    assert "?again=" not in as_owner.get(DEPOSIT).content.decode()


def test_where_nothing_could_be_filled_in_nothing_is_offered(as_owner: Client, owner: Any) -> None:
    assert "?again=" not in as_owner.get(DEPOSIT).content.decode()
    job = ended(owner, "note", items=["a"])
    assert "Use the items of the last run" in as_owner.get(NOTE).content.decode()
    Job.objects.filter(pk=job.pk).update(total=None)
    assert "?again=" not in as_owner.get(NOTE).content.decode()


def test_secrets_are_never_filled_in_and_the_form_says_so(person: Callable[..., Any]) -> None:
    guard = person("guard", "sample.change_account")
    job = ended(guard, "guarded", params={"token": "hush"}, items=["a"])
    page = form_of(logged_in(guard), job).content.decode()
    assert "hush" not in page
    assert "What is secret is not filled in: Token." in page


@pytest.mark.parametrize("again", ["nonsense", str(uuid.UUID(int=1)), ""])
def test_what_names_no_job_fills_nothing(as_owner: Client, again: str) -> None:
    page = as_owner.get(DEPOSIT, {"again": again})
    assert page.status_code == 200
    assert "Filled in from" not in page.content.decode()


def test_a_job_of_another_operation_fills_nothing(as_owner: Client, owner: Any) -> None:
    job = ended(owner, "note", items=["a"])
    assert "Filled in from" not in as_owner.get(DEPOSIT, {"again": job.pk}).content.decode()


# -- its items


def test_items_that_the_operation_found_are_found_anew(as_owner: Client, owner: Any) -> None:
    page = form_of(as_owner, ended(owner, "deposit", params={"amount": 77}))
    assert "The operation finds its items anew." in page.content.decode()
    assert b"same_items" not in page.content


def test_given_items_are_taken_again_with_keys_of_their_own(as_owner: Client, owner: Any) -> None:
    job = ended(owner, "note", items=["a", {"b": 1}, 3], input_name="three.json")
    form = form_of(as_owner, job)
    assert "Take the same 3 items again" in form.content.decode()
    preview = as_owner.post(NOTE, hidden(form) | {"same_items": "on", "action": "preview"})
    assert "Start: 3 items will be processed" in preview.content.decode()
    as_owner.post(NOTE, hidden(preview) | {"action": "start"})
    second = Job.objects.latest("created_at")
    assert list(item_values.every(second)) == ["a", {"b": 1}, 3]
    assert (second.parent, second.root_id, second.input_name) == (None, None, "three.json")


def test_the_same_items_are_offered_ticked_where_the_operation_would_else_take_all(
    as_owner: Client, owner: Any
) -> None:
    job = ended(owner, "deposit", params={"amount": 5}, items=[1, 2])
    page = form_of(as_owner, job)
    assert "checked" in tag(page.content.decode(), "id_same_items")
    as_owner.post(DEPOSIT, hidden(page) | {"amount": "5", "same_items": "on"})
    assert Job.objects.latest("created_at").total == 2


def test_a_job_that_is_gone_starts_nothing_instead_of_everything(as_owner: Client, owner: Any) -> None:
    job = ended(owner, "deposit", params={"amount": 5}, items=[1, 2])
    sent = hidden(form_of(as_owner, job)) | {"amount": "5", "same_items": "on"}
    Job.objects.filter(pk=job.pk).update(pruned_at=job.created_at)
    answer = as_owner.post(DEPOSIT, sent)
    assert answer.status_code == 422
    assert "The earlier run&#x27;s items are no longer there" in answer.content.decode()
    assert not Job.objects.exists()


def test_items_that_are_half_gone_start_nothing(as_owner: Client, owner: Any) -> None:
    job = ended(owner, "note", items=[str(n) for n in range(2_500)])
    sent = hidden(form_of(as_owner, job)) | {"same_items": "on"}
    Manifest.objects.filter(job=job, number=1).delete()
    answer = as_owner.post(NOTE, sent)
    assert "no longer there" in answer.content.decode()
    assert Job.objects.count() == 1


def test_a_stranger_takes_nobodys_items(as_stranger: Client, as_owner: Client, owner: Any) -> None:
    job = ended(owner, "note", items=["a"])
    answer = as_stranger.post(NOTE, {"again": str(job.pk), "same_items": "on"})
    assert answer.status_code == 422
    assert Job.objects.count() == 1


def test_the_same_items_and_others_are_refused_next_to_the_box(as_owner: Client, owner: Any) -> None:
    job = ended(owner, "note", items=["a"])
    sent = hidden(form_of(as_owner, job)) | {"same_items": "on", "items": "b"}
    answer = as_owner.post(NOTE, sent)
    assert "Take the same ones or give others, not both." in answer.content.decode()
    del sent["same_items"]
    as_owner.post(NOTE, sent)
    assert list(item_values.every(Job.objects.latest("created_at"))) == ["b"]


def test_the_same_items_are_checked_again(as_owner: Client, owner: Any) -> None:
    job = ended(owner, "rows", items=[{"number": 1}])
    payload = ended(owner, "note", items=[{"number": 0}])
    Manifest.objects.filter(job=job).update(payload=Manifest.objects.get(job=payload).payload)
    answer = as_owner.post(ROWS, hidden(form_of(as_owner, job)) | {"same_items": "on"})
    assert answer.status_code == 422
    assert "greater than or equal to 1" in answer.content.decode()


def test_a_retrys_items_are_its_own(as_owner: Client, owner: Any) -> None:
    first = ended(owner, "deposit", params={"amount": 5}, items=[1, 2])
    retry = services.retry(job=first, actor=owner, items="unprocessed")
    again = Again(retry, registry.get("deposit"), owner)
    assert again.had_items_of_its_own
    assert not again.offers_items  # a worker has not collected them yet
    assert any(NOTHING_MORE in sentence for sentence in again.sentences)
    assert any("takes all that it finds" in sentence for sentence in again.sentences)


COPY = "/operations/copy-files/"


@pytest.fixture
def copied(as_owner: Client) -> Job:
    """A run with two files that somebody chose, over."""
    files = [SimpleUploadedFile(name, name.encode()) for name in ("a.txt", "b.txt")]
    as_owner.post(COPY, {"files": files, "action": "start"})
    job = Job.objects.get()
    services.cancel(job=job, actor=job.owner)
    return job


def test_files_are_taken_again_by_whoever_chose_them_and_stay_as_long_as_one_job_has_them(
    as_owner: Client, copied: Job
) -> None:
    form = form_of(as_owner, copied)
    assert "Take the same 2 items again" in form.content.decode()
    preview = as_owner.post(COPY, hidden(form) | {"same_items": "on", "action": "preview"})
    assert '<td class="value">a.txt</td>' in preview.content.decode()
    as_owner.post(COPY, hidden(preview) | {"action": "start"})
    second = Job.objects.exclude(pk=copied.pk).get()
    assert list(item_values.every(second)) == list(item_values.every(copied))
    assert second.upload == copied.upload
    job_pruned.send(sender=Job, job_id=copied.pk, operation=copied.operation, results=())
    item = next(item_values.every(second))
    with uploaded_files.open_file(item, second.upload) as file:
        assert file.read() == b"a.txt"


def test_files_that_are_gone_are_to_be_chosen_again(as_owner: Client, copied: Job) -> None:
    form = form_of(as_owner, copied)
    uploaded_files.drop(copied.upload)
    assert "Its files are no longer there: choose them below." in form_of(as_owner, copied).content.decode()
    late = as_owner.post(COPY, hidden(form) | {"same_items": "on", "action": "start"})
    assert (late.status_code, Job.objects.count()) == (422, 1)


def test_somebody_elses_files_are_not_offered_even_to_those_who_may_see_the_job(
    person: Callable[..., Any], copied: Job
) -> None:
    operator = logged_in(person("operator", "bulkops.view_job"))
    page = unescape(form_of(operator, copied).content.decode())
    assert "Its files are somebody else's: choose your own below." in page
    assert "same_items" not in page
    operator.post(COPY, {"again": str(copied.pk), "same_items": "on", "action": "start"})
    assert Job.objects.count() == 1


def test_more_items_than_a_file_may_have_are_not_taken_again(settings: Any, owner: Any) -> None:
    job = ended(owner, "note", items=["a", "b"])
    assert Again(job, registry.get("note"), owner).offers_items
    settings.BULKOPS = {"file_items": 1}
    assert not Again(job, registry.get("note"), owner).offers_items


def test_a_parameter_that_the_form_no_longer_has_is_left_out(owner: Any) -> None:
    job = Job(operation="guarded", owner=owner, params={"token": "hush", "colour": "red"})
    assert Again(job, Guarded(), owner).params == {}


@pytest.mark.parametrize("state", sorted(states.ENDED))
def test_every_ended_job_can_be_run_again(as_owner: Client, put: Callable[..., Job], state: states.JobState) -> None:
    job = put(state)
    assert f"?again={job.pk}" in as_owner.get(job.get_absolute_url()).content.decode()


# -- mistakes


def test_mistakes_are_listed_on_top_with_a_way_to_each(as_owner: Client) -> None:
    page = as_owner.post(DEPOSIT, {"amount": "x", "limit": "0"}).content.decode()
    assert '<a href="#id_amount">Amount</a>: Enter a whole number.' in page
    assert '<a href="#id_limit">Only the first</a>: Ensure this value is greater than or equal to 1.' in page
    amount = tag(page, "id_amount")
    assert 'aria-invalid="true"' in amount
    assert 'aria-describedby="id_amount_error"' in amount
    assert 'id="id_amount_error"' in page


def test_what_is_required_and_how_large_a_file_may_be_is_said_before(as_owner: Client) -> None:
    page = as_owner.get(DEPOSIT).content.decode()
    assert page.count(">required</span>") == 1  # the amount, not the pause
    assert "at most 100\xa0MB, 1,000,000 items" in page
