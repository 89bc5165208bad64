"""A call reaches a checked address of a listed host and no other, verifies its name, and ends in time and size."""

from __future__ import annotations

import gzip
import logging
import os
import socket
import time

import pytest

from bulkops import outbound
from bulkops.outbound.asking import ask
from tests.peers import Reply, certificate

HEAD = b"HTTP/1.1 200 OK\r\n"


def get(url, seconds=5, most_bytes=1_000, **more):
    return ask("GET", url, timeout_seconds=seconds, most_bytes=most_bytes, **more)


def test_an_answer_comes_back_whole(peers, allow):
    peer = peers(lambda asked: Reply(201, b"hello", {"X-Y": "z"}))
    allow(peer.url)
    answer = ask("POST", f"{peer.url}/a?b=c", headers=[("X-Q", "r")], body=b"in", timeout_seconds=5, most_bytes=100)
    assert (answer.status, answer.body, answer.whole, answer.header("x-y")) == (201, b"hello", True, "z")
    (asked,) = peer.asked
    assert (asked.method, asked.target, asked.body) == ("POST", "/a?b=c", b"in")
    assert asked.headers["X-Q"] == "r"
    assert asked.headers["Host"] == f"127.0.0.1:{peer.port}"
    assert asked.headers["Accept-Encoding"] == "identity"
    assert set(asked.headers) == {"Host", "Accept-Encoding", "X-Q", "Content-Length"}


def test_a_host_that_is_not_listed_is_not_even_looked_up(allow, names):
    allow("api.example.org")
    names["evil.example"] = []
    with pytest.raises(outbound.HostNotAllowed):
        get("https://evil.example/")


def test_a_listed_name_on_a_private_address_is_refused(peers, allow, names):
    peer = peers(lambda asked: Reply())
    allow(f"http://api.example.org:{peer.port}", networks=())
    names["api.example.org"] = [["127.0.0.1"]]
    with pytest.raises(outbound.AddressRefused, match=r"leads to 127\.0\.0\.1, which is not on the public internet"):
        get(f"http://api.example.org:{peer.port}/")
    assert peer.asked == []


def test_one_private_address_among_public_ones_is_enough_to_refuse(allow, names):
    allow("http://api.example.org")
    names["api.example.org"] = [["127.0.0.1", "10.0.0.5"]]
    with pytest.raises(outbound.AddressRefused, match=r"10\.0\.0\.5"):
        get("http://api.example.org/")


def test_a_name_is_looked_up_once_and_the_checked_address_is_the_one_that_is_called(peers, allow, names):
    peer = peers(lambda asked: Reply(body=b"first"))
    allow(f"http://api.example.org:{peer.port}")
    # Whoever asks a second time is led to where nobody listens.
    names["api.example.org"] = [["127.0.0.1"], ["127.0.0.9"]]
    assert get(f"http://api.example.org:{peer.port}/").body == b"first"
    assert names["api.example.org"] == [["127.0.0.9"]]
    assert peer.asked[0].headers["Host"] == f"api.example.org:{peer.port}"


def test_the_next_address_is_tried_where_the_first_is_away(peers, allow, names):
    peer = peers(lambda asked: Reply(body=b"second"))
    allow(f"http://api.example.org:{peer.port}")
    names["api.example.org"] = [["127.0.0.9", "127.0.0.1"]]
    assert get(f"http://api.example.org:{peer.port}/").body == b"second"


