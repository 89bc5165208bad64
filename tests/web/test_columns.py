"""On the page: how an input is read is told, and what was not found out is asked."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile

from bulkops import manifests
from bulkops.models import Job, Manifest
from bulkops.web import uploads
from tests.web.test_submitting import NOTE, ROWS, hidden

if TYPE_CHECKING:
    from django.test import Client

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("alive")]

EXPORT = "Nummer;Bemerkung;Straße\n7;Zürich;Weg 1\n8;Köln;Weg 2\n".encode("cp1252")


def export(content: bytes = EXPORT, name: str = "export.csv") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content, content_type="text/csv")


def text_of(response: Any) -> str:
    return unescape(response.content.decode())


def options(response: Any, field: str) -> list[str]:
    """The choices of the select that asks for the field's column."""
    found = re.search(rf'<select name="column:{field}".*?</select>', text_of(response), re.DOTALL)
    return re.findall(r'<option value="([^"]*)"', found.group()) if found else []


def stored() -> list[Any]:
    return manifests.decode(Manifest.objects.get().payload)


@pytest.mark.parametrize("action", ["preview", "start"])
def test_a_missing_column_is_asked_for_and_the_file_is_kept(as_owner: Client, action: str) -> None:
    asked = as_owner.post(ROWS, {"file": export(), "action": action})
    assert asked.status_code == 422
    assert "the header lacks 1 column: number (found: Nummer, Bemerkung, Straße)" in text_of(asked)
    assert options(asked, "number") == ["", "Nummer", "Bemerkung", "Straße"]
    assert options(asked, "note") == []
    as_owner.post(ROWS, hidden(asked) | {"column:number": "Nummer", "action": "start"})
    assert stored() == [
        {"number": "7", "Bemerkung": "Zürich", "Straße": "Weg 1"},
        {"number": "8", "Bemerkung": "Köln", "Straße": "Weg 2"},
    ]
    assert default_storage.listdir(uploads.FOLDER)[1] == []


def test_the_preview_tells_what_was_assumed(as_owner: Client) -> None:
    asked = as_owner.post(ROWS, {"file": export(), "action": "preview"})
    preview = text_of(as_owner.post(ROWS, hidden(asked) | {"column:number": "Nummer", "action": "preview"}))
    assert "Read as Windows-1252, separated by semicolons." in preview
    assert "The encoding is a guess: look whether all letters are right." in preview
    assert "Column “Nummer” is taken as number." in preview
    assert "Kept with the items, but not used: “Bemerkung”, “Straße”." in preview


def test_the_answer_goes_from_the_preview_to_the_start(as_owner: Client) -> None:
    asked = as_owner.post(ROWS, {"file": export(), "action": "preview"})
    preview = as_owner.post(ROWS, hidden(asked) | {"column:number": "Nummer", "action": "preview"})
    as_owner.post(ROWS, hidden(preview) | {"action": "start"})
    assert Job.objects.get().total == 2


def test_on_changing_it_every_column_can_be_chosen(as_owner: Client) -> None:
    asked = as_owner.post(ROWS, {"file": export(), "action": "preview"})
    preview = as_owner.post(ROWS, hidden(asked) | {"column:number": "Nummer", "action": "preview"})
    form = as_owner.post(ROWS, hidden(preview) | {"action": "edit"})
    assert form.status_code == 200
    assert '<option value="Nummer" selected>' in text_of(form)
    assert options(form, "note") == ["", "Nummer", "Bemerkung", "Straße"]
    answers = {"column:number": "Nummer", "column:note": "Bemerkung"}
    as_owner.post(ROWS, hidden(form) | answers | {"action": "start"})
    assert stored()[0] == {"number": "7", "note": "Zürich", "Straße": "Weg 1"}


