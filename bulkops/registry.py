"""The operations a project has, by name; filled at start-up from every app's `operations` module."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TypeVar

from bulkops import declaration
from bulkops.exceptions import OperationAlreadyRegistered, OperationMisdeclared, UnknownOperation
from bulkops.operation import Operation

logger = logging.getLogger("bulkops.registry")

OperationClass = TypeVar("OperationClass", bound=type[Operation])

_operations: dict[str, Operation] = {}
faults: list[str] = []
"""Why an app's operations could not all be registered at start-up; `manage.py check` tells."""
lacking: dict[str, str] = {}
"""Apps of `bulkops.contrib` whose operations are not there, and the module that each of them lacks."""
_CONTRIB = "bulkops.contrib."


def register(operation: OperationClass) -> OperationClass:
    """Class decorator: make an operation known by its name.

    Raises OperationMisdeclared or OperationAlreadyRegistered, and then leaves the registry as it was.
    """
    if not (isinstance(operation, type) and issubclass(operation, Operation)):
        raise OperationMisdeclared(f"{operation!r} is no subclass of bulkops.Operation; put @register above a class.")
    try:
        instance = operation()
    except TypeError as error:
        raise OperationMisdeclared(
            f"{operation.__module__}.{operation.__qualname__} must be made without arguments: {error}. It is made once,"
            " at start-up, for all its jobs."
        ) from None
    declaration.check(instance)
    known = _operations.get(instance.name)
    if known is not None:
        raise OperationAlreadyRegistered(
            f"{operation.__module__}.{operation.__qualname__} and {type(known).__module__}."
            f"{type(known).__qualname__} are both called “{instance.name}”: give one of them another `name`."
        )
    _operations[instance.name] = instance
    return operation


def discover(package: str) -> None:
    """Import an app's `operations` module; a wrong declaration is noted and logged, for `check` to tell in words.

    So is a package that is not installed and that one of the apps which ship with bulkops needs: the site does without.
    """
    try:
        import_module(f"{package}.operations")
    except ModuleNotFoundError as error:
        if not package.startswith(_CONTRIB) or error.name is None or error.name.startswith("bulkops"):
            raise
        lacking[package] = error.name
        logger.error("app=%s event=operations_missing %s", package, error)
    except OperationMisdeclared as error:
        faults.append(str(error))
        logger.error("app=%s event=operation_refused %s", package, error)


def get(name: str) -> Operation:
    """The operation of that name. Raises UnknownOperation."""
    try:
        return _operations[name]
    except KeyError:
        raise UnknownOperation(name) from None


def every() -> list[Operation]:
    """All operations, by name."""
    return [_operations[name] for name in sorted(_operations)]


def unregister(name: str) -> None:
    """Forget an operation; for tests that register their own."""
    _operations.pop(name, None)
