"""Who may submit, see and control; and querysets that say the same of many jobs at once."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser

from bulkops import permissions, registry, services
from bulkops.models import Job

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