def test_a_wrong_guess_can_be_put_right(as_owner: Client) -> None:
    content = "number;note\n1;Hódmezővásárhely\n".encode("cp1250")
    preview = as_owner.post(ROWS, {"file": export(content), "action": "preview"})
    assert "Hódmezõvásárhely" in text_of(preview)
    form = as_owner.post(ROWS, hidden(preview) | {"action": "edit"})
    preview = as_owner.post(ROWS, hidden(form) | {"input_encoding": "cp1250", "action": "preview"})
    assert "Hódmezővásárhely" in text_of(preview)
    assert "guess" not in text_of(preview)
    as_owner.post(ROWS, hidden(preview) | {"action": "start"})
    assert stored() == [{"number": "1", "note": "Hódmezővásárhely"}]


def test_one_column_chosen_for_two_fields_is_asked_again(as_owner: Client) -> None:
    asked = as_owner.post(ROWS, {"file": export(), "action": "preview"})
    answers = {"column:number": "Nummer", "column:note": "Nummer"}
    again = as_owner.post(ROWS, hidden(asked) | answers | {"action": "start"})
    assert again.status_code == 422
    assert "The same column was chosen for two fields." in text_of(again)
    assert "Straße" in options(again, "note")
    assert not Job.objects.exists()


def test_an_answer_left_out_is_asked_again_for_the_same_file(as_owner: Client) -> None:
    asked = as_owner.post(ROWS, {"file": export(), "action": "start"})
    again = as_owner.post(ROWS, hidden(asked) | {"column:number": "", "action": "start"})
    assert again.status_code == 422
    assert options(again, "number") == ["", "Nummer", "Bemerkung", "Straße"]
    assert hidden(again)["upload"] == hidden(asked)["upload"]


def test_an_answer_outlived_by_another_file_does_no_harm(as_owner: Client) -> None:
    asked = as_owner.post(ROWS, {"file": export(), "action": "start"})
    other = export(b"number,note\n5,x\n")
    as_owner.post(ROWS, hidden(asked) | {"column:number": "Nummer", "file": other, "action": "start"})
    assert stored() == [{"number": "5", "note": "x"}]


def test_columns_that_could_be_the_same_are_asked_about(as_owner: Client) -> None:
    asked = as_owner.post(ROWS, {"file": export(b"Number,NUMBER\n1,2\n"), "action": "preview"})
    assert "“Number” and “NUMBER” could both be number" in text_of(asked)
    assert options(asked, "number") == ["", "Number", "NUMBER"]
    as_owner.post(ROWS, hidden(asked) | {"column:number": "NUMBER", "action": "start"})
    assert stored() == [{"Number": "1", "number": "2"}]


def test_pasted_cells_are_asked_about_too(as_owner: Client) -> None:
    text = "Nummer\tnote\n7\tx\n"
    asked = as_owner.post(ROWS, {"items": text, "action": "preview"})
    assert options(asked, "number") == ["", "Nummer", "note"]
    preview = as_owner.post(ROWS, hidden(asked) | {"items": text, "column:number": "Nummer", "action": "preview"})
    assert "Read as CSV, separated by tabs." in text_of(preview)
    as_owner.post(ROWS, hidden(preview) | {"action": "start"})
    assert stored() == [{"number": "7", "note": "x"}]


def test_the_format_chosen_wins_over_what_text_looks_like(as_owner: Client) -> None:
    preview = as_owner.post(NOTE, {"items": "[1]\n[2]", "action": "preview"})
    assert "Read as JSON Lines." in text_of(preview)
    preview = as_owner.post(NOTE, {"items": "[1]\n[2]", "input_format": "txt", "action": "preview"})
    as_owner.post(NOTE, hidden(preview) | {"action": "start"})
    assert stored() == ["[1]", "[2]"]


def test_a_column_is_no_way_to_set_anything_but_a_field(as_owner: Client) -> None:
    as_owner.post(ROWS, {"items": "number,x\n1,2\n", "column:nonsense": "x", "action": "start"})
    assert stored() == [{"number": "1", "x": "2"}]


def test_a_columns_name_cannot_break_out_of_the_page(as_owner: Client) -> None:
    content = b'"<script>alert(1)</script>","""><b>"\n1,2\n'
    asked = as_owner.post(ROWS, {"file": export(content), "action": "preview"})
    assert "<script>alert" not in asked.content.decode()
    assert '"><b>' not in asked.content.decode()
