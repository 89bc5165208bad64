"""Whoever fills in the form, the table or the answer with malice gets no further: a table of what was tried.

Each line runs as a job, against real servers; only the world's name servers, which lie outside this machine, are
played.
"""

from __future__ import annotations

import gzip
import json
import time

import pytest

import bulkops
from tests.contrib.http_calls.conftest import SECRET, stored
from tests.peers import Reply, certificate

PRIVATE = "127.0.0.1"


@pytest.fixture
def inside(peers):
    """What only this machine can reach: it must never be asked."""
    peer = peers(lambda asked: Reply(200, b"the keys to everything"))
    yield peer
    assert peer.asked == []


# -- the address


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://localhost.:{port}/",
        "http://LOCALHOST:{port}/",
        "http://2130706433:{port}/",
        "http://0x7f000001:{port}/",
        "http://0x7f.0.0.1:{port}/",
        "http://017700000001:{port}/",
        "http://0177.0.0.1:{port}/",
        "http://127.1:{port}/",
        "http://0:{port}/",
        "http://0.0.0.0:{port}/",
        "http://[::1]:{port}/",
        "http://[::]:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://[::ffff:7f00:1]:{port}/",
        "http://[64:ff9b::127.0.0.1]:{port}/",
        "http://[2002:7f00:1::]:{port}/",
        "http://[fe80::1%25lo]:{port}/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "http://metadata.google.internal/",
        "http://api.example.org@127.0.0.1:{port}/",
        "http://api.example.org:80@127.0.0.1:{port}/",
        "http://api.example.org\\@127.0.0.1:{port}/",
        "http://127.0.0.1:{port}\\@api.example.org/",
        "http://127.0.0.1:{port}#@api.example.org/",
        "http://127.0.0.1:{port}?@api.example.org/",
        "http://api.example.org.evil.example/",
        "http://evil-api.example.org/",
        "http://api.example.org:22/",
        "http://api.example.org:{port}/",
        "http://api.example.org:80:22/",
        "http://\u0430pi.example.org/",
        "http://api\u3002example\u3002org/",
        "http://\uff11\uff12\uff17.0.0.1:{port}/",
        "http://api.example.org%00.evil.example/",
        "http://api.example.org\r\nHost: evil.example/",
        "http://api.example.org\t.evil.example/",
        "http:api.example.org/",
        "//127.0.0.1:{port}/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/_x",
        "dict://127.0.0.1:{port}/x",
        "ftp://127.0.0.1/x",
        "unix:///var/run/docker.sock",
        "jar:http://127.0.0.1!/x",
    ],
)
def test_an_address_off_the_list_is_refused_when_it_is_submitted(check, allow, inside, address):
    allow("http://api.example.org", networks=("0.0.0.0/0", "::/0"))
    with pytest.raises(bulkops.InvalidParams) as caught:
        check(address.replace("{port}", str(inside.port)))
    assert set(caught.value.errors) == {"url"}


@pytest.mark.parametrize(
    "answers",
    [
        [["64:ff9b::7f00:1"]],
        [["fd00:ec2::254"]],
        [["100.64.0.1"]],
        [["0.0.0.0"]],
        [["127.0.0.1", "1.1.1.1"]],
    ],
)
def test_a_listed_name_that_leads_inside_is_refused_at_the_call(run, allow, names, inside, answers):
    name = f"http://api.example.org:{inside.port}"
    allow(name, networks=())
    names["api.example.org"] = answers
    (outcome,) = run([{"a": "1"}], name)
    assert (outcome.state, outcome.error_code) == ("failed", "http-address-refused")


def test_a_name_that_changes_between_two_rows_is_checked_for_each_connection(run, allow, names, peers, inside):
    """The first answer is public for all that the rules know; the next one leads inside."""
    peer = peers(lambda asked: Reply(headers={"Connection": "close"}))
    allow(f"http://api.example.org:{peer.port}", networks=("127.0.0.1/32",))
    names["api.example.org"] = [["127.0.0.1"], ["127.0.0.2"]]
    outcomes = run([{"a": "1"}, {"a": "2"}], f"http://api.example.org:{peer.port}/")
    assert [outcome.error_code for outcome in outcomes] == ["", "http-address-refused"]


def test_a_name_is_not_asked_for_again_between_check_and_connection(run, allow, names, peers):
    peer = peers(lambda asked: Reply())
    allow(f"http://api.example.org:{peer.port}", networks=("127.0.0.1/32",))
    names["api.example.org"] = [["127.0.0.1"], ["127.0.0.2"]]
    (outcome,) = run([{"a": "1"}], f"http://api.example.org:{peer.port}/")
    assert (outcome.state, names["api.example.org"]) == ("succeeded", [["127.0.0.2"]])


def test_another_hosts_certificate_gets_nothing(run, allow, names, peers, tmp_path):
    tls, trusted = certificate(tmp_path, "evil.example")
    peer = peers(lambda asked: Reply(), tls=tls)
    place = f"https://api.example.org:{peer.port}"
    allow(place, http_ca_file=trusted, http_secrets={"shop": {"value": SECRET, "hosts": (place,)}})
    names["api.example.org"] = [["127.0.0.1"]]
    (outcome,) = run([{"a": "1"}], place, headers="X: {secret:shop}", method="GET")
    assert (outcome.state, outcome.error_code) == ("failed", "http-not-reached")
    assert "certificate cannot be trusted" in outcome.message
    assert peer.asked == []


# -- the row


LEAVING = (
    "..",
    ".",
    "%2e%2e",
    "..\\admin",
    "a/../../admin",
    "a/b",
    "\uff0e\uff0e",
    "",
    " ",
    "a\r\nX-Evil: 1",
    "\x7f",
)


