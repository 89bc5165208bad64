"""A table's columns are taken as the fields they are meant as, in doubt not at all, and what nobody knows is kept."""

from __future__ import annotations

import io
from typing import Any

import pytest

from bulkops import inputs
from bulkops.exceptions import ColumnsMissing, InputError
from bulkops.inputs.columns import folded
from tests.inputs.operations import Plain, Seating


def read(header: str, row: str = "", operation: Any = Seating, **choice: Any) -> tuple[dict[str, str], inputs.Reading]:
    row = row or ",".join(str(number) for number in range(1, header.count(",") + 2))
    items = inputs.read_file(io.BytesIO(f"{header}\n{row}\n".encode()), "a.csv", operation(), inputs.Choice(**choice))
    (item,) = items
    return item, items.reading


@pytest.mark.parametrize(
    "header",
    [
        "ticket,seat_row",
        "Ticket,SEAT_ROW",
        "TICKET,Seat row",
        "ticket number,seat-row",
        "Ticket-Number,Seat Row",
        "Tícket,seatrow",
        " ticket ,\u200fseat row",
        "Ticket\u00a0Number,seat\u00a0\u00a0row",
    ],
)
def test_case_spaces_accents_and_labels_do_not_matter(header: str) -> None:
    item, reading = read(header)
    assert item == {"ticket": "1", "seat_row": "2"}
    assert reading.unused == []


def test_an_optional_field_is_found_too() -> None:
    assert read("ticket,seat_row,GROSSE")[0] == {"ticket": "1", "seat_row": "2", "note": "3"}


def test_what_a_column_is_taken_as_is_told() -> None:
    _, reading = read("Ticket Number,seat_row,Price,Hall")
    assert reading.columns == {"Ticket Number": "ticket"}
    assert reading.unused == ["Price", "Hall"]
    assert reading.sentences == [
        "Read as UTF-8, separated by commas.",
        "Column “Ticket Number” is taken as ticket.",
        "Kept with the items, but not used: “Price”, “Hall”.",
    ]


def test_columns_that_nobody_knows_stay_with_the_item_under_their_own_names() -> None:
    assert read("Price,ticket,Seat Row")[0] == {"Price": "1", "ticket": "2", "seat_row": "3"}


def test_a_name_to_the_letter_wins_over_one_that_is_alike() -> None:
    item, reading = read("Ticket,ticket,seat_row")
    assert item == {"Ticket": "1", "ticket": "2", "seat_row": "3"}
    assert reading.unused == ["Ticket"]


@pytest.mark.parametrize("header", ["Ticket,TICKET,seat_row", "Ticket,Ticket number,seat_row"])
def test_two_columns_that_could_be_the_same_field_are_refused(header: str) -> None:
    first, second = header.split(",")[:2]
    with pytest.raises(InputError, match=f"Line 1: “{first}” and “{second}” could both be ticket; rename one"):
        read(header)


def test_what_the_person_says_wins_and_settles_doubt() -> None:
    item, reading = read("Ticket,TICKET,seat_row", columns={"TICKET": "ticket"})
    assert item == {"Ticket": "1", "ticket": "2", "seat_row": "3"}
    assert reading.columns == {"TICKET": "ticket"}


def test_a_column_that_was_passed_over_keeps_its_values() -> None:
    item, reading = read("ticket,No,seat_row", columns={"No": "ticket"})
    assert item == {"ticket (not used)": "1", "ticket": "2", "seat_row": "3"}
    assert reading.unused == ["ticket"]


def test_two_columns_may_be_exchanged() -> None:
    item, _ = read("ticket,seat_row", columns={"ticket": "seat_row", "seat_row": "ticket"})
    assert item == {"seat_row": "1", "ticket": "2"}


def test_a_column_is_named_as_loosely_as_it_is_found() -> None:
    assert read("Nº billet,seat_row", columns={"nº BILLET": "ticket"})[0] == {"ticket": "1", "seat_row": "2"}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"Number": "ticket"}, "There is no column “Number” (found: No, seat_row)."),
        ({"No": "tikcet"}, "The items have no field “tikcet”; their fields: ticket, seat_row, note."),
        ({"No": "ticket", "seat_row": "ticket"}, "Two columns are said to be ticket."),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(columns: dict[str, str], words: str) -> None:
    with pytest.raises(InputError) as refusal:
        read("No,seat_row", columns=columns)
    assert refusal.value.message == words


def test_a_form_that_outlived_its_file_is_borne() -> None:
    assert read("ticket,seat_row", columns={"No": "ticket"}, lenient=True)[0] == {"ticket": "1", "seat_row": "2"}


def test_columns_are_not_taken_as_fields_where_there_are_none() -> None:
    item, reading = read("Ticket No,b", operation=Plain)
    assert item == {"Ticket No": "1", "b": "2"}
    assert (reading.columns, reading.unused) == ({}, [])
    with pytest.raises(InputError, match="no fields that a column could be taken as"):
        read("Ticket No,b", operation=Plain, columns={"b": "ticket"})


def test_missing_columns_are_named_with_those_there_are() -> None:
    with pytest.raises(ColumnsMissing) as refusal:
        read("Nummer,Reihe,note")
    assert refusal.value.missing == ["ticket", "seat_row"]
    assert refusal.value.columns == ["Nummer", "Reihe", "note"]
    assert refusal.value.message == (
        "Line 1: the header lacks 2 columns: ticket, seat_row (found: Nummer, Reihe, note)."
    )


def test_names_without_letters_are_never_alike() -> None:
    assert folded("- _") == ""
    with pytest.raises(ColumnsMissing):
        read("-,__")
