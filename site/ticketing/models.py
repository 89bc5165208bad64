"""Events, the tickets sold for them, and the orders they were sold with."""

from django.db import models
from django.db.models import Q


class Event(models.Model):
    """Something people come to see at one place and time."""

    name = models.CharField(max_length=120)
    venue = models.CharField(max_length=120)
    starts_at = models.DateTimeField()

    class Meta:
        ordering = ("starts_at", "name")
        constraints = (models.UniqueConstraint(fields=["name", "starts_at"], name="ticketing_event_once"),)

    def __str__(self) -> str:
        return self.name


class Ticket(models.Model):
    """The right to one seat; its code is what is scanned at the door."""

    event = models.ForeignKey(Event, on_delete=models.PROTECT, related_name="tickets")
    code = models.CharField(max_length=40, unique=True, help_text="Capital letters, digits and hyphens.")
    seat = models.CharField(max_length=20)
    price = models.PositiveIntegerField(help_text="In cents.")
    holder_email = models.EmailField(blank=True)
    issued_at = models.DateTimeField(null=True, blank=True, help_text="When its image was last made.")

    class Meta:
        ordering = ("pk",)
        constraints = (
            models.UniqueConstraint(fields=["event", "seat"], name="ticketing_seat_sold_once"),
            # The code becomes part of a file's name.
            models.CheckConstraint(condition=Q(code__regex=r"^[A-Z0-9][A-Z0-9-]*$"), name="ticketing_code_is_plain"),
        )

    def __str__(self) -> str:
        return self.code


class Order(models.Model):
    """What somebody bought and paid for at once."""

    number = models.CharField(max_length=40, unique=True)
    event = models.ForeignKey(Event, on_delete=models.PROTECT, related_name="orders")
    buyer_email = models.EmailField(blank=True)
    amount = models.PositiveIntegerField(help_text="In cents.")
    refunded_at = models.DateTimeField(null=True, blank=True, help_text="When the provider had given the money back.")
    refund_id = models.CharField(max_length=64, blank=True, help_text="The refund's reference at the provider.")
    refund_key = models.CharField(max_length=100, blank=True, help_text="The idempotency key that it was asked with.")

    refusal = models.CharField(max_length=500, blank=True, help_text="Why the provider refused it, in its words.")

    class Meta:
        ordering = ("pk",)
        constraints = (
            models.CheckConstraint(
                condition=Q(refunded_at=None, refund_id="") | Q(refunded_at__isnull=False) & ~Q(refund_id=""),
                name="ticketing_refund_has_reference",
            ),
        )

    def __str__(self) -> str:
        return self.number