def test_a_cell_that_could_leave_its_path_segment_is_not_sent(run, service):
    peer = service()
    outcomes = run([{"a": cell} for cell in LEAVING], f"{peer.url}/orders/{{a}}/refunds")
    assert [(one.state, one.error_code) for one in outcomes] == [("failed", "http-row")] * len(LEAVING)
    assert peer.asked == []


STAYING = (
    ("@evil.example", "/o/%40evil.example?q=%40evil.example"),
    ("1?admin=1", "/o/1%3Fadmin%3D1?q=1%3Fadmin%3D1"),
    ("1&admin=1", "/o/1%26admin%3D1?q=1%26admin%3D1"),
    ("1;admin=1", "/o/1%3Badmin%3D1?q=1%3Badmin%3D1"),
    ("1#x", "/o/1%23x?q=1%23x"),
    ("1 HTTP", "/o/1%20HTTP?q=1%20HTTP"),
    ("{__class__}", "/o/%7B__class__%7D?q=%7B__class__%7D"),
    ("{secret:shop}", "/o/%7Bsecret%3Ashop%7D?q=%7Bsecret%3Ashop%7D"),
    ("${jndi:ldap}", "/o/%24%7Bjndi%3Aldap%7D?q=%24%7Bjndi%3Aldap%7D"),
)


def test_a_cell_adds_nothing_to_path_or_query(run, service):
    peer = service()
    outcomes = run([{"a": cell} for cell, _ in STAYING], f"{peer.url}/o/{{a}}?q={{a}}")
    assert {outcome.state for outcome in outcomes} == {"succeeded"}
    assert [asked.target for asked in peer.asked] == [target for _, target in STAYING]


def test_a_cell_adds_no_header(run, service):
    peer = service()
    cells = ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\x01", "\u010a", "a\u2028b"]
    outcomes = run([{"a": cell} for cell in cells], peer.url, headers="X-Note: {a}")
    assert [(one.state, one.error_code) for one in outcomes] == [("failed", "http-malformed")] * len(cells)
    assert peer.asked == []


def test_a_cell_adds_nothing_to_the_body(run, service):
    peer = service()
    cells = ['","admin":true,"x":"', '"}', "{secret:shop}", "{{", "\\u0022", "{0.__init__}"]
    outcomes = run([{"a": cell} for cell in cells], peer.url, body='{"a": "{a}", "b": "by {a}"}')
    assert {outcome.state for outcome in outcomes} == {"succeeded"}
    assert [json.loads(asked.body) for asked in peer.asked] == [{"a": cell, "b": f"by {cell}"} for cell in cells]


@pytest.mark.parametrize("placeholder", ["{__class__}", "{a.__class__}", "{a[0]}", "{settings}", "{0}"])
def test_a_placeholder_evaluates_nothing(run, service, placeholder):
    peer = service()
    (outcome,) = run([{"a": "1"}], peer.url, headers=f"X: {placeholder}")
    assert outcome.message.startswith("The row has no column")
    assert peer.asked == []


def test_a_placeholder_takes_no_format(check, service):
    with pytest.raises(bulkops.InvalidParams):
        check(service().url, headers="X: {a!r:>9}")


# -- the answer


def test_a_packed_bomb_is_neither_unpacked_nor_kept(run, service):
    bomb = gzip.compress(b'{"id": "' + b"0" * 50_000_000 + b'"}')
    peer = service(lambda asked: Reply(200, bomb, {"Content-Encoding": "gzip"}))
    for keep in ("pointer", "beginning"):
        (outcome,) = run([{"a": "1"}], peer.url, keep=keep)
        assert (outcome.state, outcome.result["kept"]) == ("succeeded", None)
    assert len(stored()) < 20_000


def test_a_secret_in_a_packed_refusal_is_not_kept_either(run, service):
    peer = service(lambda asked: Reply(400, gzip.compress(SECRET.encode(), 0), {"Content-Encoding": "gzip"}))
    (outcome,) = run([{"a": "1"}], peer.url)
    assert outcome.message == "The service answered 400 Bad Request."


def test_an_endless_body_is_read_in_part(run, peers, allow):
    def endless(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65_536)

    peer = peers(endless, raw=True)
    allow(peer.url)
    (outcome,) = run([{"a": "1"}], peer.url, keep="beginning")
    assert outcome.result == {"status": 200, "kept": "x" * 2_000}


def test_endless_headers_and_dripping_answers_end(run, peers, allow):
    def headers(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X: " + b"y" * 1_000 + b"\r\n")

    def drip(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            connection.sendall(b"x")
            time.sleep(0.02)  # the other side's own slowness

    for script in (headers, drip):
        peer = peers(script, raw=True)
        allow(peer.url)
        (outcome,) = run([{"a": "1"}], peer.url, operation="call-http-api-once", timeout_seconds=0.4)
        assert outcome.state == "in_doubt"
        assert peer.connections == 1


def test_deep_json_and_odd_letters_break_nothing(run, service):
    bodies = iter([b"[" * 60_000, b'"\\ud800\\u0000"', b"\xff\xfe\x00", b'{"id": NaN}', b"1" * 60_000])
    peer = service(lambda asked: Reply(200, next(bodies)))
    outcomes = run([{"a": "1"}] * 5, peer.url, keep="pointer")
    assert {outcome.state for outcome in outcomes} == {"succeeded"}


def test_a_cookie_is_not_given_back_for_the_next_row(run, service):
    peer = service(lambda asked: Reply(headers={"Set-Cookie": "session=somebody; Path=/"}))
    run([{"a": "1"}, {"a": "2"}], peer.url)
    assert len(peer.asked) == 2
    assert all("Cookie" not in asked.headers for asked in peer.asked)
