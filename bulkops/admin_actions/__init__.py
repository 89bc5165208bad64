"""Admin actions that run as jobs: the rows chosen in any model's list become the items of an operation.

    class TicketAdmin(JobActionsMixin, admin.ModelAdmin):
        job_actions = ("reprice-tickets",)

Choosing the action shows a page in the admin's look, with the operation's form; Start on that page begins the job. What
“select all” chose travels as the list's own query, and is read on the server when Start is pressed: only what the list
shows to this person can be reached.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.options import IS_POPUP_VAR
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ValidationError
from django.db.models import IntegerField
from django.utils.translation import gettext

from bulkops import permissions, registry
from bulkops.admin_actions.starting import StartPage
from bulkops.exceptions import UnknownOperation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from django.contrib.admin import ModelAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse


@dataclass(frozen=True)
class JobAction:
    """One entry of `job_actions` that needs more than an operation's name."""

    operation: str
    """The name of the operation."""
    item: Callable[[Any], Any] | None = None
    """Makes an item of a primary key, for an operation whose items have fields; the key itself by default."""
    label: str = ""
    """What the list of actions says, `%(verbose_name_plural)s` in it being the model's; else the operation's title."""

    @property
    def name(self) -> str:
        """How forms call it."""
        return f"job:{self.operation}"

    @property
    def description(self) -> str:
        """Its words in the list of actions."""
        return self.label or f"{registry.get(self.operation).title}…"

    def __call__(self, model_admin: ModelAdmin, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        """Show the page, or start the job where the page was sent. Django has narrowed the queryset to the choice."""
        return StartPage(model_admin, request, queryset, self.name, registry.get(self.operation), self.item).answer()


class JobActionsMixin(admin.ModelAdmin):
    """Put it before ModelAdmin and name operations in `job_actions`."""

    job_actions: ClassVar[Sequence[str | JobAction]] = ()
    """Names of operations, or JobAction where a name is not enough. Who may change the model's rows, and holds the
    operation's permission, finds them among the actions."""

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Django's, and the jobs that this person may start.

        What is sent is not narrowed: who lost a right since the page was shown is told so, instead of “No action
        selected”.
        """
        actions: dict[str, Any] = super().get_actions(request)
        if IS_POPUP_VAR in request.GET:
            return actions
        for action in map(as_action, self.job_actions):
            try:
                operation = registry.get(action.operation)
            except UnknownOperation:  # `check` tells; the rest of the list goes on
                continue
            allowed = self.has_change_permission(request) and permissions.may_submit(request.user, operation)
            if allowed or request.method == "POST":
                actions[action.name] = (action, action.name, action.description)
        return actions

    def response_action(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse | None:
        """Django's, which breaks on ids that can be no row's: they were not sent by the page, and choose nothing."""
        chosen = request.POST.getlist(admin.helpers.ACTION_CHECKBOX_NAME)
        if all(could_be_key(self.model, text) for text in chosen):
            return super().response_action(request, *args, **kwargs)
        self.message_user(
            request, gettext("Nothing was done: the choice names rows that cannot exist."), messages.ERROR
        )
        return None

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Django's, and what is wrong with `job_actions`."""
        return [*super().check(**kwargs), *self._check_job_actions()]

    def _check_job_actions(self) -> Iterator[CheckMessage]:
        where, given = type(self), self.job_actions
        if isinstance(given, str) or not all(isinstance(one, str | JobAction) for one in given):
            yield Error(
                "The value of 'job_actions' must be a tuple of operations' names.",
                hint='Write job_actions = ("reprice-tickets",), with the comma.',
                obj=where,
                id="bulkops.E015",
            )
            return
        actions = [as_action(one) for one in given]
        for name, times in Counter(one.operation for one in actions).items():
            if times > 1:
                yield Error(f"'job_actions' names the operation “{name}” {times} times.", obj=where, id="bulkops.E016")
        for action in actions:
            yield from _check_operation(action, where)


def as_action(entry: str | JobAction) -> JobAction:
    """An entry of `job_actions`, in full."""
    return JobAction(entry) if isinstance(entry, str) else entry


def _check_operation(action: JobAction, where: type) -> Iterator[CheckMessage]:
    try:
        operation = registry.get(action.operation)
    except UnknownOperation:
        known = ", ".join(one.name for one in registry.every())
        yield Error(
            f"'job_actions' names the operation “{action.operation}”, which does not exist.",
            hint=f"There are: {known}." if known else "No app of INSTALLED_APPS has a module `operations` with one.",
            obj=where,
            id="bulkops.E017",
        )
        return
    if operation.Item is not None and action.item is None:
        fields = ", ".join(operation.Item.base_fields)
        yield Error(
            f"The items of the operation “{operation.name}” have fields ({fields}), and a row's primary key has none.",
            hint=f'Say how one is made: JobAction("{operation.name}", item=lambda pk: {{…}}).',
            obj=where,
            id="bulkops.E018",
        )


def could_be_key(model: Any, text: str) -> bool:
    """Whether a text can be a primary key of the model: a number for a number, a UUID for a UUID."""
    field: Any = model._meta.pk
    while field.remote_field is not None:  # a child's key is its parent's
        field = field.target_field
    try:
        key = field.to_python(text)
        if isinstance(field, IntegerField):
            field.run_validators(key)  # PostgreSQL refuses what is larger than its column
    except (ValidationError, ValueError):
        return False
    return "\x00" not in text
