"""Fingerprints: failures of the same cause are alike, others are not, and making one never fails nor takes long."""

from __future__ import annotations

import re

import pytest

from bulkops import fingerprints

SAME = [
    ("price must be positive", ["price must be positive", "price must be positive"]),
    ("Ticket … not found", ["Ticket 17 not found", "Ticket 18,204 not found", "Ticket A-17b not found"]),
    ("invalid literal for int() with base …", ["invalid literal for int() with base 10: 'abc'"]),
    (
        "can't find user's … in the list",
        ["can't find user's 'x y' in the list", "can't find user's 'it's' in the list"],
    ),
    ("no column … here", ['no column "a" here', "no column “b” here", "no column `c` here", "no column «d» here"]),
    (
        "duplicate key value violates unique constraint … DETAIL: Key (code)=… already exists.",
        [
            'duplicate key value violates unique constraint "a_key"\nDETAIL:  Key (code)=(x-y) already exists.',
            'duplicate key value violates unique constraint "a_key"\nDETAIL:  Key (code)=() already exists.',
        ],
    ),
    ("Failing row contains …", ["Failing row contains (1, null, foo (x)).", "Failing row contains (2, a, b)."]),
    (
        "order … is closed since …",
        [
            "order 3f2504e0-4f89-11d3-9a0c-0305e82c3301 is closed since 2024-01-31T10:00:00+02:00",
            "order deadbeef-4f89-11d3-9a0c-0305e82c3301 is closed since 2024-01-31 10:00:00.123",
        ],
    ),
    ("GET … said …", ["GET https://example.org/a/1?x=y said 404", "GET http://localhost:80 said 500"]),
    ("no mailbox …", ["no mailbox a.b@example.org", "no mailbox 'x'"]),
    ("connect to … failed", ["connect to 10.0.0.1:8080 failed", "connect to 2001:db8::1 failed"]),
    ("<Ticket: Ticket object (…)> at …", ["<Ticket: Ticket object (17)> at 0x7f00dead"]),
    ("rows […] are bad", ["rows [1, 2, 3] are bad", "rows [4] are bad"]),
    ("No such file: …", ["No such file: /tmp/x/1.pdf", "No such file: '/y'"]),
    ("costs … €, … %", ["costs -5.00 €, 17 %", "costs 1,000.50 €, 1 %"]),
    ("… items", ["٣ items", "3 items"]),
    ("status=…;reason=x", ["status=404;reason=x"]),
]


@pytest.mark.parametrize(("words", "messages"), SAME, ids=[words for words, _ in SAME])
def test_messages_that_differ_in_what_varies_are_alike(words: str, messages: list[str]):
    found = {fingerprints.of("ValueError", message) for message in messages}
    assert {one.words for one in found} == {words}
    assert len({one.fingerprint for one in found}) == 1


@pytest.mark.parametrize(
    "message", ["a well-known error: not found", "application/json and/or x", "Its e-mail is bad.", "the users' files"]
)
def test_words_that_do_not_vary_stay(message: str):
    assert fingerprints.of("E", message).words == message


def test_other_words_or_another_code_are_another_group():
    told = [("A", "no price"), ("B", "no price"), ("A", "no ticket"), ("A", ""), ("", "A")]
    assert len({fingerprints.of(*one).fingerprint for one in told}) == len(told)


def test_the_class_of_an_error_is_not_said_twice():
    assert fingerprints.of("ValueError", "ValueError: not this one").words == "not this one"
    assert fingerprints.of("ValueError", "ValueError").words == "ValueError"
    assert fingerprints.of("KeyError", "").words == "KeyError"


def test_a_fingerprint_looks_like_one():
    for one in (fingerprints.of("A", "no price"), fingerprints.OTHER, fingerprints.UNKNOWN):
        assert re.fullmatch(fingerprints.PATTERN, one.fingerprint)
        assert len(one.fingerprint) <= fingerprints.LENGTH


def test_long_messages_are_told_by_their_beginning():
    one, other = ("no price " * 100 + end for end in ("for this", "for that"))
    assert fingerprints.of("A", one) == fingerprints.of("A", other)
    assert len(fingerprints.of("A", one).words) == fingerprints.WORDS


def test_what_has_no_fingerprint_is_in_a_group_all_the_same():
    assert fingerprints.of("A", None) == fingerprints.UNKNOWN  # type: ignore[arg-type]


UGLY = ["'", "a-", "'a", "1-", "a@", "/", "(", "a.", "=(", '"x', "://", "é", "a1", "-", "contains (", "x'y ", "\ud800"]


@pytest.mark.parametrize("part", UGLY)
def test_no_message_makes_the_patterns_run_away(part: str):
    """One that did would not end."""
    assert fingerprints.of("A", part * 2_000) != fingerprints.UNKNOWN
