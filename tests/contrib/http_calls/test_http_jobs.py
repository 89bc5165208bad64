"""Each row is one request, and its outcome says what the service said."""

from __future__ import annotations

import base64
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

import bulkops
from bulkops import registry
from bulkops.contrib.http_calls import answers
from bulkops.models import Job, Outcome
from tests.peers import Reply

ONCE = "call-http-api-once"


def states(outcomes):
    return [(outcome.state, outcome.error_code) for outcome in outcomes]


def test_a_row_becomes_a_request_and_its_answer_a_result(run, peers, allow):
    peer = peers(lambda asked: Reply(201, b'{"data": [{"id": "r-1"}], "a/b": {"~": 2}}'))
    allow(peer.url)
    row = {"order": "A 1", "amount": "12", "why": 'it\'s "so"'}
    (outcome,) = run(
        [row],
        f"{peer.url}/orders/{{order}}/refunds?why={{why}}",
        headers="X-Order: {order}\nAccept: text/plain",
        body='{"amount": "{amount:number}", "why": "{why}"}',
        keep="pointer",
        pointer="/data/0/id",
    )
    assert (outcome.state, outcome.result) == ("succeeded", {"status": 201, "kept": "r-1"})
    (asked,) = peer.asked
    assert (asked.method, asked.target) == ("POST", "/orders/A%201/refunds?why=it%27s%20%22so%22")
    assert json.loads(asked.body) == {"amount": 12, "why": row["why"]}
    assert asked.headers["X-Order"] == "A 1"
    assert asked.headers["Accept"] == "text/plain"
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.headers["Idempotency-Key"] == f"{outcome.job_id}:0"


@pytest.mark.parametrize(
    ("keep", "result"),
    [
        ("nothing", None),
        ("status", {"status": 200}),
        ("beginning", {"status": 200, "kept": '{"id": 7}'}),
        ("pointer", {"status": 200, "kept": {"id": 7}}),
    ],
)
def test_what_is_kept_is_what_was_asked_for(run, peers, allow, keep, result):
    peer = peers(lambda asked: Reply(200, b'{"id": 7}'))
    allow(peer.url)
    (outcome,) = run([{"a": "b"}], peer.url, keep=keep)
    assert (outcome.state, outcome.result) == ("succeeded", result)


@pytest.mark.parametrize("deep", [60, 600, 100_000])
def test_a_value_nested_without_end_is_no_failure_for_the_service_did_its_part(run, peers, allow, deep):
    peer = peers(lambda asked: Reply(200, b"[" * deep + b"]" * deep))
    allow(peer.url)
    (outcome,) = run([{"a": "b"}], peer.url, keep="pointer", pointer="/0")
    assert outcome.state == "succeeded", outcome.message
    assert "nested" in str(outcome.result)


@pytest.mark.parametrize("body", [b"", b"<html>", b'"' + b"x" * 2**20 + b'"'])
def test_an_answer_that_is_no_readable_json_is_no_failure_and_says_so(run, peers, allow, body):
    peer = peers(lambda asked: Reply(200, body))
    allow(peer.url)
    (outcome,) = run([{"a": "b"}], peer.url, keep="pointer")
    assert (outcome.state, outcome.result["kept"]) == ("succeeded", None)
    assert "no JSON" in outcome.result["note"]


@pytest.mark.parametrize("pointer", ["/nothing", "/id/deeper", "/list/7", "/list/01", "/list/-1"])
def test_an_answer_without_the_value_is_no_failure_and_says_so(run, peers, allow, pointer):
    peer = peers(lambda asked: Reply(200, b'{"id": 7, "list": [1]}'))
    allow(peer.url)
    (outcome,) = run([{"a": "b"}], peer.url, keep="pointer", pointer=pointer)
    assert (outcome.state, outcome.result["kept"]) == ("succeeded", None)
    assert pointer in outcome.result["note"]


