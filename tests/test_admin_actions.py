"""Admin actions as jobs, for models with every kind of key and operations of every kind; and what `check` tells."""

from __future__ import annotations

import sys
import types
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from django import forms
from django.contrib import admin
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.sessions.models import Session
from django.db.models import Count
from django.test import RequestFactory
from django.urls import include, path
from django.utils import timezone

from bulkops import NotPermitted, Operation, register, registry
from bulkops.admin_actions import JobAction, JobActionsMixin
from bulkops.clock import from_now
from bulkops.conf import conf
from bulkops.manifests import decode
from bulkops.models import Cluster, Job, Manifest
from tests.sample.models import Account, Bookmark, Effect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test import Client

pytestmark = pytest.mark.django_db


class Wealthy(Account):
    """The accounts that hold something."""

    class Meta:
        proxy = True
        app_label = "sample"
        verbose_name_plural = "wealthy accounts"


class Letter(Operation):
    """Write to each account's holder."""

    name = "letter"

    class Params(forms.Form):
        action = forms.CharField(initial="greet")
        on = forms.DateField(required=False)

    class Item(forms.Form):
        number = forms.IntegerField(max_value=900)

    def process(self, item: Any, params: dict[str, Any], context: Any) -> None:
        Effect.objects.create(item=str(item["number"]))

    def authorize(self, user: Any, params: dict[str, Any]) -> None:
        if params["action"] == "threaten":
            raise NotPermitted("Threats are for lawyers.")


class Plain(JobActionsMixin, ModelAdmin):
    job_actions = ("note",)


class AccountAdmin(JobActionsMixin, ModelAdmin):
    job_actions = (
        "note",
        "guarded",
        JobAction("letter", item=lambda pk: {"number": pk}, label="Write to holders of %(verbose_name_plural)s"),
    )
    list_per_page = 10

    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).exclude(balance=666)


class BookmarkAdmin(Plain):
    search_fields = ("job__events__actor__username", "job__owner__username")

    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).annotate(events=Count("job__events")).order_by("-pk")


class WealthyAdmin(Plain):
    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).filter(balance__gt=0)


@pytest.fixture
def client(settings: Any, admin_client: Client) -> Iterator[Client]:
    """A superuser's, in an admin of its own."""
    Cluster.objects.create(name="alive", alive_until=from_now(600), workers=1, queues=["default"])
    site = AdminSite(name="other")
    site.register(Account, AccountAdmin)
    site.register(Wealthy, WealthyAdmin)
    site.register(Bookmark, BookmarkAdmin)
    site.register((Session, Job), Plain)
    urls = types.ModuleType("admin_actions_urls")
    urls.urlpatterns = [path("other/", site.urls), path("", include("project.urls"))]
    sys.modules["admin_actions_urls"] = urls
    settings.ROOT_URLCONF = "admin_actions_urls"
    register(Letter)
    yield admin_client
    registry.unregister("letter")
    del sys.modules["admin_actions_urls"]


def send(client: Client, model: str, operation: str, chosen: list[Any], **more: Any) -> Any:
    """The page's form as it is sent after one look at it."""
    form = {
        "action": f"job:{operation}",
        "select_across": "0",
        "_selected_action": [str(key) for key in chosen],
        "job-start": "1",
        "job-key": str(uuid.uuid4()),
        "job-count": str(len(chosen)),
    }
    return client.post(f"/other/{model}/", form | more)


def items() -> list[Any]:
    payloads = Manifest.objects.order_by("number").values_list("payload", flat=True)
    return [item for payload in payloads for item in decode(payload)]


def test_keys_that_are_texts_are_items(client: Client) -> None:
    keys = ["zeta", "alpha", "with space and “quotes”"[:40]]
    for key in keys:
        Session.objects.create(session_key=key, session_data="", expire_date=timezone.now())
    assert send(client, "sessions/session", "note", keys).status_code == 302
    assert sorted(items()) == sorted(keys)


def test_keys_that_are_uuids_are_items_as_text(client: Client, person: Any) -> None:
    owners = [person(name) for name in ("a", "b")]
    jobs = [Job.objects.create(owner=owner, operation="note", state="completed") for owner in owners]
    assert send(client, "bulkops/job", "note", [job.pk for job in jobs]).status_code == 302
    assert sorted(items()) == sorted(str(job.pk) for job in jobs)


def test_no_uuid_is_no_row(client: Client) -> None:
    assert send(client, "bulkops/job", "note", ["7"]).status_code == 302
    assert items() == []


def test_a_proxys_own_rows_are_all_that_can_be_reached(client: Client) -> None:
    poor, rich = Account.objects.create(number=1), Account.objects.create(number=2, balance=5)
    assert send(client, "sample/wealthy", "note", [poor.pk, rich.pk]).status_code == 302
    assert items() == [rich.pk]


def test_rows_that_the_list_hides_are_not_reached_by_forged_ids(client: Client) -> None:
    hidden, shown = Account.objects.create(number=1, balance=666), Account.objects.create(number=2)
    assert send(client, "sample/account", "note", [hidden.pk]).status_code == 302
    assert items() == []
    assert send(client, "sample/account", "note", [hidden.pk, shown.pk]).status_code == 302
    assert items() == [shown.pk]


