"""What this app does to many tickets at once; bulkops finds it here."""

from typing import Any
from uuid import UUID

from django import forms
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db.models import F, QuerySet
from django.urls import reverse
from django.utils import timezone

from bulkops import Context, Operation, register
from ticketing import images
from ticketing.models import Ticket


@register
class Reprice(Operation):
    """Change the price of each ticket by some cents."""

    name = "reprice-tickets"
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