def test_statuses_that_were_expected_are_success_whatever_they_are(run, peers, allow):
    peer = peers(lambda asked: Reply(int(asked.target[1:])))
    allow(peer.url)
    rows = [{"s": str(status)} for status in (200, 204, 404, 409, 500)]
    outcomes = run(rows, f"{peer.url}/{{s}}", method="DELETE", expected="200-299, 404, 409,500")
    assert [outcome.state for outcome in outcomes] == ["succeeded"] * 5


def test_a_refusal_fails_with_the_services_own_words_and_is_not_repeated(run, peers, allow):
    peer = peers(lambda asked: Reply(422, b'{"error": "x", "detail": "The account\\n is closed."}'))
    allow(peer.url)
    (outcome,) = run([{"a": "b"}], peer.url)
    assert states([outcome]) == [("failed", "http-422")]
    assert outcome.message == f"The service answered {answers._in_words(422)}: The account is closed."
    assert len(peer.asked) == 1


def test_long_words_and_pages_of_html_are_cut(run, peers, allow):
    peer = peers(lambda asked: Reply(400, b"<html>" + b"word " * 50_000))
    allow(peer.url)
    (outcome,) = run([{"a": "b"}], peer.url)
    assert outcome.message.startswith("The service answered 400 Bad Request: <html>word word")
    assert len(outcome.message) < 400


def test_a_server_error_is_tried_again_with_the_same_key(run, peers, allow):
    statuses = iter([500, 502, 408, 200])
    peer = peers(lambda asked: Reply(next(statuses)))
    allow(peer.url)
    (outcome,) = run([{"a": "b"}], peer.url)
    assert (outcome.state, outcome.attempt) == ("succeeded", 4)
    assert len({asked.headers["Idempotency-Key"] for asked in peer.asked}) == 1


def test_a_server_that_keeps_failing_fails_the_row(run, peers, allow):
    peer = peers(lambda asked: Reply(500, b"boom"))
    allow(peer.url)
    (outcome,) = run([{"a": "b"}], peer.url)
    assert states([outcome]) == [("failed", "http-500")]
    assert outcome.message == "The service answered 500 Internal Server Error: boom"
    assert len(peer.asked) == registry.get("call-http-api").max_attempts


@pytest.mark.parametrize("status", [429, 503])
def test_who_says_when_to_come_back_is_left_alone_until_then(caller, worker, peers, allow, status):
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=500), usegmt=True)
    waits = {"seconds": "300", "date": later, "far": "999999999", "senseless": "soon"}
    peer = peers(lambda asked: Reply(status, headers={"Retry-After": waits[asked.target[1:]]}))
    allow(peer.url)
    rows = [{"w": name} for name in waits]
    job = bulkops.submit(user=caller, operation="call-http-api", params={"url": f"{peer.url}/{{w}}"}, items=rows)
    worker.step()
    found = Outcome.objects.filter(job=job).order_by("position")
    assert states(found) == [("deferred", "retry-after")] * 4
    waiting = [(outcome.due - outcome.finished_at).total_seconds() for outcome in found]
    for (least, most), seconds in zip([(290, 380), (480, 640), (3_590, 4_510), (0, 5)], waiting, strict=True):
        assert least < seconds < most


def test_a_redirect_fails_and_says_where_it_would_lead(run, peers, allow):
    peer = peers(lambda asked: Reply(307, headers={"Location": "https://elsewhere.example/secret-path?token=x"}))
    allow(peer.url)
    (outcome,) = run([{"a": "b"}], peer.url)
    assert states([outcome]) == [("failed", "http-307")]
    assert outcome.message.endswith("redirects are not followed (to elsewhere.example).")


def test_a_lost_answer_is_asked_for_again_where_the_service_knows_the_key(run, peers, allow):
    done = Counter()

    def reply(asked):
        done[asked.headers["Idempotency-Key"]] += 1
        return Reply(cut=done.total() < 3)

    peer = peers(reply)
    allow(peer.url)
    (outcome,) = run([{"a": "b"}], peer.url)
    assert (outcome.state, outcome.attempt) == ("succeeded", 3)
    assert set(done.values()) == {3}


