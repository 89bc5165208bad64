"""The parameters of a call: checked to the last brace when they are given, and compiled for the worker."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from bulkops.conf import conf
from bulkops.contrib.http_calls import answers, calls
from bulkops.contrib.http_calls.templates import AddressTemplate, BodyTemplate
from bulkops.exceptions import BulkopsError
from bulkops.outbound.asking import METHODS, check_address
from bulkops.outbound.places import LONGEST_ADDRESS

LONGEST_TEMPLATE = 32_768
LONGEST_WAIT_SECONDS = 50.0
"""For one answer; below the item's own time limit."""


class JSONText(forms.CharField):
    """A text that programs may also give as the JSON value it stands for."""

    widget = forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "autocomplete": "off"})

    def to_python(self, value: Any) -> str:
        """The text."""
        return super().to_python(json.dumps(value) if isinstance(value, dict | list) else value) or ""


class CallForm(forms.Form):
    """Gives `call`, a compiled calls.Call, `expected`, `keep`, `pointer` and `timeout_seconds`."""

    method = forms.ChoiceField(choices=[(method, method) for method in METHODS], initial="POST")
    url = forms.CharField(
        label="Address",
        max_length=LONGEST_ADDRESS,
        help_text="Such as https://api.example.org/orders/{order}/refunds?reason={reason}: {column} is the row's value."
        " The host is written out.",
    )
    headers = JSONText(
        required=False,
        max_length=LONGEST_TEMPLATE,
        help_text="Optional. Lines such as “Authorization: Bearer {secret:shop}”, or a JSON object. {basic:shop} is a"
        " secret “user:password” for Basic authentication.",
    )
    body = JSONText(
        required=False,
        max_length=LONGEST_TEMPLATE,
        help_text='Optional. JSON, such as {"order": "{order}", "amount": "{amount:number}"}. Literal braces within a'
        " text are doubled.",
    )
    expected = forms.CharField(
        label="Expected status", max_length=200, initial="200-299", help_text="Such as 200-299 or 200, 204, 404."
    )
    timeout_seconds = forms.FloatField(
        label="Time limit",
        min_value=0.1,
        max_value=LONGEST_WAIT_SECONDS,
        initial=15,
        help_text="Seconds for all of it.",
    )
    keep = forms.ChoiceField(
        label="Keep of the answer",
        choices=[
            (answers.STATUS, "its status"),
            (answers.NOTHING, "nothing"),
            (answers.POINTER, "status and one JSON value"),
            (answers.BEGINNING, f"status and the first {answers.KEPT_CHARS:,} characters"),
        ],
        initial=answers.STATUS,
    )
    pointer = forms.CharField(
        label="Which JSON value",
        required=False,
        max_length=500,
        help_text="A JSON pointer such as /id or /data/0/reference; empty: the whole answer.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["url"].help_text += f" This site calls: {', '.join(conf().http_hosts) or 'no host yet'}."
        if known := sorted(conf().http_secrets or {}):
            self.fields["headers"].help_text += f" Secrets of this site: {', '.join(known)}."

    def clean_url(self) -> AddressTemplate:
        """The compiled template of an address on the list."""
        with _in_words():
            template = AddressTemplate(self.cleaned_data["url"])
            check_address(str(template.place))
            return template
        raise AssertionError("unreachable")

    def clean_headers(self) -> calls.Headers:
        """The compiled headers."""
        with _in_words():
            return calls.read_headers(self.cleaned_data["headers"])
        raise AssertionError("unreachable")

    def clean_body(self) -> BodyTemplate | None:
        """The compiled body."""
        with _in_words():
            return BodyTemplate(self.cleaned_data["body"]) if self.cleaned_data["body"] else None
        raise AssertionError("unreachable")

    def clean_expected(self) -> answers.Expected:
        """As ranges."""
        expected = answers.read_expected(self.cleaned_data["expected"])
        if expected is None:
            raise ValidationError("Statuses are written like 200-299 or 200, 204, 404.")
        return expected

    def clean_pointer(self) -> str:
        """Empty, or begun with a slash."""
        pointer = self.cleaned_data["pointer"]
        if pointer and not pointer.startswith("/"):
            raise ValidationError("A JSON pointer begins with a slash, such as /id.")
        return pointer

    def clean(self) -> dict[str, Any]:
        """What belongs together: method and body, host and secrets."""
        given = super().clean() or self.cleaned_data
        if given.get("body") is not None and given.get("method") in calls.SAFE_METHODS:
            self.add_error("body", f"{given['method']} has no body.")
        if not self.errors:
            given["call"] = calls.Call(given["method"], given["url"], given["headers"], given["body"])
            try:
                given["call"].check_secrets()
            except BulkopsError as error:
                raise ValidationError(error.message) from None
        return given


class _in_words:  # noqa: N801 - reads as a statement
    """Turns what a template complains of into the field's error."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, BulkopsError):
            raise ValidationError(error.message) from None
