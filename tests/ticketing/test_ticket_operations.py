"""The demo's operations do to each ticket what they say, once or twice, and nothing to any other."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import segno
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from PIL import Image

from bulkops import Context, InvalidParams, registry
from bulkops.exceptions import ItemSkipped
from ticketing import images
from ticketing.models import Ticket

Contexts = Callable[..., Context]


def prices() -> list[int]:
    return list(Ticket.objects.order_by("pk").values_list("price", flat=True))


@pytest.fixture
def reprice() -> Any:
    return registry.get("reprice-tickets")


@pytest.fixture
def issue() -> Any:
    return registry.get("issue-tickets")


def test_both_need_the_right_to_change_tickets(reprice: Any, issue: Any) -> None:
    assert {reprice.permission, issue.permission} == {"ticketing.change_ticket"}


# -- reprice-tickets


def test_repricing_takes_every_ticket_by_itself(reprice: Any, tickets: list[Ticket]) -> None:
    assert sorted(reprice.items({"cents": 1})) == [ticket.pk for ticket in tickets]


@pytest.mark.parametrize("as_text", [False, True])
def test_repricing_changes_the_price_of_one_ticket_and_nothing_else(
    reprice: Any, tickets: list[Ticket], item_context: Contexts, as_text: bool
) -> None:
    before = Ticket.objects.filter(pk=tickets[1].pk).values().get()
    item = str(tickets[1].pk) if as_text else tickets[1].pk
    assert reprice.process(item, {"cents": 250}, item_context()) is None
    assert prices() == [1_000, 2_250, 3_000]
    assert Ticket.objects.filter(pk=tickets[1].pk).values().get() == before | {"price": 2_250}


def test_repricing_is_one_statement(
    reprice: Any, tickets: list[Ticket], item_context: Contexts, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(1):
        reprice.process(tickets[0].pk, {"cents": -10}, item_context())


def test_a_price_may_fall_to_nothing_and_no_further(
    reprice: Any, tickets: list[Ticket], item_context: Contexts
) -> None:
    reprice.process(tickets[0].pk, {"cents": -1_000}, item_context())
    with pytest.raises(ValueError, match="would become negative"):
        reprice.process(tickets[0].pk, {"cents": -1}, item_context())
    assert prices() == [0, 2_000, 3_000]


@pytest.mark.parametrize("number", [0, -1, 2**31, 2**63, 10**40])
def test_a_ticket_that_is_not_there_is_skipped(
    reprice: Any, tickets: list[Ticket], item_context: Contexts, number: int
) -> None:
    with pytest.raises(ItemSkipped, match="no such ticket"):
        reprice.process(number, {"cents": 1}, item_context())
    assert prices() == [1_000, 2_000, 3_000]


@pytest.mark.parametrize(
    "item", ["AUR-1", "", "1.0", "\N{FULLWIDTH DIGIT ONE}", "9" * 5_000, 1.9, True, None, [1], {"pk": 1}]
)
def test_what_is_no_ticket_number_fails_in_words(
    reprice: Any, tickets: list[Ticket], item_context: Contexts, item: Any
) -> None:
    with pytest.raises(ValueError, match="is no ticket number"):
        reprice.process(item, {"cents": 1}, item_context())
    assert prices() == [1_000, 2_000, 3_000]


def test_cents_are_a_whole_number_within_bounds(reprice: Any) -> None:
    assert reprice.clean_params({"cents": "-250"}) == {"cents": -250}
    for cents in ("", "1.5", "ten", 10**12):
        with pytest.raises(InvalidParams):
            reprice.clean_params({"cents": cents})


# -- issue-tickets


def test_issuing_runs_outside_a_transaction(issue: Any) -> None:
    assert issue.transactional is False


def test_issuing_takes_the_tickets_without_an_image(issue: Any, tickets: list[Ticket], item_context: Contexts) -> None:
    issue.process(tickets[0].pk, {}, item_context())
    assert sorted(issue.items({})) == [tickets[1].pk, tickets[2].pk]


def test_issuing_writes_an_image_named_after_job_and_ticket(
    issue: Any, tickets: list[Ticket], item_context: Contexts
) -> None:
    job_id = uuid.uuid4()
    result = issue.process(tickets[0].pk, {}, item_context(job_id))
    assert result == {
        "file": f"tickets/{job_id}/AUR-1.png",
        "code": "AUR-1",
        "address": f"/tickets/images/{job_id}/0/",
    }
    with default_storage.open(result["file"]) as file, Image.open(file) as image:
        assert (image.format, image.size) == ("PNG", images.SIZE)
    tickets[0].refresh_from_db()
    assert tickets[0].issued_at is not None
    assert Ticket.objects.filter(issued_at=None).count() == 2


def test_issuing_again_writes_the_same_file(issue: Any, tickets: list[Ticket], item_context: Contexts) -> None:
    job_id = uuid.uuid4()
    first = issue.process(tickets[0].pk, {}, item_context(job_id))
    # What a worker killed while it wrote leaves behind.
    default_storage.delete(first["file"])
    default_storage.save(first["file"], ContentFile(b"\x89PNG"))
    again = issue.process(tickets[0].pk, {}, item_context(job_id, attempt=2))
    assert again == first
    assert default_storage.listdir(f"tickets/{job_id}")[1] == ["AUR-1.png"]
    with default_storage.open(again["file"]) as file:
        assert file.read() == images.png(Ticket.objects.get(pk=tickets[0].pk))


def test_a_job_leaves_the_images_of_another_alone(issue: Any, tickets: list[Ticket], item_context: Contexts) -> None:
    results = [issue.process(tickets[0].pk, {}, item_context()) for _ in range(2)]
    assert len({result["file"] for result in results}) == 2
    assert all(default_storage.exists(result["file"]) for result in results)


def test_issuing_a_ticket_that_is_not_there_is_skipped(
    issue: Any, tickets: list[Ticket], item_context: Contexts
) -> None:
    with pytest.raises(ItemSkipped, match="no such ticket"):
        issue.process(0, {}, item_context())


@pytest.mark.parametrize("code", ["../x", "a/b", "", "x y", "abc", "A\n"])
def test_the_database_takes_no_code_that_is_no_plain_name(tickets: list[Ticket], code: str) -> None:
    with pytest.raises(IntegrityError, match="ticketing_code_is_plain"), transaction.atomic():
        Ticket.objects.filter(pk=tickets[0].pk).update(code=code)


# -- the image


def modules(image: Image.Image, count: int) -> list[list[int]]:
    """The QR code in an image, read back module by module from its pixels: 1 is dark."""
    with_zone = count + 2 * images.QUIET_ZONE
    scale = images.QR_SIDE // with_zone
    left, top = images.QR_AT
    at = [scale * (images.QUIET_ZONE + n) + scale // 2 for n in range(count)]
    return [[int(image.getpixel((left + x, top + y)) < 128) for x in at] for y in at]


@pytest.mark.parametrize("code", ["AUR-1", "X" * 40])
def test_the_image_holds_the_qr_code_of_the_ticket(tickets: list[Ticket], code: str) -> None:
    tickets[0].code = code
    wanted = segno.make(code, error="m", micro=False).matrix
    with Image.open(io.BytesIO(images.png(tickets[0]))) as image:
        assert modules(image, len(wanted)) == [list(row) for row in wanted]


def test_the_qr_code_has_its_quiet_zone() -> None:
    code = images.qr_code("AUR-1")
    zone = images.QUIET_ZONE * (code.width // (21 + 2 * images.QUIET_ZONE))
    assert code.crop((0, 0, code.width, zone)).getextrema() == (255, 255)
    assert code.crop((0, 0, zone, code.height)).getextrema() == (255, 255)


def test_event_and_seat_are_part_of_the_picture(tickets: list[Ticket]) -> None:
    before = images.png(tickets[0])
    tickets[0].seat = "9-9"
    other_seat = images.png(tickets[0])
    tickets[0].event.name = "Blue Hour Trio"
    assert len({before, other_seat, images.png(tickets[0])}) == 3


@pytest.mark.parametrize("name", ["W" * 120, "two\nlines", "漢字 😀", "\u202eabc", ""])
def test_any_name_can_be_drawn_and_stays_inside(tickets: list[Ticket], name: str) -> None:
    tickets[0].event.name = name
    with Image.open(io.BytesIO(images.png(tickets[0]))) as image:
        assert image.size == images.SIZE
        assert image.crop((images.SIZE[0] - 20, 0, *images.SIZE)).getextrema() == (255, 255)