def test_an_answer_that_is_lost_each_time_is_in_doubt_at_the_end(run, peers, allow):
    peer = peers(lambda asked: Reply(cut=True))
    allow(peer.url)
    (outcome,) = run([{"a": "b"}], peer.url)
    assert states([outcome]) == [("in_doubt", "in-doubt")]
    assert "no whole answer came back" in outcome.message


def test_a_lost_answer_to_a_question_that_changes_nothing_is_a_failure(run, peers, allow):
    peer = peers(lambda asked: Reply(cut=True))
    allow(peer.url)
    (outcome,) = run([{"a": "b"}], peer.url, method="GET", operation=ONCE)
    assert states([outcome]) == [("failed", "http-no-answer")]
    assert len(peer.asked) == 6
    assert all("Idempotency-Key" not in asked.headers for asked in peer.asked)


@pytest.mark.parametrize("reply", [Reply(cut=True), Reply(500), Reply(502), Reply(503)])
def test_the_careful_operation_leaves_what_is_unclear_to_a_person(run, peers, allow, reply):
    peer = peers(lambda asked: reply)
    allow(peer.url)
    (outcome,) = run([{"a": "b"}], peer.url, operation=ONCE)
    assert states([outcome]) == [("in_doubt", "in-doubt")]
    assert len(peer.asked) == 1


def test_the_careful_operation_asks_again_after_a_plain_not_now(run, peers, allow):
    replies = iter([Reply(429), Reply(503, headers={"Retry-After": "0"}), Reply(200)])
    peer = peers(lambda asked: next(replies))
    allow(peer.url)
    (outcome,) = run([{"a": "b"}], peer.url, operation=ONCE)
    assert (outcome.state, outcome.attempt) == ("succeeded", 3)


def test_rows_of_any_columns_are_taken_and_what_is_missing_is_named(run, peers, allow):
    peer = peers(lambda asked: Reply())
    allow(peer.url)
    outcomes = run([{"a": "1", "b": "2"}, {"b": "3"}, {"a": ""}, {"a": "4"}], f"{peer.url}/{{a}}")
    assert [outcome.state for outcome in outcomes] == ["succeeded", "failed", "failed", "succeeded"]
    assert outcomes[1].message == "The row has no column “a”."
    assert "Column “a” is empty" in outcomes[2].message
    assert [asked.target for asked in peer.asked] == ["/1", "/4"]


def test_a_row_without_columns_is_refused(caller, allow, db):
    allow("a.example")
    with pytest.raises(bulkops.InvalidItems, match="not a row with named columns"):
        bulkops.submit(user=caller, operation="call-http-api", params={"url": "https://a.example/"}, items=["x"])


def test_a_job_has_chunks_for_each_of_its_workers(caller, allow, db):
    allow("a.example")
    rows = [{"n": str(number)} for number in range(500)]
    what = {"params": {"url": "https://a.example/{n}"}, "items": rows, "parallelism": 8}
    job = bulkops.submit(user=caller, operation="call-http-api", **what)
    assert job.chunks.count() >= 10


def test_only_who_may_call_may_call(stranger, allow):
    allow("a.example")
    with pytest.raises(bulkops.NotPermitted):
        bulkops.submit(
            user=stranger, operation="call-http-api", params={"url": "https://a.example/"}, items=[{"a": "1"}]
        )