def test_select_all_leaves_hidden_rows_out(client: Client) -> None:
    Account.objects.bulk_create([Account(number=n, balance=666 if n % 2 else 0) for n in range(60)])
    across = {"select_across": "1", "job-count": "30"}
    assert send(client, "sample/account", "note", [1], **across).status_code == 302
    assert items() == list(Account.objects.filter(balance=0).order_by("pk").values_list("pk", flat=True))


def test_a_list_that_groups_and_searches_elsewhere_gives_each_row_once_in_order(client: Client, person: Any) -> None:
    jobs = [Job.objects.create(owner=person(f"p{n}"), operation="note", state="completed") for n in range(3)]
    marks = [Bookmark.objects.create(job=jobs[n % 3]) for n in range(9)]
    across = {"select_across": "1", "job-count": "9", "job-limit": "7"}
    address = "/other/sample/bookmark/?q=p"
    form = {"action": "job:note", "_selected_action": ["1"], "job-start": "1", "job-key": "k"} | across
    assert client.post(address, form).status_code == 302
    assert items() == [mark.pk for mark in marks][:7]


def test_an_item_with_fields_is_made_of_each_key(client: Client) -> None:
    account = Account.objects.create(pk=7, number=1)
    sent = {"param-action": "greet", "param-on": "2027-03-06"}
    assert send(client, "sample/account", "letter", [account.pk], **sent).status_code == 302
    assert items() == [{"number": account.pk}]
    assert Job.objects.get().params == {"action": "greet", "on": "2027-03-06"}


def test_the_action_is_called_as_its_author_says(client: Client) -> None:
    Account.objects.create(number=1)
    page = client.get("/other/sample/account/").content.decode()
    assert '<option value="job:letter">Write to holders of accounts</option>' in page


def test_rows_whose_items_are_refused_are_named(client: Client) -> None:
    accounts = [Account.objects.create(pk=900 + n, number=70 + n) for n in range(8)]
    answer = send(client, "sample/account", "letter", [one.pk for one in accounts], **{"param-action": "greet"})
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "Nothing was started. 71: number: Ensure this value is less than or equal to 900. 72: number:" in page
    assert "And 2 more." in page
    assert items() == []


def test_what_the_operation_does_not_allow_is_said_in_its_words(client: Client) -> None:
    account = Account.objects.create(number=1)
    answer = send(client, "sample/account", "letter", [account.pk], **{"param-action": "threaten"})
    assert answer.status_code == 403
    assert "Threats are for lawyers." in answer.content.decode()
    assert items() == []


def test_who_may_not_run_the_operation_finds_no_action_and_is_refused(client: Client, person: Any) -> None:
    clerk = person("clerk", "sample.view_account", "sample.change_account")
    clerk.is_staff = True
    clerk.save()
    client.force_login(clerk)
    account = Account.objects.create(number=1)
    assert "job:guarded" in client.get("/other/sample/account/").content.decode()
    Letter.permission = "sample.delete_account"
    try:
        assert "job:letter" not in client.get("/other/sample/account/").content.decode()
        answer = send(client, "sample/account", "letter", [account.pk], **{"param-action": "greet"})
    finally:
        Letter.permission = None
    assert answer.status_code == 403
    assert "You may not run “Letter”." in answer.content.decode()
    assert items() == []


def test_more_rows_than_a_job_may_have_are_refused(client: Client, settings: Any) -> None:
    settings.BULKOPS = {"file_items": 3}
    assert conf().file_items == 3
    accounts = Account.objects.bulk_create([Account(number=n) for n in range(4)])
    answer = send(client, "sample/account", "note", [one.pk for one in accounts])
    assert answer.status_code == 413
    assert "4 accounts are too many for one job" in answer.content.decode()
    assert items() == []


def test_a_popup_offers_no_action(client: Client) -> None:
    Account.objects.create(number=1)
    assert "job:note" not in client.get("/other/sample/account/?_popup=1").content.decode()


def test_nothing_in_the_page_needs_an_inline_style_or_script(client: Client) -> None:
    account = Account.objects.create(number=1)
    page = send(client, "sample/account", "letter", [account.pk]).content.decode()
    assert "This field is required." in page
    assert "style=" not in page
    assert "<script>" not in page
    assert "onclick" not in page


# -- what `check` says


def faults_of(given: Any) -> list[tuple[str, str]]:
    made = type("Made", (JobActionsMixin, ModelAdmin), {"job_actions": given})
    return [(fault.id, f"{fault.msg} {fault.hint}") for fault in made(Account, admin.site).check()]


def test_a_right_declaration_passes() -> None:
    assert faults_of(("note", JobAction("rows", item=lambda pk: {"number": pk}))) == []


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ("note", "bulkops.E015", "with the comma"),
        ((Letter,), "bulkops.E015", "tuple of operations' names"),
        (("note", JobAction("note")), "bulkops.E016", "“note” 2 times"),
        (("nota",), "bulkops.E017", "“nota”, which does not exist"),
        (("rows",), "bulkops.E018", "Say how one is made"),
    ],
)
def test_a_wrong_declaration_is_told_at_start_up(given: Any, code: str, said: str) -> None:
    ((found, words),) = faults_of(given)
    assert found == code
    assert said in words


def test_an_unknown_operation_leaves_the_other_actions_alone(admin_user: Any) -> None:
    made = type("Made", (JobActionsMixin, ModelAdmin), {"job_actions": ("nota", "note")})
    request = RequestFactory().get("/")
    request.user = admin_user
    assert set(made(Account, admin.site).get_actions(request)) == {"delete_selected", "job:note"}
