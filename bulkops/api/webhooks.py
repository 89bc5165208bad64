"""Webhooks: one's own endpoints and what was sent there; nobody else's exist."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.urls import reverse
from drf_spectacular.utils import OpenApiResponse
from rest_framework.response import Response

from bulkops.api import bodies, listing
from bulkops.api import webhook_shapes as shapes
from bulkops.api.base import ApiView
from bulkops.api.described import call, parameter
from bulkops.api.problems import Problem, invalid
from bulkops.webhooks import registering
from bulkops.webhooks.models import CHOSEN, DeliveryState, Event

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from rest_framework.request import Request

    from bulkops.models import Delivery, Endpoint

_STATES = ["", *DeliveryState.values]
_TOLD = ["", *(str(event) for event in (*CHOSEN, Event.TEST))]
_PAGING = (
    parameter("page", {"type": "integer", "minimum": 1, "maximum": listing.FARTHEST_PAGE}),
    parameter("page_size", {"type": "integer", "minimum": 1, "maximum": listing.LARGEST_PAGE}, "50 unless said."),
)


def mine(request: Request, pk: UUID) -> Endpoint:
    """One of the user's endpoints. Raises a problem."""
    found = registering.of_user(request.user).filter(pk=pk).first()
    if found is None:
        raise Problem("not-found", "You have no such endpoint.")
    return found


def described(endpoint: Endpoint) -> dict[str, Any]:
    """An endpoint as JSON types, without its secret."""
    return {
        "id": str(endpoint.pk),
        "url": endpoint.url,
        "description": endpoint.description,
        "events": list(endpoint.events),
        "enabled": endpoint.disabled_at is None,
        "disabled_at": endpoint.disabled_at,
        "disabled_reason": endpoint.disabled_reason,
        "failing_since": endpoint.failing_since,
        "created_at": endpoint.created_at,
        "secret_rotated_until": endpoint.previous_until,
    }


def told(delivery: Delivery) -> dict[str, Any]:
    """A delivery with its attempts as JSON types."""
    return {
        "id": str(delivery.pk),
        "event": delivery.event,
        "job": None if delivery.job_id is None else str(delivery.job_id),
        "state": delivery.state,
        "due": delivery.due,
        "created_at": delivery.created_at,
        "delivered_at": delivery.delivered_at,
        "body": json.loads(delivery.body),
        "attempts": [
            {
                "at": one.at,
                "seconds": round(one.seconds, 3),
                "status": one.status,
                "error": one.error,
                "answer": one.answer,
            }
            for one in delivery.attempts.all()
        ],
    }


def _allowed(verb: Callable[[], Any]) -> Any:
    """What the verb gives; what is wrong with a field is told at that field."""
    try:
        return verb()
    except registering.InvalidEndpoint as bad:
        raise invalid(f"#/{bad.field}", bad.message) from None
    except registering.TooManyByHand as refusal:
        raise Problem("rate-limited", refusal.message, retry_after=refusal.seconds) from None


class Webhooks(ApiView):
    """My endpoints, and the way to a new one."""

    @call("List webhooks", {200: shapes.EndpointPage})
    def get(self, request: Request) -> Response:
        """The oldest first."""
        results = [described(one) for one in registering.of_user(request.user)]
        return Response({"count": len(results), "next": None, "previous": None, "results": results})

    @call(
        "Make a webhook",
        {201: OpenApiResponse(shapes.EndpointWithSecret, "Its secret is shown this once.")},
        "not-allowed-now",
        body=True,
        request=shapes.NewEndpoint,
    )
    def post(self, request: Request) -> Response:
        """Where I want to be told, and of what."""
        asked = bodies.read(request, shapes.NewEndpoint)
        made = _allowed(lambda: registering.create(owner=request.user, **asked))
        answer = Response(described(made) | {"secret": made.secret}, status=201)
        answer["Location"] = request.build_absolute_uri(reverse("bulkops-api:webhook", args=[made.pk]))
        return answer


