"""What this app does to many tickets at once; bulkops finds it here."""

from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db.models import F, QuerySet
from django.dispatch import receiver
from django.urls import reverse
from django.utils import timezone

from bulkops import Context, InDoubt, Operation, register
from bulkops.signals import job_pruned
from ticketing import images, provider
from ticketing.models import Order, Ticket


@register
class Reprice(Operation):
    """Change the price of each ticket by some cents."""

    name = "reprice-tickets"
    item_name = "ticket"
    effect = "will change"
    permission = "ticketing.change_ticket"
    parallelism = 4

    class Params(forms.Form):
        cents = forms.IntegerField(
            min_value=-1_000_000,
            max_value=1_000_000,
            help_text="Added to each price; a negative number makes tickets cheaper.",
        )

    def items(self, params: dict[str, Any]) -> QuerySet:
        """Every ticket's number."""
        return Ticket.objects.values_list("pk", flat=True)

    def process(self, item: Any, params: dict[str, Any], context: Context) -> None:
        """One statement, so that two changes of the same price add up."""
        number, cents = ticket_number(item), params["cents"]
        if Ticket.objects.filter(pk=number, price__gte=-cents).update(price=F("price") + cents):
            return
        if Ticket.objects.filter(pk=number).exists():
            raise ValueError("The price would become negative.")
        context.skip("no such ticket")


@register
class Issue(Operation):
    """Make the image of each ticket, with the code that is scanned at the door."""

    name = "issue-tickets"
    item_name = "ticket"
    effect = "will get an image"
    permission = "ticketing.change_ticket"
    # A file is no part of a transaction, and drawing takes long enough not to hold one open meanwhile.
    transactional = False
    parallelism = 4

    def items(self, params: dict[str, Any]) -> QuerySet:
        """The numbers of all tickets that have no image yet."""
        return Ticket.objects.filter(issued_at=None).values_list("pk", flat=True)

    def process(self, item: Any, params: dict[str, Any], context: Context) -> dict[str, str]:
        """Repeated after a crash, it writes the same file once more."""
        ticket = Ticket.objects.select_related("event").filter(pk=ticket_number(item)).first()
        if ticket is None:
            context.skip("no such ticket")
        name = f"{image_folder(context.job_id)}{ticket.code}.png"
        # A storage never overwrites: it would save under another name.
        default_storage.delete(name)
        name = default_storage.save(name, ContentFile(images.png(ticket)))
        Ticket.objects.filter(pk=ticket.pk).update(issued_at=timezone.now())
        address = reverse("ticketing:image", args=[context.job_id, context.position])
        return {"file": name, "code": ticket.code, "address": address}


@receiver(job_pruned)
def delete_images(*, job_id: UUID, operation: str, **_: Any) -> None:
    """The images go with the job that made them, also those of items that a crash left without an outcome."""
    folder = image_folder(job_id)
    if operation != Issue.name or not default_storage.exists(folder):
        return
    for name in default_storage.listdir(folder)[1]:
        default_storage.delete(folder + name)
    default_storage.delete(folder)


@register
class Refund(Operation):
    """Give the money of each order back through the payment provider."""

    name = "refund-orders"
    item_name = "order"
    effect = "will be refunded"
    permission = "ticketing.change_order"
    # No transaction stands open while another system thinks.
    transactional = False
    # The provider honours idempotency keys, so after a crash it can simply be asked again: the key makes it one refund.
    in_doubt = "repeat"
    retry_on = (provider.ProviderAway, provider.Unclear)
    max_attempts = 6
    backoff = (1.0, 60.0)
    item_timeout_seconds = 45.0
    parallelism = 4
    # What the provider allows a customer, and where a person should look before thousands are refused.
    rate_per_second = 25.0
    max_failures = 0.25

    address: ClassVar[str] = "refunds/"
    """Below the provider's URL."""

    class Params(forms.Form):
        reason = forms.CharField(
            max_length=200, initial="The event was cancelled.", help_text="Told to the provider with each refund."
        )

        def clean(self) -> None:
            """Refuse at once what could only fail item by item."""
            if not provider.is_named():
                raise forms.ValidationError("This site has no payment provider: BULKOPS_DEMO_PROVIDER_URL names one.")

    def items(self, params: dict[str, Any]) -> QuerySet:
        """The numbers of all orders that are neither refunded nor refused yet."""
        return Order.objects.filter(refunded_at=None, refusal="").values_list("number", flat=True)

    def process(self, item: Any, params: dict[str, Any], context: Context) -> dict[str, str]:
        """Mark the order only after the provider's answer; a crash in between repeats the question, not the refund."""
        order = Order.objects.filter(number=order_number(item)).first()
        if order is None:
            context.skip("no such order")
        if order.refunded_at and order.refund_key == context.key:
            return {"refund": order.refund_id}  # by this very item, whose outcome was lost in a crash
        if order.refunded_at:
            context.skip("refunded before")
        try:
            reference = provider.refund(
                order.number, order.amount, params["reason"], key=context.key, address=self.address
            )
        except provider.Refused as refused:
            Order.objects.filter(pk=order.pk).update(refusal=str(refused))
            raise
        except provider.Unclear as unclear:
            # Asking again is right while a key makes it harmless. Then it may have happened, which “failed” would deny.
            if self.in_doubt == "hold" or context.attempt >= self.max_attempts:
                raise InDoubt(str(unclear)) from unclear
            raise
        Order.objects.filter(pk=order.pk).update(
            refunded_at=timezone.now(), refund_id=reference, refund_key=context.key, refusal=""
        )
        return {"refund": reference}


def image_folder(job_id: UUID) -> str:
    """Where a job's images are in the default storage."""
    return f"tickets/{job_id}/"


def ticket_number(item: Any) -> int:
    """An item as a ticket's number. Raises ValueError for what is none, also where int() would make one: true, 1.9."""
    if isinstance(item, int) and not isinstance(item, bool):
        return item
    if isinstance(item, str) and item.isascii() and item.strip().isdecimal() and len(item) < 20:
        return int(item)
    raise ValueError(f"{str(item)[:100]!r} is no ticket number.")


def order_number(item: Any) -> str:
    """An item as an order's number. Raises ValueError for what is none."""
    if isinstance(item, str) and item.strip():
        return item.strip()
    raise ValueError(f"{str(item)[:100]!r} is no order number.")
