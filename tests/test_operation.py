"""What an author declares is checked at once, and what users give is cleaned the same everywhere."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from typing import Any, ClassVar

import pytest
from django import forms
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError
from django.test import override_settings
from django.utils import translation

from bulkops.exceptions import InvalidItems, InvalidParams, ItemSkipped
from bulkops.operation import Context, Operation, storable_params


class Fine(Operation):
    """Do the thing
    to each item.

    And a second paragraph.
    """

    name = "do-the-thing"

    def process(self, item: Any, params: dict[str, Any], context: Context) -> Any: ...


class Asking(Fine):
    class Params(forms.Form):
        cents = forms.IntegerField(min_value=1)
        note = forms.CharField(required=False)
        when = forms.DateField(required=False)
        extra = forms.JSONField(required=False)


class Listing(Fine):
    class Item(forms.Form):
        code = forms.CharField(max_length=5)
        when = forms.DateField()
        note = forms.CharField(required=False)

        def clean(self) -> None:
            if self.cleaned_data.get("note") == "bad":
                raise forms.ValidationError("These do not go together.")


# -- what people and workers read of a class


def test_people_read_a_title_and_the_first_paragraph() -> None:
    assert (Fine().title, Fine().description) == ("Do the thing", "Do the thing to each item.")


def test_without_a_docstring_the_description_is_empty() -> None:
    assert type("Bare", (Operation,), {})().description == ""


def test_only_an_operation_with_items_of_its_own_collects() -> None:
    class Collecting(Fine):
        def items(self, params: dict[str, Any]) -> Any:
            yield 1

    assert Collecting().collects
    assert not Fine().collects


# -- parameters


def test_parameters_are_cleaned() -> None:
    cleaned = Asking().clean_params({"cents": "5", "when": "2026-01-02"})
    assert cleaned == {"cents": 5, "note": "", "when": dt.date(2026, 1, 2), "extra": None}


@pytest.mark.parametrize("operation", [Fine, Asking])
def test_an_unknown_parameter_is_refused_by_name(operation: type[Operation]) -> None:
    with pytest.raises(InvalidParams) as refusal:
        operation().clean_params({"cents": 5, "cent": 1})
    assert "cent" in refusal.value.errors
    assert "no such parameter" in refusal.value.message


def test_without_a_form_there_are_no_parameters() -> None:
    assert Fine().clean_params({}) == {}


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, "cents"),
        ({"cents": 0}, "cents"),
        ({"cents": [1]}, "cents"),
        ({"cents": {"a": 1}}, "cents"),
        ({"cents": True}, "cents"),
        ({"cents": 1, "note": "a\x00b"}, "note"),
        ({"cents": 1, "when": 7}, "__all__"),
        ({"cents": 1, "when": ["2026-01-01"]}, "__all__"),
    ],
    ids=range(8),
)
def test_a_bad_parameter_is_refused_by_name(data: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidParams) as refusal:
        Asking().clean_params(data)
    assert list(refusal.value.errors) == [field]


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("a\x00b", "NUL"),
        ({"\x00": 1}, "NUL"),
        ("\ud800", "cannot be stored as JSON"),
        ([float("nan")], "cannot be stored as JSON"),
        ([{1}], "cannot be stored as JSON"),
    ],
    ids=range(5),
)
def test_a_parameter_that_cannot_be_stored_is_refused_by_name(extra: Any, words: str) -> None:
    class Anything(Fine):
        class Params(forms.Form):
            extra = forms.Field()

    with pytest.raises(InvalidParams) as refusal:
        storable_params(Anything(), {"extra": extra})
    assert words in refusal.value.errors["extra"][0]


def test_a_file_is_no_parameter() -> None:
    class Anything(Fine):
        class Params(forms.Form):
            extra = forms.Field()

    with pytest.raises(InvalidParams, match="A file cannot be a parameter"):
        storable_params(Anything(), {"extra": SimpleUploadedFile("a.csv", b"x")})


def test_parameters_are_stored_as_they_were_given() -> None:
    given = {"cents": "5", "extra": {"a": [1, "\\u0000"]}}
    assert storable_params(Asking(), given) == given


def test_what_a_program_leaves_out_has_the_fields_initial_value() -> None:
    class Defaulted(Fine):
        class Params(forms.Form):
            cents = forms.IntegerField(initial=7)
            day = forms.DateField(initial=dt.date(2026, 1, 2))
            share = forms.DecimalField(initial=lambda: decimal.Decimal("0.50"))
            note = forms.CharField(required=False)

    filled = Defaulted().with_defaults({"note": "x"})
    assert filled == {"cents": 7, "day": "2026-01-02", "share": "0.50", "note": "x"}
    stored = storable_params(Defaulted(), filled)
    assert Defaulted().clean_params(stored)["day"] == dt.date(2026, 1, 2)
    assert Defaulted().with_defaults({"cents": 0})["cents"] == 0
    assert Fine().with_defaults({"a": 1}) == {"a": 1}


def test_secret_parameters_are_shown_to_nobody() -> None:
    class Keeping(Asking):
        secret: ClassVar[tuple[str, ...]] = ("note",)

    assert Keeping().shown_params({"cents": 5, "note": "token"}) == {"cents": 5, "note": "•••"}
    assert Keeping().shown_params({"cents": 5}) == {"cents": 5}


def test_parameters_are_shown_in_the_forms_order_and_what_it_lacks_last() -> None:
    class Ordered(Fine):
        class Params(forms.Form):
            second = forms.IntegerField()
            first = forms.IntegerField()

    shown = Ordered().shown_params({"gone": 0, "first": 1, "second": 2})
    assert list(shown) == ["second", "first", "gone"]
    assert list(Fine().shown_params({"b": 1, "a": 2})) == ["b", "a"]


# -- items


def test_without_a_form_an_item_is_passed_on_as_it_is() -> None:
    item = {"any": ["thing"]}
    assert Fine().clean_item(item) is item
    assert Fine().item_fields() == []


def test_with_a_form_an_item_is_cleaned_and_keeps_only_its_fields() -> None:
    cleaned = Listing().clean_item({"code": " a ", "when": "2026-01-02", "other": "x"})
    assert cleaned == {"code": "a", "when": dt.date(2026, 1, 2), "note": ""}


def test_the_columns_an_item_needs_are_the_required_fields() -> None:
    assert Listing().item_fields() == ["code", "when"]


@pytest.mark.parametrize(
    ("item", "errors"),
    [
        ({}, [("code", "This field is required."), ("when", "This field is required.")]),
        ({"code": "abcdef", "when": "2026-01-02"}, [("code", "at most 5 characters")]),
        ({"code": "a\x00", "when": "2026-01-02"}, [("code", "Null characters")]),
        ({"code": "a", "when": "soon"}, [("when", "Enter a valid date.")]),
        ({"code": "a", "when": "2026-01-02", "note": "bad"}, [(None, "These do not go together.")]),
        ({"code": "a", "when": 20260102}, [(None, "could not be checked (AttributeError)")]),
        ("a", [(None, "not an object with named fields")]),
        (["a"], [(None, "not an object with named fields")]),
        (None, [(None, "not an object with named fields")]),
    ],
    ids=range(9),
)
def test_a_bad_item_is_refused_field_by_field(item: Any, errors: list[tuple[str | None, str]]) -> None:
    with pytest.raises(InvalidItems) as refusal:
        Listing().clean_item(item)
    assert [(position, field) for position, field, _ in refusal.value.errors] == [(None, field) for field, _ in errors]
    for (_, _, text), (_, words) in zip(refusal.value.errors, errors, strict=True):
        assert words in text
        assert words in refusal.value.message or not isinstance(item, dict)


def test_a_database_that_is_away_is_not_the_items_fault() -> None:
    class Asks(Fine):
        class Item(forms.Form):
            code = forms.CharField()

            def clean_code(self) -> None:
                raise OperationalError("server closed the connection")

    with pytest.raises(OperationalError):
        Asks().clean_item({"code": "a"})


@pytest.mark.parametrize("language", [None, "en", "de"])
def test_values_are_read_in_the_sites_language_as_workers_do_whoever_sends_them(language: str | None) -> None:
    with override_settings(LANGUAGE_CODE="de"), translation.override(language):
        for text in ("2026-01-02", "02.01.2026"):
            assert Listing().clean_item({"code": "a", "when": text})["when"] == dt.date(2026, 1, 2)
            assert storable_params(Asking(), {"cents": 1, "when": text}) == {"cents": 1, "when": text}
        with pytest.raises(InvalidItems):
            Listing().clean_item({"code": "a", "when": "01/02/2026"})


@pytest.mark.parametrize(("language", "words"), [(None, "Enter a valid date."), ("de", "gültiges Datum")])
def test_what_is_wrong_with_them_is_said_in_the_readers_language(language: str | None, words: str) -> None:
    with translation.override(language), pytest.raises(InvalidItems, match=words):
        Listing().clean_item({"code": "a", "when": "soon"})


class Dated(Fine):
    class Params(forms.Form):
        day = forms.DateField()
        moment = forms.DateTimeField()
        month = forms.DateField(input_formats=["%m/%Y"])
        days = forms.SplitDateTimeField()
        share = forms.DecimalField()


def test_a_date_that_somebody_typed_in_another_language_is_the_same_for_the_worker() -> None:
    typed = {"day": "03.04.2026", "moment": "03.04.2026 12:30", "month": "04/2026", "share": "1.50"}
    with translation.override("de"):
        form = Dated.Params(data={**typed, "days_0": "2026-04-03", "days_1": "12:30"})
        assert form.is_valid(), form.errors
        given = Dated().as_given(form)
    assert given == {
        "day": "2026-04-03",
        "moment": "2026-04-03T12:30:00+00:00",
        "month": "04/2026",
        "days": ["2026-04-03", "12:30"],
        "share": "1.50",
    }
    assert Dated.Params().fields["moment"].clean(given["moment"]) == form.cleaned_data["moment"]


# -- the context


def test_the_key_is_that_of_the_first_ancestor() -> None:
    root = uuid.UUID(int=7)
    said: list[str] = []
    context = Context(
        job_id=uuid.uuid4(),
        position=3,
        attempt=2,
        root_job_id=root,
        root_position=12,
        say=said.append,
        stop_asked=lambda: True,
    )
    assert context.key == f"{root}:12"
    assert (context.position, context.attempt, context.should_stop()) == (3, 2, True)
    context.message("halfway")
    assert said == ["halfway"]
    with pytest.raises(ItemSkipped, match="not today"):
        context.skip("not today")