@pytest.mark.parametrize(
    ("field", "params"),
    [
        ("url", {"url": "https://other.example/"}),
        ("url", {"url": "http://a.example/"}),
        ("url", {"url": "https://{a}.example/"}),
        ("url", {"url": "https://a.example/{a"}),
        ("method", {"method": "TRACE"}),
        ("headers", {"headers": "no colon"}),
        ("headers", {"headers": "Host: b.example"}),
        ("headers", {"headers": "Idempotency-Key: mine"}),
        ("headers", {"headers": "X: 1\nx: 2"}),
        ("headers", {"headers": '{"X": 1}'}),
        ("headers", {"headers": "X{a}: b"}),
        ("headers", {"headers": "X: ä"}),
        ("headers", {"headers": "Authorization: Bearer typed-in"}),
        ("headers", {"headers": '{"x-api-key": "typed-in"}'}),
        ("headers", {"headers": "PRIVATE-TOKEN: typed-in"}),
        ("headers", {"headers": "X-Shopify-Access-Token: typed-in"}),
        ("headers", {"headers": "apikey: typed-in"}),
        ("headers", {"headers": "X-Client-Secret: typed-in"}),
        ("body", {"body": "{"}),
        ("body", {"body": "{}", "method": "GET"}),
        ("expected", {"expected": "all"}),
        ("expected", {"expected": "299-200"}),
        ("expected", {"expected": "200,"}),
        ("timeout_seconds", {"timeout_seconds": 0}),
        ("timeout_seconds", {"timeout_seconds": 51}),
        ("keep", {"keep": "all"}),
        ("pointer", {"pointer": "id"}),
        ("__all__", {"headers": "X: {secret:nobody}"}),
    ],
)
def test_what_no_row_could_make_right_is_refused_when_it_is_submitted(check, allow, field, params):
    allow("a.example")
    with pytest.raises(bulkops.InvalidParams) as caught:
        check(**{"url": "https://a.example/"} | params)
    assert set(caught.value.errors) == {field}
    assert "__all__" not in str(caught.value)


def test_headers_and_body_may_be_given_as_json_values(caller, worker, peers, allow):
    peer = peers(lambda asked: Reply())
    allow(peer.url)
    params = {"url": peer.url, "headers": {"X-A": "{a}"}, "body": {"a": "{a}"}}
    worker.finish(bulkops.submit(user=caller, operation="call-http-api", params=params, items=[{"a": "1"}]))
    assert peer.asked[0].headers["X-A"] == "1"
    assert json.loads(peer.asked[0].body) == {"a": "1"}
    assert Job.objects.get().params["headers"] == {"X-A": "{a}"}


def test_a_host_that_was_taken_off_the_list_is_not_called_any_more(caller, worker, peers, allow):
    peer = peers(lambda asked: Reply())
    allow(peer.url)
    job = bulkops.submit(user=caller, operation="call-http-api", params={"url": peer.url}, items=[{"a": "1"}])
    allow("a.example")
    assert worker.finish(job).state == "failed"
    assert "does not name it" in job.error
    assert peer.asked == []


def test_secrets_are_sent_and_basic_authentication_too(run, peers, allow):
    peer = peers(lambda asked: Reply())
    secrets = {
        "shop": {"value": "hush-hush-hush", "hosts": (peer.url,)},
        "login": {"value": "Aladdin:open sesame", "hosts": (peer.url,)},
    }
    allow(peer.url, http_secrets=secrets)
    headers = "Authorization: Basic {basic:login}\nX-Key: {secret:shop}"
    (outcome,) = run([{"a": "1"}], peer.url, headers=headers, body='{"key": "{secret:shop}"}')
    assert outcome.state == "succeeded"
    (asked,) = peer.asked
    assert base64.b64decode(asked.headers["Authorization"].split()[1]) == b"Aladdin:open sesame"
    assert asked.headers["X-Key"] == json.loads(asked.body)["key"] == "hush-hush-hush"


def test_the_form_names_the_hosts_and_the_secrets_and_no_value(caller, client, allow):
    allow("api.example.org", "*.example.com", http_secrets={"shop": {"value": "hush-hush", "hosts": ("a.example",)}})
    client.force_login(caller)
    page = client.get("/operations/call-http-api/").content.decode()
    assert "This site calls: api.example.org, *.example.com." in page
    assert "Secrets of this site: shop." in page
    assert "hush" not in page
