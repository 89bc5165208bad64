"""What is wrong with a declaration is told at once, in words that name the class and say what to change."""

from __future__ import annotations

from typing import Any

import pytest
from django import forms

from bulkops import declaration
from bulkops.exceptions import OperationMisdeclared
from bulkops.operation import Operation


class Fine(Operation):
    """Do the thing to each item."""

    name = "do-the-thing"

    def process(self, item: Any, params: dict[str, Any], context: Any) -> Any: ...


class Asking(Fine):
    class Params(forms.Form):
        cents = forms.IntegerField(min_value=1)
        note = forms.CharField(required=False)


class Collecting(Fine):
    class Item(forms.Form):
        code = forms.CharField()

    def items(self, params: dict[str, Any]) -> Any:
        yield {"code": "a"}


@pytest.mark.parametrize("operation", [Fine, Asking, Collecting])
def test_a_right_declaration_is_fine(operation: type[Operation]) -> None:
    declaration.check(operation())
    assert declaration.slips(operation()) == {}


class FileForm(forms.Form):
    upload = forms.FileField()


class ImageForm(forms.Form):
    picture = forms.ImageField()


async def async_process(self: Any, item: Any, params: Any, context: Any) -> None: ...


def generator_process(self: Any, item: Any, params: Any, context: Any) -> Any:
    yield


async def async_items(self: Any, params: Any) -> Any:
    yield


MISDECLARED = [
    ({"name": ""}, "`name` must be lower-case words"),
    ({"name": None}, "`name` must be lower-case words"),
    ({"name": 7}, "`name` must be lower-case words"),
    ({"name": "Do It"}, "`name` must be lower-case words"),
    ({"name": "do_it"}, "`name` must be lower-case words"),
    ({"name": "do--it"}, "`name` must be lower-case words"),
    ({"name": "do-it\n"}, "`name` must be lower-case words"),
    ({"name": "x" * 101}, "`name` must be lower-case words"),
    ({"process": Operation.process}, "has no `process"),
    ({"process": lambda self, item: None}, "`process` must take (self, item, params, context)"),
    ({"process": async_process}, "`process` must not be async"),
    ({"process": generator_process}, "`process` must not yield"),
    ({"items": lambda self: []}, "`items` must take (self, params)"),
    ({"items": async_items}, "`items` must not be async"),
    ({"finish": lambda self, params: None}, "`finish` must take (self, params, summary)"),
    ({"Params": dict}, ".Params must be a django.forms.Form class"),
    ({"Params": forms.Form()}, ".Params must be a django.forms.Form class"),
    ({"Item": {"code": str}}, ".Item must be a django.forms.Form class"),
    ({"Item": forms.BaseForm}, ".Item must be a django.forms.Form class"),
    ({"Params": FileForm}, ".Params has a file field (upload); files are items"),
    ({"Item": ImageForm}, ".Item has a file field (picture); files are items"),
    ({"permission": "change_ticket"}, "`permission` must read “app.codename”"),
    ({"permission": "a.b.c"}, "`permission` must read “app.codename”"),
    ({"permission": "ticketing."}, "`permission` must read “app.codename”"),
    ({"permission": True}, "`permission` must read “app.codename”"),
    ({"parallelism": 0}, "`parallelism` must be a whole number from 1"),
    ({"parallelism": "2"}, "`parallelism` must be a whole number from 1"),
    ({"chunk_items": 0}, "`chunk_items` must be a whole number from 1, or None"),
    ({"chunk_items": True}, "`chunk_items` must be a whole number from 1, or None"),
    ({"takes_files": True, "Item": forms.Form}, "its items are files (`takes_files`), which have no `Item` form"),
    ({"takes_files": "yes"}, "`takes_files` must be True or False"),
    ({"parallelism": 40_000}, "`parallelism` must be a whole number from 1 to 32,767"),
    ({"max_attempts": 0}, "`max_attempts` must be a whole number from 1"),
    ({"retry_on": [OSError]}, "`retry_on` must be a tuple of exception classes"),
    ({"retry_on": ("OSError",)}, "`retry_on` must be a tuple of exception classes"),
    ({"queue": ""}, "`queue` must be a name"),
    ({"Params": Asking.Params, "secret": "note"}, "`secret` must be a tuple"),
    ({"Params": Asking.Params, "secret": ("nots",)}, "`secret` names nots, but Params has no such field"),
    ({"secret": ("note",)}, "`secret` names note, but Params has no such field"),
    ({"name": "Do It"}, 'Say name = "do-it".'),
    ({"name": ""}, 'Say name = "wrong".'),
    ({"process": "ticketing.process"}, "`process` must be a method"),
    ({"items": lambda self: []}, "and takes (self)"),
    ({"Params": forms.Form()}, "leave out the parentheses"),
    ({"Item": {"code": str}}, "write `class Item(forms.Form)`"),
    ({"retry_on": OSError}, "retry_on = (OSError,)"),
    ({"secret": "note"}, "such as ('note',)"),
    ({"Params": Asking.Params, "secret": ("nots",)}, "it has cents, note"),
    ({"transactional": "no"}, "`transactional` must be True or False, not 'no'"),
    ({"max_attempts": True}, "`max_attempts` must be a whole number"),
    ({"authorize": lambda self, user: None}, "`authorize` must take (self, user, params)"),
    ({"in_doubt": "ask"}, '`in_doubt` must be "repeat" or "hold", not \'ask\''),
    ({"durability": "fast"}, '`durability` must be "strict" or "relaxed", not \'fast\''),
    ({"in_doubt": "hold"}, "say `transactional = False` too"),
]


