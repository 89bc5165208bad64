"""The tables of webhooks: where to send, what to send, and every attempt at it.

What is sent is frozen as its text in the transaction that it tells of. An e-mail to a user is an endpoint like the
others, so both share queue, lease and retries; nobody sees or changes that one.
"""

from __future__ import annotations

import uuid
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from bulkops.webhooks import signing

DESCRIPTION_CHARS = 200
URL_CHARS = 2_000
ANSWER_CHARS = 500
"""What is kept of an answer."""
ERROR_CHARS = 500


class Kind(models.TextChoices):
    """What an endpoint is."""

    WEBHOOK = "webhook", "webhook"
    EMAIL = "email", "e-mail"


class Event(models.TextChoices):
    """What a webhook can tell."""

    COMPLETED = "job.completed", "every item was tried, also where some failed"
    FAILED = "job.failed", "the job itself could not run"
    CANCELLED = "job.cancelled", "somebody cancelled it"
    PAUSED = "job.paused", "it stands still, by somebody's wish or by itself"
    TEST = "webhook.test", "sent by hand, to try the endpoint"
    DISABLED = "webhook.disabled", "an endpoint was switched off; by e-mail only"


CHOSEN = (Event.COMPLETED, Event.FAILED, Event.CANCELLED, Event.PAUSED)
"""Those that a user chooses from."""


class DeliveryState(models.TextChoices):
    """Where a delivery is."""

    PENDING = "pending", "waiting"
    DELIVERED = "delivered", "delivered"
    FAILED = "failed", "failed"


class Endpoint(models.Model):
    """Where a user wants to be told; its lease is what keeps two from sending to it at once."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.WEBHOOK)
    url = models.CharField(max_length=URL_CHARS, blank=True)
    description = models.CharField(max_length=DESCRIPTION_CHARS, blank=True)
    events = ArrayField(models.CharField(max_length=50), default=list)
    secret = models.CharField(max_length=100, blank=True, editable=False)
    previous_secret = models.CharField(max_length=100, blank=True, editable=False)
    previous_until = models.DateTimeField(null=True, editable=False, help_text="Until then both secrets sign.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    disabled_at = models.DateTimeField(null=True, help_text="Switched off since.")
    disabled_reason = models.TextField(blank=True)
    failing_since = models.DateTimeField(null=True, help_text="Every attempt since then has failed.")
    not_before = models.DateTimeField(null=True, help_text="It asked to be left alone until then.")

    lease = models.PositiveIntegerField(default=0, help_text="Fence: each claim raises it.")
    leased_until = models.DateTimeField(null=True, help_text="By the database's clock_timestamp().")
    holder = models.ForeignKey(
        "bulkops.Cluster", on_delete=models.SET_NULL, null=True, db_index=False, related_name="+"
    )

    class Meta:
        app_label = "bulkops"
        ordering = ("created_at", "pk")
        constraints = (models.UniqueConstraint(fields=["owner"], name="bulkops_one_email", condition=Q(kind="email")),)

    def __str__(self) -> str:
        """For operators: “e-mail”, or the host, since the rest of an address may hold a secret."""
        return "e-mail" if self.kind == Kind.EMAIL else urlsplit(self.url).hostname or ""

    @property
    def former_secrets(self) -> list[str]:
        """Those that still sign beside its own, the latest first."""
        in_force = self.previous_until is not None and self.previous_until > timezone.now()
        kept = self.previous_secret.split() if in_force else []
        return [signing.PREFIX + secret.removeprefix(signing.PREFIX) for secret in kept]


class Delivery(models.Model):
    """One thing to tell one endpoint; its id is the `webhook-id`, the same at every attempt."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, db_index=False, related_name="deliveries")
    job = models.ForeignKey("bulkops.Job", on_delete=models.CASCADE, null=True, related_name="+")
    event = models.CharField(max_length=50, choices=Event.choices)
    body = models.TextField(help_text="The very text that is signed and sent.")
    state = models.CharField(max_length=10, choices=DeliveryState.choices, default=DeliveryState.PENDING)
    due = models.DateTimeField(null=True, help_text="Not before; by the database's clock_timestamp().")
    tries = models.PositiveSmallIntegerField(default=0, help_text="Attempts since it was made, or last replayed.")
    created_at = models.DateTimeField(default=timezone.now)
    delivered_at = models.DateTimeField(null=True)

    class Meta:
        app_label = "bulkops"
        ordering = ("-created_at", "pk")
        indexes = (
            models.Index(fields=["endpoint", "-created_at"], name="bulkops_delivery_newest"),
            # Every leader asks every round what is due; what was delivered piles up.
            models.Index(fields=["endpoint", "due"], name="bulkops_delivery_due", condition=Q(state="pending")),
        )

    def __str__(self) -> str:
        return f"{self.event} {self.pk}: {self.state}"


class DeliveryAttempt(models.Model):
    """One attempt at a delivery, and what came of it."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempts")
    at = models.DateTimeField(default=timezone.now)
    seconds = models.FloatField()
    status = models.PositiveSmallIntegerField(null=True, help_text="Of the answer, where one came.")
    error = models.TextField(blank=True, help_text="In words; empty where it was delivered.")
    answer = models.TextField(blank=True, help_text="The first characters of the answer, a stranger's text.")

    class Meta:
        app_label = "bulkops"
        ordering = ("pk",)

    def __str__(self) -> str:
        return self.error or f"answered {self.status}"
