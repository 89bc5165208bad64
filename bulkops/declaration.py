"""What is wrong with how an operation is declared, in words that tell its author what to change.

A fault keeps the operation from being registered. A slip does not: an attribute that looks like a misspelt one of ours
may be the author's own, so it is only warned of.
"""

from __future__ import annotations

import inspect
import math
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.functional import Promise

from bulkops.exceptions import OperationMisdeclared
from bulkops.operation import FASTEST, SLOWEST, Operation, is_rate

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
NAME_CHARS = 100
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
"""Of a class's name."""
QUEUE = re.compile(r"[A-Za-z0-9_.-]{1,80}")
"""What `qcluster --queues a,b` can name, and what fits django-q2's column."""
PERMISSION = re.compile(r"\w+\.\w+")
METHODS = {
    "items": "params",
    "process": "item, params, context",
    "finish": "params, summary",
    "authorize": "user, params",
    "count_items": "params",
}
WORDED = {"item_name": "ticket", "item_name_plural": "tickets", "effect": "will change"}
MOST = 32_767
"""Of workers and of attempts; PostgreSQL's smallint."""
ALIKE = 0.8
"""From this likeness on (difflib's ratio), a name is taken for a misspelt one."""
OTHER_NAMES = {
    "form": "Params",
    "params_form": "Params",
    "item_form": "Item",
    "timeout": "item_timeout_seconds",
    "timeout_seconds": "item_timeout_seconds",
    "item_timeout": "item_timeout_seconds",
    "retries": "max_attempts",
    "max_retries": "max_attempts",
    "attempts": "max_attempts",
    "autoretry_for": "retry_on",
    "retry_for": "retry_on",
    "retry_backoff": "backoff",
    "rate": "rate_per_second",
    "rate_limit": "rate_per_second",
    "concurrency": "parallelism",
    "workers": "parallelism",
    "atomic": "transactional",
    "permissions": "permission",
    "permission_required": "permission",
    "secrets": "secret",
    "run": "process",
    "handle": "process",
    "process_item": "process",
    "get_items": "items",
    "get_queryset": "items",
    "on_finish": "finish",
    "item_label": "item_name",
    "verbose_name": "item_name",
    "verbose_name_plural": "item_name_plural",
    "total": "count_items",
    "count": "count_items",
    "get_count": "count_items",
}
"""What other libraries call it."""


def check(operation: Operation) -> None:
    """Raises OperationMisdeclared with the first fault."""
    wrong = next(_faults(operation), None)
    if wrong is not None:
        raise OperationMisdeclared(f"{type(operation).__module__}.{type(operation).__qualname__}{wrong}")


def slips(operation: Operation) -> dict[str, str]:
    """Attributes of the author's that look like misspelt ones of ours, each with the one that may be meant.

    One that the author has declared as well is known to them, and nothing is taken for it.
    """
    ours = {name for name in dir(Operation) if not name.startswith("_")}
    authors = [vars(cls) for cls in type(operation).__mro__ if cls not in Operation.__mro__]
    declared = {name for names in authors for name in names if not name.startswith("_")}
    by_case = {name.lower(): name for name in sorted(ours - declared)}
    found = {}
    for name in sorted(declared - ours):
        other = OTHER_NAMES.get(name.lower())
        meant = [other] if other else get_close_matches(name.lower(), by_case, n=1, cutoff=ALIKE)
        if meant and by_case.get(meant[0].lower()):
            found[name] = by_case[meant[0].lower()]
    return found


def _faults(operation: Operation) -> Iterator[str]:
    """Each written to follow the class's name."""
    yield from _name_faults(operation)
    if type(operation).process is Operation.process:
        misspelt = [name for name, meant in slips(operation).items() if meant == "process"]
        yield " has no `process(self, item, params, context)`" + (f", but a `{misspelt[0]}`." if misspelt else ".")
    for method, arguments in METHODS.items():
        yield from _method_faults(operation, method, arguments)
    for label in ("Params", "Item"):
        yield from _form_faults(label, getattr(operation, label))
    yield from _attribute_faults(operation)


def _name_faults(operation: Operation) -> Iterator[str]:
    name: Any = operation.name
    if isinstance(name, str) and NAME.fullmatch(name) and len(name) <= NAME_CHARS:
        return
    if isinstance(name, str) and len(name) > NAME_CHARS:
        yield f": `name` must be lower-case words joined by hyphens, at most {NAME_CHARS} characters of them."
    words = re.findall(r"[a-z0-9]+", name.lower()) if isinstance(name, str) else []
    better = "-".join(words or (word.lower() for word in WORD.findall(type(operation).__name__)))
    yield f": `name` must be lower-case words joined by hyphens, not {name!r}." + (
        f' Say name = "{better}".' if better else ""
    )


def _attribute_faults(operation: Operation) -> Iterator[str]:
    permission = operation.permission
    if permission is not None and not (isinstance(permission, str) and PERMISSION.fullmatch(permission)):
        yield f": `permission` must read “app.codename”, such as “ticketing.change_ticket”, not {permission!r}."
    for label in ("transactional", "takes_files"):
        if not isinstance(getattr(operation, label), bool):
            yield f": `{label}` must be True or False, not {getattr(operation, label)!r}."
    yield from _count_faults(operation)
    if operation.takes_files and operation.Item is not None:
        yield ": its items are files (`takes_files`), which have no `Item` form."
    yield from _retry_faults(operation.retry_on)
    if not (isinstance(operation.queue, str) and QUEUE.fullmatch(operation.queue)):
        yield ": `queue` must be a name of at most 80 letters, digits, dots, hyphens and underscores."
    limit = operation.item_timeout_seconds
    if not (_is_number(limit) and 0 <= limit < math.inf):
        yield f": `item_timeout_seconds` must be a number of seconds, or 0 for no limit, not {limit!r}."
    if not _is_backoff(operation.backoff):
        yield ": `backoff` must be two numbers of seconds, the first wait and the longest, such as (2, 300)."
    yield from _policy_faults(operation)
    yield from _secret_faults(operation)
    yield from _wording_faults(operation)


