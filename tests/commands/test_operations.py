"""`manage.py operations`: what can be run, and with what."""

from __future__ import annotations

import json

import pytest
from django import forms

from bulkops import Operation, fields, register, registry


@pytest.fixture
def many_fields():
    """An operation with a parameter of each kind."""

    class ManyFields(Operation):
        """Do much.

        This paragraph is for authors.
        """

        name = "many-fields"
        permission = "sample.change_account"
        secret = ("token",)

        class Params(forms.Form):
            cents = forms.IntegerField(initial=5, help_text="By how much.")
            share = forms.DecimalField()
            dry = forms.BooleanField(required=False)
            on = forms.DateField(required=False)
            kind = forms.ChoiceField(choices=[("", "---"), ("a", "A"), ("group", [("b", "B")])])
            kinds = forms.MultipleChoiceField(choices=[("a", "A")], required=False)
            token = forms.CharField(initial="hush")

        class Item(forms.Form):
            number = forms.IntegerField()

        def process(self, item, params, context): ...

    register(ManyFields)
    yield ManyFields
    registry.unregister("many-fields")


def test_json_names_parameters_and_item_fields_with_their_types(run, many_fields):
    listed = {one["name"]: one for one in json.loads(run("operations", "--json").out)}
    one = listed["many-fields"]
    assert one["description"] == "Do much."
    assert one["permission"] == "sample.change_account"
    assert one["collects"] is False
    assert {field["name"]: field["type"] for field in one["params"]} == {
        "cents": "integer",
        "share": "decimal",
        "dry": "boolean",
        "on": "date",
        "kind": "choice",
        "kinds": "several choices",
        "token": "text",
    }
    assert one["params"][0] == {
        "name": "cents",
        "type": "integer",
        "required": True,
        "default": 5,
        "help": "By how much.",
    }
    assert one["params"][4]["choices"] == ["a", "b"]
    assert [field["name"] for field in one["item_fields"]] == ["number"]


def test_words_say_what_is_needed(run, many_fields):
    said = run("operations").out
    assert "many-fields\n  Do much.\n  needs items\n  permission: sample.change_account\n" in said
    assert "  parameter cents (integer, default 5): By how much.\n" in said
    assert "  parameter share (decimal, required)\n" in said
    assert "  parameter kind (choice, required, one of a, b)\n" in said
    assert "  item field number (integer, required)" in said
    assert "collects its own items, or takes given ones" in said


def test_an_operation_that_takes_files_says_so(run):
    assert "process-files" in {one["name"] for one in json.loads(run("operations", "--json").out) if one["takes_files"]}
    assert "  needs files as its items: --files" in run("operations").out


def test_a_secrets_default_is_not_shown(run, many_fields):
    assert "hush" not in run("operations").out
    assert "hush" not in run("operations", "--json").out


def test_a_long_list_of_choices_is_cut():
    class Long(forms.Form):
        number = forms.ChoiceField(choices=[(str(n), str(n)) for n in range(1000)])

    assert len(fields.described(Long)[0]["choices"]) == fields.CHOICES_SHOWN


def test_no_operation_is_said_beside_the_answer(run, monkeypatch):
    monkeypatch.setattr(registry, "every", list)
    assert "no operations" in run("operations").complaint
    assert json.loads(run("operations", "--json").out) == []