class OneWebhook(ApiView):
    """One endpoint."""

    @call("Look at a webhook", {200: shapes.EndpointShape}, "not-found")
    def get(self, request: Request, pk: UUID) -> Response:
        """Without its secret, which nobody can read again."""
        return Response(described(mine(request, pk)))

    @call("Change a webhook", {200: shapes.EndpointShape}, "not-found", body=True, request=shapes.ChangedEndpoint)
    def patch(self, request: Request, pk: UUID) -> Response:
        """What is left out stays. `enabled` switches it on or off."""
        endpoint = mine(request, pk)
        asked = bodies.read(request, shapes.ChangedEndpoint)
        return Response(described(_allowed(lambda: registering.change(endpoint, **asked))))

    @call("Delete a webhook", {204: OpenApiResponse(description="It is gone.")}, "not-found", "csrf-failed")
    def delete(self, request: Request, pk: UUID) -> Response:
        """With all its deliveries; what waits for it is not sent."""
        registering.delete(mine(request, pk))
        return Response(status=204)


class RotateWebhook(ApiView):
    """Its secret."""

    @call(
        "Rotate a webhook's secret",
        {200: OpenApiResponse(shapes.EndpointWithSecret, "The new secret is shown this once.")},
        "not-found",
        body=True,
        request=shapes.Nothing,
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """The former one signs too for 24 hours."""
        endpoint = mine(request, pk)
        bodies.read(request, shapes.Nothing)
        secret = registering.rotate(endpoint)
        return Response(described(endpoint) | {"secret": secret})


class TestWebhook(ApiView):
    """To try it."""

    @call(
        "Send a test to a webhook",
        {202: OpenApiResponse(shapes.DeliveryShape, "It is under way.")},
        "not-found",
        "not-allowed-now",
        body=True,
        request=shapes.Nothing,
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """A `webhook.test`; one that still waits stands for it."""
        endpoint = mine(request, pk)
        bodies.read(request, shapes.Nothing)
        return Response(told(_allowed(lambda: registering.send_test(endpoint))), status=202)


class Deliveries(ApiView):
    """What was sent to an endpoint."""

    @call(
        "List a webhook's deliveries",
        {200: shapes.DeliveryPage},
        "not-found",
        "validation",
        parameters=[parameter("state", enum=_STATES), parameter("event", enum=_TOLD), *_PAGING],
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """The newest first, each with every attempt."""
        endpoint = mine(request, pk)
        listing.only(request, "state", "event", *listing.PageForm.base_fields)
        wanted = listing.asked(listing.PageForm, request)
        filters = {name: self._one_of(request, name, known) for name, known in (("state", _STATES), ("event", _TOLD))}
        found = endpoint.deliveries.filter(**{name: value for name, value in filters.items() if value})
        number, size = wanted["page"] or 1, wanted["page_size"] or listing.PAGE_SIZE
        count, first = found.count(), (number - 1) * size
        if number > 1 and first >= count:
            raise Problem("not-found", "There is no such page.")
        return Response(
            {
                "count": count,
                "next": listing.page_url(request, page=number + 1) if first + size < count else None,
                "previous": listing.page_url(request, page=number - 1) if number > 1 else None,
                "results": [told(one) for one in found.prefetch_related("attempts")[first : first + size]],
            }
        )

    @staticmethod
    def _one_of(request: Request, name: str, known: list[str]) -> str:
        value = request.query_params.get(name, "")
        if value not in known:
            detail = f"One of {', '.join(known[1:])}."
            errors = [{"pointer": "#", "parameter": name, "detail": detail}]
            raise Problem("validation", "The address asks for something that there is not.", errors=errors)
        return value


class Replay(ApiView):
    """A delivery once more."""

    @call(
        "Replay a delivery",
        {202: OpenApiResponse(shapes.DeliveryShape, "It is under way.")},
        "not-found",
        "not-allowed-now",
        body=True,
        request=shapes.Nothing,
    )
    def post(self, request: Request, pk: UUID, delivery: UUID) -> Response:
        """The same body with the same id, now."""
        found = mine(request, pk).deliveries.select_related("endpoint").filter(pk=delivery).first()
        if found is None:
            raise Problem("not-found", "There is no such delivery.")
        bodies.read(request, shapes.Nothing)
        return Response(told(_allowed(lambda: registering.replay(found))), status=202)