def _count_faults(operation: Operation) -> Iterator[str]:
    for label in ("parallelism", "max_attempts", "max_crashes"):
        figure = getattr(operation, label)
        if not (_is_count(figure) and 1 <= figure <= MOST):
            yield f": `{label}` must be a whole number from 1 to {MOST:,}, not {figure!r}."
    size = operation.chunk_items
    if size is not None and not (_is_count(size) and size >= 1):
        yield f": `chunk_items` must be a whole number from 1, or None, not {size!r}."


def _retry_faults(errors: Any) -> Iterator[str]:
    if isinstance(errors, tuple) and all(isinstance(e, type) and issubclass(e, BaseException) for e in errors):
        return
    alone = isinstance(errors, type) and issubclass(errors, BaseException)
    yield ": `retry_on` must be a tuple of exception classes" + (
        f": retry_on = ({errors.__name__},)." if alone else ", such as (OSError,)."
    )


def _secret_faults(operation: Operation) -> Iterator[str]:
    secret = operation.secret
    fields = getattr(operation.Params, "base_fields", {})
    # A single name in plain quotes would be taken for its letters, and hide nothing.
    if not isinstance(secret, tuple | list | set | frozenset):
        yield f": `secret` must be a tuple of parameters' names, such as ({secret!r},)."
    elif unknown := [name for name in secret if name not in fields]:
        known = f"; it has {', '.join(fields)}." if fields else "."
        yield f": `secret` names {', '.join(map(str, unknown))}, but Params has no such field{known}"


def _wording_faults(operation: Operation) -> Iterator[str]:
    for label in ("item_name", "item_name_plural", "effect"):
        words: Any = getattr(operation, label)
        may_be_empty = label == "item_name_plural"
        if not isinstance(words, str | Promise) or not (may_be_empty or str(words).strip()):
            yield f': `{label}` must be words such as "{WORDED[label]}", not {words!r}.'


def _policy_faults(operation: Operation) -> Iterator[str]:
    if operation.in_doubt not in {"repeat", "hold"}:
        yield f': `in_doubt` must be "repeat" or "hold", not {operation.in_doubt!r}.'
    if operation.durability not in {"strict", "relaxed"}:
        yield f': `durability` must be "strict" or "relaxed", not {operation.durability!r}.'
    if operation.in_doubt == "hold" and operation.transactional:
        yield ': `in_doubt = "hold"` is for effects outside the database; say `transactional = False` too.'
    if operation.in_doubt == "hold" and operation.durability == "relaxed":
        # A crash of the database could lose the note that the item was begun, and the item would be repeated.
        yield ': `in_doubt = "hold"` needs `durability = "strict"`.'
    rate = operation.rate_per_second
    if rate is not None and not is_rate(rate):
        yield f": `rate_per_second` must be a number from {SLOWEST:g} to {FASTEST:,}, or None."
    if operation.max_failures is not None and not _is_max_failures(operation.max_failures):
        yield ": `max_failures` must be a count from 1, a share between 0 and 1, or None."


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_max_failures(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return (isinstance(value, int) and value >= 1) or (isinstance(value, float) and 0 < value < 1)


def _is_backoff(value: Any) -> bool:
    # A wrong one would show only when the first item is to be tried again, in a worker.
    if not isinstance(value, tuple | list) or len(value) != 2:
        return False
    return all(_is_number(seconds) and 0 <= seconds < math.inf for seconds in value)


def _method_faults(operation: Operation, name: str, arguments: str) -> Iterator[str]:
    method = getattr(operation, name)
    if not callable(method):
        yield f": `{name}` must be a method, `def {name}(self, {arguments})`, not {method!r:.60}."
        return
    # Calling any of these only makes an object that nobody runs: every item would succeed and nothing be done.
    if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
        yield f": `{name}` must not be async."
    if name != "items" and inspect.isgeneratorfunction(method):
        yield f": `{name}` must not yield."
    try:
        signature = inspect.signature(method)
        signature.bind(*arguments.split(", "))
    except TypeError:
        taken = ", ".join(("self", *signature.parameters))
        yield f": `{name}` must take (self, {arguments}), and takes ({taken})."


def _form_faults(label: str, form: Any) -> Iterator[str]:
    if form is None:
        return
    if isinstance(form, forms.BaseForm):
        yield f".{label} must be a django.forms.Form class, and is a form made of one: leave out the parentheses."
        return
    if not (isinstance(form, type) and issubclass(form, forms.BaseForm) and hasattr(form, "base_fields")):
        yield f".{label} must be a django.forms.Form class: write `class {label}(forms.Form)`."
        return
    files = [name for name, field in form.base_fields.items() if isinstance(field, forms.FileField)]
    if files:
        yield f".{label} has a file field ({', '.join(files)}); files are items: say `takes_files = True`."
