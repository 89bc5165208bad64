"""The pages of one's webhooks: endpoints, and what was sent to one of them. Nobody else's exist."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import Http404
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from bulkops.exceptions import BulkopsError
from bulkops.web.guards import database_may_be_away, person_required
from bulkops.webhooks import registering
from bulkops.webhooks.models import CHOSEN, DESCRIPTION_CHARS, DeliveryState, Event

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest, HttpResponse

    from bulkops.models import Endpoint

PAGE = 25
SOON = timedelta(minutes=1)
TONES = {DeliveryState.PENDING: "busy", DeliveryState.DELIVERED: "good", DeliveryState.FAILED: "bad"}


class EndpointForm(forms.Form):
    """An endpoint, new or changed."""

    url = forms.CharField(
        label=_("Address"),
        widget=forms.URLInput(attrs={"placeholder": "https://shop.example/hooks", "autocomplete": "off"}),
        help_text=_("A program of yours that takes a POST over HTTPS, on the public internet."),
    )
    events = forms.MultipleChoiceField(
        label=_("Tell it of"),
        choices=[(str(event), f"{event}: {event.label}") for event in CHOSEN],
        widget=forms.CheckboxSelectMultiple,
        initial=[str(Event.COMPLETED), str(Event.FAILED)],
        help_text=_("Of your own jobs."),
    )
    description = forms.CharField(
        required=False,
        max_length=DESCRIPTION_CHARS,
        label=_("Description"),
        help_text=_("What it is for; optional."),
    )

    def clean_url(self) -> str:
        """Checked here too, so that the complaint stands beside the field."""
        try:
            return registering.checked_url(self.cleaned_data["url"])
        except registering.InvalidEndpoint as bad:
            raise ValidationError(bad.message) from None


class SwitchableForm(EndpointForm):
    """One that there is."""

    enabled = forms.BooleanField(
        required=False, label=_("Switched on"), help_text=_("Switched on again, it gets what waited for it.")
    )


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@database_may_be_away
@person_required
def webhook_list(request: HttpRequest) -> HttpResponse:
    """One's endpoints, and the making of one."""
    form = EndpointForm(request.POST if request.method == "POST" else None)
    problem, status = "", 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                made = registering.create(owner=request.user, **form.cleaned_data)
            except BulkopsError as refusal:
                problem = refusal.message
            else:
                return _one(request, made, secret=made.secret)
    context = {"endpoints": registering.of_user(request.user), "form": form, "problem": problem}
    return render(request, "bulkops/webhooks.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@database_may_be_away
@person_required
def webhook(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One endpoint with its deliveries, and its change."""
    endpoint = _mine(request, pk)
    if request.method != "POST":
        return _one(request, endpoint)
    form = SwitchableForm(request.POST)
    if not form.is_valid():
        return _one(request, endpoint, form=form, status=422)
    registering.change(endpoint, **form.cleaned_data)
    messages.success(request, gettext("Changed."))
    return redirect("bulkops:webhook", endpoint.pk)


@require_POST
@never_cache
@database_may_be_away
@person_required
def rotate(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A new secret, shown this once."""
    endpoint = _mine(request, pk)
    return _one(request, endpoint, secret=registering.rotate(endpoint))


@require_POST
@database_may_be_away
@person_required
def send_test(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A `webhook.test`."""
    endpoint = _mine(request, pk)
    return _done(request, endpoint, lambda: registering.send_test(endpoint), "A test is under way.")


@require_POST
@database_may_be_away
@person_required
def replay(request: HttpRequest, pk: UUID, delivery: UUID) -> HttpResponse:
    """A delivery once more."""
    endpoint = _mine(request, pk)
    found = endpoint.deliveries.select_related("endpoint").filter(pk=delivery).first()
    if found is None:
        raise Http404("There is no such delivery.")
    return _done(request, endpoint, lambda: registering.replay(found), gettext("It is sent again."))


@require_POST
@database_may_be_away
@person_required
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    """With its deliveries; pressing twice changes nothing."""
    for endpoint in registering.of_user(request.user).filter(pk=pk):
        registering.delete(endpoint)
    return redirect("bulkops:webhooks")


def _mine(request: HttpRequest, pk: UUID) -> Endpoint:
    found = registering.of_user(request.user).filter(pk=pk).first()
    if found is None:
        raise Http404("You have no such webhook.")
    return found


def _done(request: HttpRequest, endpoint: Endpoint, verb: Any, words: str) -> HttpResponse:
    try:
        verb()
    except BulkopsError as refusal:
        messages.warning(request, refusal.message)
    else:
        messages.success(request, words)
    return redirect("bulkops:webhook", endpoint.pk)


def _one(
    request: HttpRequest,
    endpoint: Endpoint,
    *,
    form: SwitchableForm | None = None,
    secret: str = "",
    status: int = 200,
) -> HttpResponse:
    wanted = request.GET.get("state", "")
    found = endpoint.deliveries.prefetch_related("attempts")
    if wanted in DeliveryState.values:
        found = found.filter(state=wanted)
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    for one in page:
        one.tone = TONES[DeliveryState(one.state)]  # type: ignore[attr-defined]
    soon = timezone.now() + SOON
    initial = {name: getattr(endpoint, name) for name in ("url", "events", "description")}
    context = {
        "endpoint": endpoint,
        "form": form or SwitchableForm(initial=initial | {"enabled": endpoint.disabled_at is None}),
        "secret": secret,
        "page": page,
        "wanted": wanted,
        "states": DeliveryState.choices,
        "moves": endpoint.disabled_at is None and any(one.due is not None and one.due < soon for one in page),
    }
    return render(request, "bulkops/webhook.html", context, status=status)
