"""However a secret is echoed, asked for or spelt: it is kept nowhere, and no other host gets it."""

from __future__ import annotations

import base64
import json
import logging
from urllib.parse import quote

import pytest

import bulkops
from bulkops.models import Outcome
from tests.contrib.http_calls.conftest import SECRET, stored
from tests.contrib.http_calls.test_redaction import pieces
from tests.peers import Reply

SPELLED = {
    "plain": SECRET,
    "percent": quote(SECRET, safe=""),
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "basic": base64.b64encode(f"user:{SECRET}".encode()).decode(),
    "json": json.dumps({"deep": [{SECRET: SECRET}]}),
    "hex": SECRET.encode().hex(),
    "beginning": SECRET[:12],
    "end": SECRET[-12:],
    "across the cut": "x" * 290 + SECRET + "y" * 3_000,
    "across the kept": "x" * 1_990 + SECRET,
    "across the read": "x" * (64 * 1024 - 10) + SECRET,
}


@pytest.mark.parametrize("spelling", SPELLED)
@pytest.mark.parametrize(("status", "keep"), [(200, "beginning"), (200, "pointer"), (400, "status")])
def test_an_echoed_secret_is_kept_nowhere(run, service, caplog, spelling, status, keep):
    said = SPELLED[spelling]
    peer = service(lambda asked: Reply(status, said.encode(), {"X-Echo": SECRET, "Retry-After": SECRET}))
    with caplog.at_level(logging.DEBUG):
        run([{"a": "1"}], peer.url, headers="Authorization: Bearer {secret:shop}", keep=keep)
    assert peer.asked[0].headers["Authorization"] == f"Bearer {SECRET}"
    spelled = SECRET if spelling == "json" or spelling.startswith("across") else said
    # What stands before it may be told, and base64 mixes the first letter in.
    spelled = spelled[8:] if spelling == "basic" else spelled
    for text in (stored(), caplog.text):
        assert not pieces(SECRET) & pieces(text)
        assert not pieces(spelled) & pieces(text)


@pytest.mark.parametrize(("status", "keep"), [(200, "beginning"), (400, "status")])
def test_a_secret_echoed_in_utf_16_is_kept_nowhere(run, service, status, keep):
    peer = service(lambda asked: Reply(status, f"invalid token {SECRET}".encode("utf-16")))
    run([{"a": "1"}], peer.url, headers="Authorization: Bearer {secret:shop}", keep=keep)
    letters = stored().replace("\N{REPLACEMENT CHARACTER}", "").replace("\\ufffd", "")
    assert "invalid token" in letters
    assert not pieces(SECRET) & pieces(letters)


def test_a_secret_in_the_reason_the_location_or_the_protocol_is_kept_nowhere(run, peers, allow):
    def reason(connection):
        connection.sendall(b"HTTP/1.1 400 " + SECRET.encode() + b"\r\nContent-Length: 0\r\n\r\n")

    def location(connection):
        host = SECRET[:7].replace("_", "-").encode()
        head = b"HTTP/1.1 302 x\r\nContent-Length: 0\r\nLocation: https://" + host + b".evil.example/"
        connection.sendall(head + quote(SECRET, safe="").encode() + b"\r\n\r\n")

    def no_protocol(connection):
        connection.sendall(SECRET.encode() + b"\r\n\r\n")

    for script in (reason, location, no_protocol):
        peer = peers(script, raw=True)
        allow(peer.url, http_secrets={"shop": {"value": SECRET, "hosts": (peer.url,)}})
        run([{"a": "1"}], peer.url, headers="X: {secret:shop}")
    assert Outcome.objects.count() == 3
    assert not pieces(SECRET) & pieces(stored())


def test_a_secret_that_cannot_stand_in_a_header_is_not_named_by_the_error(run, peers, allow):
    peer = peers(lambda asked: Reply())
    allow(peer.url, http_secrets={"shop": {"value": "hush\r\nhush-hush", "hosts": (peer.url,)}})
    (outcome,) = run([{"a": "1"}], peer.url, headers="X-Key: {secret:shop}")
    assert (outcome.state, outcome.error_code) == ("failed", "http-malformed")
    assert "hush" not in stored()
    assert peer.asked == []


@pytest.mark.parametrize(
    "params",
    [
        {"headers": "X: {secret:other}"},
        {"body": '{"x": "{secret:other}"}'},
        {"headers": "X: {basic:other}"},
        {"headers": "X: {secret:nobody}"},
    ],
)
def test_a_secret_of_another_host_is_refused_when_it_is_submitted(check, service, params):
    peer = service()
    with pytest.raises(bulkops.InvalidParams) as caught:
        check(peer.url, **params)
    assert "another-secret" not in str(caught.value)


@pytest.mark.parametrize("part", ["{secret:shop}", "{basic:shop}"])
def test_a_secret_stands_in_no_address(check, service, part):
    peer = service()
    for url in (f"{peer.url}/{part}", f"{peer.url}/?key={part}"):
        with pytest.raises(bulkops.InvalidParams, match="secrets stand in headers and body only"):
            check(url)


def test_a_secret_that_moved_to_another_host_meanwhile_is_not_sent(caller, worker, service, allow):
    peer = service()
    params = {"url": peer.url, "headers": "X: {secret:shop}"}
    job = bulkops.submit(user=caller, operation="call-http-api", params=params, items=[{"a": "1"}])
    allow(peer.url, http_secrets={"shop": {"value": SECRET, "hosts": ("elsewhere.example",)}})
    assert worker.finish(job).state == "failed"
    assert peer.asked == []
    assert SECRET not in stored()