def test_encryption_verifies_the_name_that_was_asked_for(peers, allow, names, tmp_path):
    tls, trusted = certificate(tmp_path, "api.example.org")
    peer = peers(lambda asked: Reply(body=b"safe"), tls=tls, name="api.example.org")
    allow(f"api.example.org:{peer.port}", f"other.example.org:{peer.port}", http_ca_file=trusted)
    names["api.example.org"] = names["other.example.org"] = [["127.0.0.1"]]
    assert get(f"{peer.url}/").body == b"safe"
    with pytest.raises(outbound.NotReached, match="certificate cannot be trusted: Hostname mismatch"):
        get(f"https://other.example.org:{peer.port}/")
    assert len(peer.asked) == 1


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(peers, allow, names, tmp_path):
    tls, _ = certificate(tmp_path, "api.example.org")
    peer = peers(lambda asked: Reply(), tls=tls, name="api.example.org")
    allow(f"api.example.org:{peer.port}")
    names["api.example.org"] = [["127.0.0.1"]]
    with pytest.raises(outbound.NotReached, match="certificate cannot be trusted: self-signed"):
        get(f"{peer.url}/")
    assert peer.asked == []


def test_redirects_are_answers_and_cookies_are_forgotten(peers, allow):
    reply = Reply(302, b"", {"Location": "http://127.0.0.1:1/", "Set-Cookie": "a=b"})
    peer = peers(lambda asked: reply)
    allow(peer.url)
    assert [get(peer.url).status for _ in range(2)] == [302, 302]
    assert all("Cookie" not in asked.headers for asked in peer.asked)


def test_proxies_and_netrc_of_the_environment_are_not_used(peers, allow, monkeypatch, tmp_path):
    peer = peers(lambda asked: Reply())
    allow(peer.url)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b")
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setitem(os.environ, name, "http://127.0.0.1:1/")
    monkeypatch.setitem(os.environ, "NETRC", str(tmp_path / "netrc"))
    assert get(peer.url).status == 200
    assert "Authorization" not in peer.asked[0].headers


def test_a_longer_body_is_cut_and_said_to_be(peers, allow):
    peer = peers(lambda asked: Reply(body=b"x" * 5_000_000))
    allow(peer.url)
    answer = get(peer.url)
    assert (answer.body, answer.whole) == (b"x" * 1_000, False)
    assert get(peer.url, most_bytes=5_000_000).whole


def test_a_packed_body_is_not_unpacked(peers, allow):
    bomb = gzip.compress(b"\0" * 20_000_000)
    peer = peers(lambda asked: Reply(body=bomb, headers={"Content-Encoding": "gzip"}))
    allow(peer.url)
    answer = get(peer.url, most_bytes=len(bomb))
    assert (answer.body, answer.is_packed) == (bomb, True)


def endless(piece, gap=0.0):
    def script(connection):
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" if piece.startswith(b"1\r\n") else HEAD)
        while True:
            connection.sendall(piece)
            time.sleep(gap)  # the other side's own slowness

    return script


def test_an_endless_body_ends_at_its_limit(peers, allow):
    peer = peers(endless(b"1\r\nx\r\n" * 100), raw=True)
    allow(peer.url)
    assert get(peer.url).body == b"x" * 1_000


@pytest.mark.parametrize("piece", [b"X-More: " + b"y" * 500 + b"\r\n", b"z" * 500])
def test_endless_headers_end_at_their_limit(peers, allow, piece):
    peer = peers(endless(piece), raw=True)
    allow(peer.url)
    with pytest.raises(outbound.AnswerTooLarge, match="larger than can be read"):
        get(peer.url, seconds=20)


def test_endless_interim_answers_end_at_the_headers_limit(peers, allow):
    def script(connection):
        while True:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    peer = peers(script, raw=True)
    allow(peer.url)
    with pytest.raises(outbound.AnswerTooLarge):
        get(peer.url, seconds=20)


def test_chunks_that_are_mostly_framing_are_too_large(peers, allow):
    def script(connection):
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"1;" + b"e" * 4_000 + b"\r\nx\r\n")

    peer = peers(script, raw=True)
    allow(peer.url)
    with pytest.raises(outbound.AnswerTooLarge):
        get(peer.url, seconds=20)


@pytest.mark.parametrize("piece", [b"X", b"1\r\nx\r\n"])
def test_a_dripping_answer_ends_with_the_time_for_all_of_it(peers, allow, piece):
    peer = peers(endless(piece, gap=0.05), raw=True)
    allow(peer.url)
    began = time.monotonic()
    with pytest.raises(outbound.AnswerTooLate, match=r"within 0\.5 s"):
        get(peer.url, seconds=0.5)
    assert time.monotonic() - began < 3