@pytest.mark.parametrize(("attributes", "words"), MISDECLARED, ids=range(len(MISDECLARED)))
def test_a_wrong_declaration_is_refused_in_words_that_name_the_class(attributes: dict[str, Any], words: str) -> None:
    operation = type("Wrong", (Fine,), attributes)()
    with pytest.raises(OperationMisdeclared) as refusal:
        declaration.check(operation)
    assert words in refusal.value.message
    assert refusal.value.message.startswith(f"{__name__}.Wrong")


def test_a_name_is_made_of_the_classs_own_where_there_is_none() -> None:
    with pytest.raises(OperationMisdeclared, match='Say name = "send-pdf-again"'):
        declaration.check(type("SendPDFAgain", (Fine,), {"name": ""})())


def test_a_misspelt_process_is_named() -> None:
    names = {"name": "misspelt", "proces": lambda self, item, params, context: None}
    with pytest.raises(OperationMisdeclared, match="but a `proces`"):
        declaration.check(type("Misspelt", (Operation,), names)())


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("max_attempt", "max_attempts"),
        ("Param", "Params"),
        ("params", "Params"),
        ("timeout", "item_timeout_seconds"),
        ("item_timeout_second", "item_timeout_seconds"),
        ("retries", "max_attempts"),
        ("paralelism", "parallelism"),
        ("Items", "items"),
        ("finished", "finish"),
        ("authorise", "authorize"),
        ("trans_actional", "transactional"),
    ],
)
def test_what_looks_like_a_misspelt_attribute_is_taken_for_one(name: str, meant: str) -> None:
    assert declaration.slips(type("Slipped", (Fine,), {name: 5})()) == {name: meant}


@pytest.mark.parametrize("name", ["address", "client", "calls", "do_raise", "prices", "_max_attempt", "meanwhile"])
def test_an_authors_own_names_are_left_alone(name: str) -> None:
    assert declaration.slips(type("Owning", (Fine,), {name: 5})()) == {}


def test_a_name_beside_the_right_one_is_the_authors_own() -> None:
    assert declaration.slips(type("Knowing", (Fine,), {"max_attempts": 5, "max_attempt": 4})()) == {}
