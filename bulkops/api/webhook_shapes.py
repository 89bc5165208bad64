"""The shapes of webhooks: endpoints, deliveries, attempts."""

from __future__ import annotations

from rest_framework import serializers

from bulkops.api.shapes import AnyObject, Choice, Flag, Text
from bulkops.webhooks.models import CHOSEN, DESCRIPTION_CHARS, URL_CHARS, DeliveryState, Event

_EVENTS = [str(event) for event in CHOSEN]


class NewEndpoint(serializers.Serializer):
    """An endpoint that is asked for."""

    url = Text(max_length=URL_CHARS, help_text="https, a host on the public internet.")
    events = serializers.ListField(child=Choice(choices=_EVENTS), min_length=1, max_length=len(_EVENTS))
    description = Text(required=False, max_length=DESCRIPTION_CHARS)


class ChangedEndpoint(serializers.Serializer):
    """What is to be different; what is left out stays."""

    url = Text(required=False, max_length=URL_CHARS)
    events = serializers.ListField(child=Choice(choices=_EVENTS), required=False, min_length=1, max_length=len(_EVENTS))
    description = Text(required=False, max_length=DESCRIPTION_CHARS)
    enabled = Flag(required=False, help_text="True: it gets what waited for it.")


class Nothing(serializers.Serializer):
    """An empty body, or none."""


class EndpointShape(serializers.Serializer):
    """Where somebody is told."""

    id = serializers.UUIDField()
    url = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    events = serializers.ListField(child=serializers.ChoiceField(choices=_EVENTS))
    enabled = serializers.BooleanField()
    disabled_at = serializers.DateTimeField(allow_null=True)
    disabled_reason = serializers.CharField(allow_blank=True)
    failing_since = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    secret_rotated_until = serializers.DateTimeField(allow_null=True, help_text="Until then the former one signs too.")


class EndpointWithSecret(EndpointShape):
    """The only answers that ever have the secret."""

    secret = serializers.CharField()


class EndpointPage(serializers.Serializer):
    """All of mine."""

    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = EndpointShape(many=True)


class AttemptShape(serializers.Serializer):
    """One attempt."""

    at = serializers.DateTimeField()
    seconds = serializers.FloatField()
    status = serializers.IntegerField(allow_null=True)
    error = serializers.CharField(allow_blank=True)
    answer = serializers.CharField(allow_blank=True, help_text="Its first 500 characters.")


class DeliveryShape(serializers.Serializer):
    """One thing that is told, and how that went."""

    id = serializers.UUIDField(help_text="The webhook-id.")
    event = serializers.ChoiceField(choices=[*_EVENTS, str(Event.TEST)])
    job = serializers.UUIDField(allow_null=True)
    state = serializers.ChoiceField(choices=DeliveryState.values)
    due = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    delivered_at = serializers.DateTimeField(allow_null=True)
    body = AnyObject()
    attempts = AttemptShape(many=True)


class DeliveryPage(serializers.Serializer):
    """The newest first."""

    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = DeliveryShape(many=True)
