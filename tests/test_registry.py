"""Operations are known by their names; a wrong one is refused and leaves the registry as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bulkops import registry
from bulkops.exceptions import OperationAlreadyRegistered, OperationMisdeclared, UnknownOperation
from bulkops.operation import Operation

if TYPE_CHECKING:
    from collections.abc import Iterator


class One(Operation):
    name = "registry-one"

    def process(self, item: Any, params: Any, context: Any) -> None: ...


class Another(One):
    """Of the same name."""


class Unnamed(One):
    name = ""


class Needy(One):
    name = "registry-needy"

    def __init__(self, client: Any) -> None: ...


@pytest.fixture(autouse=True)
def _registry_as_before() -> Iterator[None]:
    before = dict(registry._operations)
    yield
    registry._operations.clear()
    registry._operations.update(before)


def test_registering_gives_the_class_back_and_makes_it_known() -> None:
    assert registry.register(One) is One
    assert type(registry.get("registry-one")) is One


def test_a_second_operation_of_a_name_is_refused_naming_both() -> None:
    registry.register(One)
    with pytest.raises(OperationAlreadyRegistered) as refusal:
        registry.register(Another)
    assert refusal.value.message == (
        f"{__name__}.Another and {__name__}.One are both called “registry-one”: give one of them another `name`."
    )
    assert type(registry.get("registry-one")) is One


def test_registering_the_same_class_twice_is_refused_too() -> None:
    registry.register(One)
    with pytest.raises(OperationAlreadyRegistered):
        registry.register(One)


@pytest.mark.parametrize(
    "wrong",
    [Unnamed, Needy, dict, One.process, None, "registry-one"],
    ids=["unnamed", "needy", "foreign", "method", "nothing", "name"],
)
def test_what_is_misdeclared_leaves_the_registry_as_it_was(wrong: Any) -> None:
    before = registry.every()
    with pytest.raises(OperationMisdeclared):
        registry.register(wrong)
    assert registry.every() == before


def test_an_instance_is_no_class() -> None:
    with pytest.raises(OperationMisdeclared, match="is no subclass"):
        registry.register(One())  # type: ignore[type-var]


@pytest.mark.parametrize("name", ["", "registry-none", "REGISTRY-ONE", "registry_one"])
def test_an_unknown_name_is_refused_with_the_name(name: str) -> None:
    registry.register(One)
    with pytest.raises(UnknownOperation, match=f"“{name}”") as refusal:
        registry.get(name)
    assert refusal.value.name == name


def test_all_are_listed_by_name() -> None:
    registry.register(One)
    names = [operation.name for operation in registry.every()]
    assert names == sorted(names)
    assert "registry-one" in names


def test_one_can_be_forgotten_and_registered_again() -> None:
    registry.register(One)
    registry.unregister("registry-one")
    registry.unregister("registry-one")
    with pytest.raises(UnknownOperation):
        registry.get("registry-one")
    registry.register(Another)
    assert type(registry.get("registry-one")) is Another


def test_each_apps_operations_module_was_found_by_itself() -> None:
    assert {"reprice-tickets", "issue-tickets"} <= {operation.name for operation in registry.every()}
