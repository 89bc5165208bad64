"""Who may submit, see and control; and querysets that say the same of many jobs at once."""

from __future__ import annotations

from typing import ClassVar

import pytest
from django import forms
from django.contrib.auth.models import AnonymousUser

from bulkops import NotPermitted, Operation, dry_run, permissions, register, registry, services
from bulkops.models import Event, Job
from bulkops.states import EventKind, JobState
from tests.sample.models import Effect

pytestmark = pytest.mark.django_db


@pytest.fixture
def people(person, owner, colleague, stranger):
    """Everybody there is, by what they are."""
    staff, gone, root = person("staff"), person("gone", "bulkops.change_job", "bulkops.view_job"), person("root")
    staff.is_staff = True
    gone.is_active = False
    root.is_superuser = True
    return {
        "owner": owner,
        "viewer": colleague,
        "manager": person("manager", "bulkops.change_job"),
        "root": root,
        "stranger": stranger,
        "staff": staff,
        "gone": gone,
        "anonymous": AnonymousUser(),
    }


SEE = {"owner", "viewer", "manager", "root"}
CONTROL = {"owner", "manager", "root"}
EVERYBODY = ["owner", "viewer", "manager", "root", "stranger", "staff", "gone", "anonymous"]


@pytest.mark.parametrize("who", EVERYBODY)
def test_a_job_is_seen_by_its_owner_and_by_who_may_view_or_change_jobs(people, who):
    job = services.submit(user=people["owner"], operation="note", items=["a"])
    assert permissions.may_see(people[who], job) == (who in SEE)


@pytest.mark.parametrize("who", EVERYBODY)
def test_a_job_is_controlled_by_its_owner_and_by_who_may_change_jobs(people, who):
    job = services.submit(user=people["owner"], operation="note", items=["a"])
    assert permissions.may_control(people[who], job) == (who in CONTROL)


@pytest.mark.parametrize("who", EVERYBODY)
def test_the_querysets_say_the_same(people, who):
    for name in ("owner", "stranger", "manager"):
        services.submit(user=people[name], operation="note", items=["a"])
    user = people[who]
    every = set(Job.objects.all())
    assert set(Job.objects.visible_to(user)) == {job for job in every if permissions.may_see(user, job)}
    assert set(Job.objects.controllable_by(user)) == {job for job in every if permissions.may_control(user, job)}


@pytest.mark.parametrize("who", EVERYBODY)
def test_an_operation_without_a_permission_is_for_everyone_who_is_logged_in(people, who):
    assert permissions.may_submit(people[who], registry.get("note")) == (who not in {"gone", "anonymous"})


def test_an_operation_with_a_permission_is_for_its_holders(people, person):
    guarded = registry.get("guarded")
    trusted = person("trusted", "sample.change_account")
    assert permissions.may_submit(trusted, guarded)
    assert permissions.may_submit(people["root"], guarded)
    assert not permissions.may_submit(people["owner"], guarded)
    trusted.is_active = False
    assert not permissions.may_submit(trusted, guarded)


def test_a_superuser_who_was_deactivated_may_nothing(people):
    job = services.submit(user=people["owner"], operation="note", items=["a"])
    people["root"].is_active = False
    assert not permissions.may_see(people["root"], job)
    assert not permissions.may_control(people["root"], job)
    assert not permissions.may_submit(people["root"], registry.get("note"))


# -- an operation's own judgement


class Transfer(Operation):
    """May be run up to an amount that each user has as first name."""

    name = "transfer"
    trouble: ClassVar[Exception | None] = None

    class Params(forms.Form):
        amount = forms.IntegerField()

    def authorize(self, user, params):
        if self.trouble is not None:
            raise self.trouble
        if params["amount"] > int(user.first_name or 0):
            raise NotPermitted(f"You may transfer {user.first_name or 0} at most.")

    def process(self, item, params, context):
        Effect.objects.create(item=str(item))


@pytest.fixture
def transfer(monkeypatch):
    register(Transfer)
    monkeypatch.setattr(Transfer, "trouble", None)
    yield Transfer
    registry.unregister(Transfer.name)


@pytest.fixture
def payer(person):
    user = person("payer")
    user.first_name = "100"
    user.save()
    return user


def submit_transfer(user, amount):
    return services.submit(user=user, operation="transfer", params={"amount": str(amount)}, items=["a", "b"])


def test_authorize_is_asked_at_submit_with_the_cleaned_parameters(transactional_db, transfer, payer):
    with pytest.raises(NotPermitted, match="You may transfer 100 at most"):
        submit_transfer(payer, 101)
    assert not Job.objects.exists()
    assert submit_transfer(payer, 100).state == JobState.QUEUED


def test_authorize_is_asked_before_a_dry_run(transactional_db, transfer, payer):
    what = {"user": payer, "operation": "transfer", "items": ["a"]}
    with pytest.raises(NotPermitted, match="You may transfer 100 at most"):
        services.check(params={"amount": 101}, **what)
    assert [one.state for one in dry_run.run(services.check(params={"amount": 99}, **what)).tried] == ["succeeded"]


def test_the_page_says_why_authorize_refused(worker, transfer, payer, client):
    client.force_login(payer)
    for action in ("start", "preview", "try"):
        response = client.post("/operations/transfer/", {"amount": "101", "items": "a", "action": action})
        assert response.status_code == 403
        assert "You may transfer 100 at most." in response.content.decode()


def test_authorize_is_asked_at_every_slice_and_a_refusal_pauses_the_job_with_its_reason(transfer, payer, worker):
    job = submit_transfer(payer, 100)
    payer.first_name = "50"
    payer.save()
    worker.finish(job)
    assert job.state == JobState.PAUSED
    assert not Effect.objects.exists()
    why = Event.objects.get(job=job, kind=EventKind.PAUSE_REQUESTED).detail
    assert why == "The owner may no longer run this operation. You may transfer 50 at most."
    payer.first_name = "100"
    payer.save()
    services.resume(job=job, actor=payer)
    assert worker.finish(job).state == JobState.COMPLETED


def test_authorize_is_asked_before_a_retry_which_then_takes_no_items(transfer, payer, worker):
    job = submit_transfer(payer, 100)
    services.cancel(job=job, actor=payer)
    worker.finish(job)
    payer.first_name = "50"
    payer.save()
    job = Job.objects.get(pk=job.pk)  # with its owner as they are now
    with pytest.raises(NotPermitted, match=r"^The owner may no longer run .* You may transfer 50"):
        services.retry(job=job, actor=payer)
    assert not job.children.exists()


def test_an_authorize_that_raises_something_else_fails_the_job_in_words(transfer, payer, worker, monkeypatch):
    job = submit_transfer(payer, 100)
    monkeypatch.setattr(Transfer, "trouble", LookupError("no such rule"))
    worker.finish(job)
    assert (job.state, job.slot) == (JobState.FAILED, None)
    assert job.error == "The job could not be begun: LookupError: no such rule"
    assert not Effect.objects.exists()


def test_an_authorize_that_raises_something_else_is_no_permission_at_submit(transactional_db, transfer, payer):
    Transfer.trouble = LookupError("no such rule")
    with pytest.raises(LookupError):
        submit_transfer(payer, 1)
    assert not Job.objects.exists()


def test_who_lacks_the_permission_is_not_judged_at_all(transactional_db, transfer, payer, monkeypatch):
    monkeypatch.setattr(Transfer, "permission", "sample.change_account")
    monkeypatch.setattr(Transfer, "trouble", AssertionError("was asked"))
    with pytest.raises(NotPermitted, match="You may not run “Transfer”"):
        submit_transfer(payer, 1)
