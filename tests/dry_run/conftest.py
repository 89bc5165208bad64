"""An operation that does what its items say, registered for these tests, and what they ask of a dry run."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from django import forms
from django.db import transaction

from bulkops import (
    Operation,
    dry_run,
    register,
    registry,
    services,
)
from bulkops.models import Chunk, Event, Job, Manifest, Outcome, Turn
from tests.sample.models import Effect


class Trying(Operation):
    """Does what its item says."""

    name = "trying"
    ran: ClassVar[list[Any]] = []
    hooks: ClassVar[list[Any]] = []
    meanwhile: ClassVar[dict[str, Any]] = {}

    class Params(forms.Form):
        note = forms.CharField(initial="x")

    def process(self, item: Any, params: dict[str, Any], context: Any) -> Any:
        self.ran.append(item)
        Effect.objects.create(item=str(item), note=params["note"])
        transaction.on_commit(lambda: self.hooks.append(item))
        context.message(f"working on {item}")
        assert (context.attempt, context.should_stop()) == (1, False)
        return self.meanwhile.get(item, lambda _: {"item": item})(context)


@pytest.fixture(autouse=True)
def trying():
    """The operation, registered for one test."""
    register(Trying)
    Trying.ran.clear()
    Trying.hooks.clear()
    Trying.meanwhile.clear()
    yield Trying
    registry.unregister(Trying.name)


@pytest.fixture
def at(trying):
    """Has an item do something: `at("a", lambda context: …)`."""
    return trying.meanwhile.__setitem__


def try_out(owner, items=None, operation="trying", most=None, **what):
    return dry_run.run(services.check(user=owner, operation=operation, items=items, **what), most=most)


def raising(error):
    def do(context):
        raise error

    return do


def nothing_kept():
    kept = [Effect, Job, Chunk, Manifest, Outcome, Event, Turn]
    return not any(model.objects.exists() for model in kept) and not Trying.hooks


def states(found):
    return [one.state for one in found.tried]
