"""Who asks: tokens, names with passwords, sessions; what is wrong is refused, and too many tries too."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from bulkops import tokens
from bulkops.models import ApiToken
from tests.api.conftest import problem

if TYPE_CHECKING:
    from bulkops.models import Job

JOBS = "/api/jobs/"


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.fixture
def client() -> Client:
    return Client(enforce_csrf_checks=True)


def test_a_token_is_stored_as_a_hash_only(owner: Any):
    token, text = tokens.make(user=owner, name="nightly")
    stored = ApiToken.objects.values_list().get(pk=token.pk)
    assert text not in str(stored)
    assert tokens.find(text) == token


def test_a_token_shows_its_last_use_and_a_minute_of_polls_writes_once(owner: Any, client: Client):
    token, text = tokens.make(user=owner, name="nightly")
    header = {"Authorization": f"Token {text}"}
    assert token.last_used_at is None
    assert client.get(JOBS, headers=header).status_code == 200
    used = ApiToken.objects.get().last_used_at
    assert used is not None
    with CaptureQueriesContext(connection) as sent:
        client.get("/api/operations/", headers=header)
    assert not [one for one in sent if one["sql"].startswith("UPDATE")]


def test_a_revoked_token_and_a_deactivated_users_are_refused(owner: Any, client: Client):
    token, text = tokens.make(user=owner, name="nightly")
    header = {"Authorization": f"Bearer {text}"}
    assert client.get(JOBS, headers=header).status_code == 200
    get_user_model().objects.update(is_active=False)
    assert problem(client.get(JOBS, headers=header)) == (401, "not-authenticated")
    get_user_model().objects.update(is_active=True)
    token.delete()
    assert problem(client.get(JOBS, headers=header)) == (401, "not-authenticated")


def test_nobody_is_told_how_to_log_in(db: None, client: Client):
    answer = client.get(JOBS)
    assert problem(answer) == (401, "not-authenticated")
    assert answer["WWW-Authenticate"].startswith("Token")
    assert "Basic" in answer["WWW-Authenticate"]


def test_a_name_with_its_password_is_let_in(owner: Any, client: Client):
    assert client.get(JOBS, headers=basic("owner", "secret")).status_code == 200
    assert problem(client.get(JOBS, headers=basic("owner", "wrong"))) == (401, "not-authenticated")
    assert problem(client.get(JOBS, headers=basic("ow\0ner", "wrong"))) == (401, "not-authenticated")
    assert problem(client.get(JOBS, headers={"Authorization": "Basic x"})) == (401, "not-authenticated")
    assert problem(client.get(JOBS, headers={"Authorization": "Token ü"})) == (401, "not-authenticated")


def test_a_session_needs_the_csrf_token_to_change_something(owner: Any, job: Job, client: Client):
    client.force_login(owner)
    path = f"/api/jobs/{job.pk}/pause/"
    assert client.get(JOBS).status_code == 200
    assert problem(client.post(path, {}, content_type="application/json")) == (403, "csrf-failed")
    client.get("/tokens/")  # whose form sets the cookie
    csrf = client.cookies["csrftoken"].value
    assert client.post(path, {}, content_type="application/json", headers={"X-CSRFToken": csrf}).status_code == 202


def test_failed_log_ins_are_limited_by_page_and_api_together(owner: Any, settings: Any):
    settings.BULKOPS = {**settings.BULKOPS, "login_failures": 3}
    client = Client()
    assert client.get(JOBS, headers=basic("owner", "wrong")).status_code == 401
    for _ in range(2):
        assert client.post("/accounts/login/", {"username": "owner", "password": "wrong"}).status_code == 200
    refused = client.get(JOBS, headers=basic("owner", "secret"))
    assert problem(refused) == (429, "rate-limited")
    assert 1 <= int(refused["Retry-After"]) <= 300
    page = client.post("/accounts/login/", {"username": "owner", "password": "secret"})
    assert "Too many log-ins failed. Wait" in page.content.decode()
    assert client.post("/admin/login/", {"username": "owner", "password": "secret"}).status_code == 200  # not in
    assert client.get(JOBS, headers=basic("owner", "secret"), REMOTE_ADDR="192.0.2.7").status_code == 200


def test_a_log_in_that_succeeds_begins_the_count_anew(owner: Any, settings: Any):
    settings.BULKOPS = {**settings.BULKOPS, "login_failures": 2}
    for _ in range(3):
        client = Client()
        assert client.post("/accounts/login/", {"username": "owner", "password": "wrong"}).status_code == 200
        assert client.post("/accounts/login/", {"username": "owner", "password": "secret"}).status_code == 302


def test_wrong_tokens_are_limited_and_a_right_one_is_let_in(owner: Any, settings: Any):
    settings.BULKOPS = {**settings.BULKOPS, "login_failures": 1}
    client = Client()
    answers = [client.get(JOBS, headers={"Authorization": "Token wrong"}) for _ in range(11)]
    assert [one.status_code for one in answers] == [401] * 10 + [429]
    _, text = tokens.make(user=owner, name="right")
    assert client.get(JOBS, headers={"Authorization": f"Token {text}"}).status_code == 200


def test_only_entries_of_our_own_proxies_are_believed(owner: Any, settings: Any):
    settings.BULKOPS = {**settings.BULKOPS, "login_failures": 1, "trusted_proxies": 1}
    client = Client()
    wrong, right = basic("owner", "wrong"), basic("owner", "secret")
    assert client.get(JOBS, headers=wrong | {"X-Forwarded-For": "10.9.9.9, 192.0.2.1"}).status_code == 401
    assert client.get(JOBS, headers=right | {"X-Forwarded-For": "10.1.1.1, 192.0.2.1"}).status_code == 429
    assert client.get(JOBS, headers=right | {"X-Forwarded-For": "192.0.2.1, 192.0.2.2"}).status_code == 200


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("198.51.100.7:4711", "198.51.100.7:4712"),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"),
        ("[2001:db8:1:2::1]:4711", "2001:db8:1:2::1"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("unknown", "unknown"),
    ],
)
def test_an_address_is_one_however_it_is_written(db: None, settings: Any, first: str, second: str):
    settings.BULKOPS = {**settings.BULKOPS, "api_anonymous_per_minute": 1, "trusted_proxies": 1}
    answers = [Client().get("/api/schema/", headers={"X-Forwarded-For": one}) for one in (first, second)]
    assert [one.status_code for one in answers] == [200, 429]
    assert Client().get("/api/schema/", headers={"X-Forwarded-For": "2001:db8:9:9::1"}).status_code == 200


def test_failed_log_ins_are_counted_where_the_host_puts_requests_into_transactions(
    transactional_db: None, person: Any, monkeypatch: pytest.MonkeyPatch, settings: Any
):
    settings.BULKOPS = {**settings.BULKOPS, "login_failures": 1}
    person("owner")
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    answers = [Client().get(JOBS, headers=basic("owner", "wrong")) for _ in range(2)]
    assert [one.status_code for one in answers] == [401, 429]


def test_anonymous_calls_are_limited_by_address(db: None, settings: Any):
    settings.BULKOPS = {**settings.BULKOPS, "api_anonymous_per_minute": 2}
    client = Client()
    assert [client.get("/api/schema/").status_code for _ in range(3)] == [200, 200, 429]
    assert client.get("/api/schema/", REMOTE_ADDR="192.0.2.7").status_code == 200


# -- the page


def test_a_user_makes_sees_and_revokes_tokens_on_a_page(owner: Any, stranger: Any):
    client, other = Client(), Client()
    client.force_login(owner)
    other.force_login(stranger)
    assert "You have no tokens" in client.get("/tokens/").content.decode()
    page = client.post("/tokens/", {"name": "nightly import"}).content.decode()
    text = page.partition('<code id="token">')[2].partition("<")[0]
    assert Client(headers={"Authorization": f"Token {text}"}).get(JOBS).status_code == 200
    later = client.get("/tokens/").content.decode()
    assert "nightly import" in later
    assert "Programs that use it are refused from then on" in later, "it is asked before it is done"
    assert text not in later
    assert "nightly import" not in other.get("/tokens/").content.decode()
    token = ApiToken.objects.get()
    other.post(f"/tokens/{token.pk}/revoke/")
    assert ApiToken.objects.exists()
    assert client.post(f"/tokens/{token.pk}/revoke/").status_code == 302
    assert Client(headers={"Authorization": f"Token {text}"}).get(JOBS).status_code == 401
    assert client.post("/tokens/", {"name": ""}).status_code == 422


def test_the_page_of_tokens_asks_for_a_log_in(db: None):
    assert Client().get("/tokens/").status_code == 302
