"""What comes back is kept without any secret, however it is spelled and wherever it is cut."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest

from bulkops.contrib.http_calls.redaction import STRUCK, Redactor
from tests.contrib.http_calls.conftest import SECRET

SPELLINGS = {
    "plain": str,
    "upper": str.upper,
    "percent": lambda text: quote(text, safe=""),
    "percent in lower case": lambda text: quote(text, safe="").lower(),
    "percent, slashes kept": quote,
    "percent twice": lambda text: quote(quote(text, safe=""), safe=""),
    "form": quote_plus,
    "html": html.escape,
    "json": lambda text: json.dumps(text)[1:-1],
    "json in json": lambda text: json.dumps(json.dumps(text))[3:-3],
    "go's json": lambda text: _escaped(json.dumps(text, ensure_ascii=False)[1:-1], "<>&"),
    "gson's json": lambda text: _escaped(json.dumps(text, ensure_ascii=False)[1:-1], "<>&='"),
    "go's html": lambda text: html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    "php's html": lambda text: html.escape(text).replace("&#x27;", "&#039;"),
    "php's json": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "hex": lambda text: text.encode().hex(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for addresses": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 behind one letter": lambda text: base64.b64encode(b"u" + text.encode()).decode(),
    "base64 behind two": lambda text: base64.b64encode(b"u:" + text.encode() + b"!").decode(),
    "backwards": lambda text: text[::-1],
}


def _escaped(text, characters):
    return "".join(f"\\u{ord(one):04x}" if one in characters else one for one in text)


def pieces(text, length=8):
    return {text[at : at + length] for at in range(len(text) - length + 1)}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("secret", [SECRET, 'quo"te\\d & <söcret>', "a<b>c&d=e'f\"g&h<i", "a'b'c'd'e'f"])
def test_each_spelling_is_struck(spelling, secret):
    spelled = SPELLINGS[spelling](secret)
    kept = Redactor([secret]).text(f"before {spelled} after")
    assert kept.startswith("before ")
    assert kept.endswith(" after")
    assert STRUCK in kept
    assert not pieces(spelled) & pieces(kept)


@pytest.mark.parametrize("length", range(8, len(SECRET)))
def test_a_part_of_it_is_struck_at_either_end(length):
    redactor = Redactor([SECRET])
    assert redactor.text(f"invalid token {SECRET[:length]}…") == f"invalid token {STRUCK}…"
    assert redactor.text(f"…{SECRET[-length:]}.") == f"…{STRUCK}."


@pytest.mark.parametrize("most", range(1, 60))
def test_cutting_the_text_never_leaves_a_beginning(most):
    text = f"The token {SECRET} and {SECRET} are wrong."
    kept = Redactor([SECRET]).text(text, most=most)
    assert kept == Redactor([SECRET]).text(text)[: len(kept)] or kept.rstrip("•") == text[:10]
    assert "sk_" not in kept


@pytest.mark.parametrize("length", range(1, 8))
def test_a_body_that_was_not_read_to_its_end_keeps_no_beginning(length):
    assert Redactor([SECRET]).text(f"token: {SECRET[:length]}", whole=False) == f"token: {STRUCK}"
    assert Redactor([SECRET]).text(f"token: {SECRET[:length]}") == f"token: {SECRET[:length]}"


def test_json_is_struck_in_names_texts_and_numbers():
    redactor = Redactor([SECRET, "1234567890"])
    value = {SECRET: [f"a{SECRET}b", 1234567890, 7, True, None], "ok": {"n": 12345678901.5}}
    assert redactor.json(value) == {STRUCK: [f"a{STRUCK}b", STRUCK, 7, True, None], "ok": {"n": STRUCK}}


def test_without_secrets_nothing_is_struck():
    assert Redactor([]).text("as it is", whole=False) == "as it is"