def test_an_answer_that_is_cut_is_lost(peers, allow):
    peer = peers(lambda asked: Reply(cut=True))
    allow(peer.url)
    with pytest.raises(outbound.AnswerLost, match="no whole answer came back"):
        get(peer.url)

    def half(connection):
        connection.sendall(HEAD + b"Content-Length: 100\r\n\r\nonly this")

    peer = peers(half, raw=True)
    allow(peer.url)
    with pytest.raises(outbound.AnswerLost):
        get(peer.url)


def test_what_is_not_http_is_not_repeated_in_the_error(peers, allow):
    peer = peers(lambda connection: connection.sendall(b"hush-hush is what it says\r\n\r\n"), raw=True)
    allow(peer.url)
    with pytest.raises(outbound.AnswerLost) as caught:
        get(peer.url)
    assert "hush" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_nothing_was_sent_where_nobody_listens(allow):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    allow(url)
    with pytest.raises(outbound.NotReached, match="nothing was sent"):
        get(url)


def test_a_name_that_does_not_exist_is_not_reached(allow, names):
    allow("nowhere.example.org")
    names["nowhere.example.org"] = [[]]
    with pytest.raises(outbound.NotReached, match="its name is not known"):
        get("https://nowhere.example.org/")


def test_a_resolver_that_does_not_answer_does_not_hold_a_call(allow, monkeypatch):
    allow("slow.example.org")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: time.sleep(3) or [])
    with pytest.raises(outbound.NotReached, match="not reached in time"):
        get("https://slow.example.org/", seconds=0.3)


def test_a_server_that_accepts_and_keeps_silent_in_the_handshake_was_sent_nothing(allow):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        allow(url)
        with pytest.raises(outbound.NotReached, match="not reached in time"):
            get(url, seconds=0.3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", "a\r\nY: b"),
        ("X", "a\nb"),
        ("X", "a\0"),
        ("X", "ä"),
        ("X", " leading"),
        ("X\r\nY", "b"),
        ("X Y", "b"),
        ("", "b"),
        ("Host", "evil.example"),
        ("content-length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("Proxy-Authorization", "hush"),
        ("X", "a" * 9_000),
    ],
)
def test_a_header_that_could_change_the_message_is_not_sent_nor_repeated(allow, name, value):
    allow("http://127.0.0.1:1")
    with pytest.raises(outbound.NotSendable) as caught:
        get("http://127.0.0.1:1", headers=[(name, value)])
    assert value not in str(caught.value)


def test_another_method_is_not_sent(allow):
    allow("http://127.0.0.1:1")
    with pytest.raises(outbound.NotSendable):
        ask("CONNECT", "http://127.0.0.1:1", timeout_seconds=1, most_bytes=1)


def test_the_log_of_each_step_is_silent_while_a_request_is_made(peers, allow, caplog):
    peer = peers(lambda asked: Reply(headers={"X-Echo": "hush-hush"}))
    allow(peer.url)
    with caplog.at_level(logging.DEBUG):
        get(f"{peer.url}/hush-hush", headers=[("Authorization", "hush-hush")])
        logging.getLogger("httpcore.http11").debug("of somebody else")
    assert [record.getMessage() for record in caplog.records if record.name.startswith("httpcore")] == [
        "of somebody else"
    ]
    assert "hush" not in caplog.text


def test_connections_are_used_again(peers, allow, monkeypatch):
    made, real = [], socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda *args, **more: made.append(args) or real(*args, **more))
    peer = peers(lambda asked: Reply())
    allow(peer.url)
    for _ in range(6):
        get(peer.url)
    assert len(peer.asked) == 6
    # All in one, unless the machine is so busy that a connection grows too old between two of them.
    assert 1 <= len(made) < 6
