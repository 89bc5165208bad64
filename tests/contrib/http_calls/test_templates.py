"""A placeholder is looked up and never evaluated, and a cell stays one value wherever it is put."""

from __future__ import annotations

import json

import pytest

from bulkops.contrib.http_calls.templates import AddressTemplate, BodyTemplate, RowUnfit, TemplateError, fill, parse
from bulkops.outbound import NotSendable


def text(template, **row):
    return fill(parse(template), row, lambda part: f"<{part.name}{' basic' * part.basic}>")


def body(template, **row):
    return json.loads(BodyTemplate(template).fill(row, lambda part: f"<{part.name}>"))


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("plain", "plain"),
        ("", ""),
        ("a{x}b{ x }", "a1b1"),
        ("{{x}} {{{x}}}", "{x} {1}"),
        ("{first name}", "Ann"),
        ("{n} {n:text} {yes} {yes:text}", "2 2 true true"),
        ("{secret:shop} {basic: shop}", "<shop> <shop basic>"),
        ("{__class__}", "only a column"),
        ("{x.__class__} {x[0]} {x!r}", "a b c"),
    ],
)
def test_placeholders_are_columns_and_secrets(template, filled):
    odd = {"__class__": "only a column", "x.__class__": "a", "x[0]": "b", "x!r": "c", "first name": "Ann"}
    assert text(template, x="1", n=2, yes=True, **odd) == filled


@pytest.mark.parametrize("template", ["{", "}", "a}b", "{a", "{}", "{ }", "{a{b}}", "{x:int}", "{x:}", "{secret:}"])
def test_what_is_no_placeholder_is_refused_at_once(template):
    with pytest.raises(TemplateError):
        parse(template)


@pytest.mark.parametrize("template", ["{y}", "{X}", "{__class__}", "{x.__class__}", "{x[0]}", "{0}"])
def test_a_column_that_the_row_lacks_is_named(template):
    with pytest.raises(RowUnfit, match="The row has no column"):
        text(template, x="1")


@pytest.mark.parametrize("cell", [None, [1], {"a": 1}])
def test_a_text_takes_no_nothing_and_no_structure(cell):
    with pytest.raises(RowUnfit):
        text("{x}", x=cell)


def test_a_string_that_is_one_placeholder_becomes_the_cells_value():
    template = '{"a": "{t}", "b": "{n:number}", "c": "{b:boolean}", "d": "no {n}", "e": ["{j}"], "f": 1, "{{g}}": null}'
    assert body(template, t="12", n="12.5", b="yes", j={"deep": [1]}) == {
        "a": "12",
        "b": 12.5,
        "c": True,
        "d": "no 12.5",
        "e": [{"deep": [1]}],
        "f": 1,
        "{g}": None,
    }


@pytest.mark.parametrize("cell", ['","admin":true,"x":"', "\\", '"', "\n", "\x00", "{secret:shop}", "{{", "\u2028"])
def test_a_cell_never_adds_to_the_json(cell):
    assert body('{"a": "{x}", "b": "<{x}>"}', x=cell) == {"a": cell, "b": f"<{cell}>"}


@pytest.mark.parametrize(
    ("cell", "number"), [("0", 0), ("-7", -7), (" 12 ", 12), ("0.1", 0.1), ("1e3", 1000.0), (5, 5), (2.5, 2.5)]
)
def test_numbers_are_sent_as_numbers(cell, number):
    sent = body('{"a": "{x:number}"}', x=cell)["a"]
    assert (sent, type(sent)) == (number, type(number))


@pytest.mark.parametrize(
    "cell",
    ["", "1,5", "1_000", "0x1", "NaN", "Infinity", "1e999", "٣", "007", "0.1234567890123456789", True, None, "9" * 500],
)
def test_what_json_cannot_hold_exactly_is_no_number(cell):
    with pytest.raises(RowUnfit, match="number"):
        body('{"a": "{x:number}"}', x=cell)


@pytest.mark.parametrize("cell", ["", "maybe", 2, None])
def test_what_is_neither_true_nor_false_is_no_boolean(cell):
    with pytest.raises(RowUnfit, match="neither true nor false"):
        body('{"a": "{x:boolean}"}', x=cell)


@pytest.mark.parametrize(
    "template", ["{", '{"a": {x}}', '{"{x}": 1}', '{"a": "{"}', '{"a": NaN}', "[" * 100_000, '{"a": "{x}" * 201}']
)
def test_a_body_that_is_no_json_or_names_fields_by_cells_is_refused(template):
    with pytest.raises(TemplateError):
        BodyTemplate(template)


def test_a_body_cannot_grow_without_end():
    with pytest.raises(TemplateError, match="At most 200"):
        BodyTemplate(json.dumps(["{x}"] * 201))
    with pytest.raises(RowUnfit, match="larger than"):
        body(json.dumps(["{x}"] * 200), x="y" * 10_000)


@pytest.mark.parametrize(
    ("template", "cell", "address"),
    [
        ("https://a.example/o/{x}", "7", "https://a.example/o/7"),
        (
            "https://a.example/o/{x}?q={x}",
            "ä b&c=d+#",
            "https://a.example/o/%C3%A4%20b%26c%3Dd%2B%23?q=%C3%A4%20b%26c%3Dd%2B%23",
        ),
        ("https://a.example/?q={x}", "../..//x?y=1&z", "https://a.example/?q=..%2F..%2F%2Fx%3Fy%3D1%26z"),
        ("https://a.example/?q={x}", "a\r\nHost: b", "https://a.example/?q=a%0D%0AHost%3A%20b"),
        ("https://a.example/?q={x}", "", "https://a.example/?q="),
        ("https://a.example?q={x}", "1", "https://a.example?q=1"),
        ("https://a.example/{x}.json", "..", "https://a.example/...json"),
        ("https://a.example/ä b/{{x}}/%20", "1", "https://a.example/%C3%A4%20b/%7Bx%7D/%20"),
        ("https://a.example/{x}", "{secret:shop}", "https://a.example/%7Bsecret%3Ashop%7D"),
    ],
)
def test_a_cell_is_one_component_of_an_address(template, cell, address):
    assert AddressTemplate(template).fill({"x": cell}) == address


@pytest.mark.parametrize(
    "cell",
    [
        "..",
        ".",
        "%2e%2e",
        "%2E.",
        "%252e%252e",
        "\uff0e\uff0e",
        "\u2024\u2024",
        "a/b",
        "a\\b",
        "a%2fb",
        "\uff0fa",
        "",
        " ",
        "a\r\nb",
        "\x00",
        "%00",
        "../../admin",
        "x" * 9_000,
    ],
)
def test_a_cell_that_could_change_a_path_is_refused_in_words(cell):
    with pytest.raises(RowUnfit):
        AddressTemplate("https://a.example/o/{x}/z").fill({"x": cell})


def test_two_cells_make_no_step_up_together():
    with pytest.raises(RowUnfit, match="leads elsewhere"):
        AddressTemplate("https://a.example/o/{x}{y}/z").fill({"x": ".", "y": "."})


@pytest.mark.parametrize(
    "template",
    [
        "{x}",
        "{x}://a.example/",
        "https://{x}/",
        "https://{x}.example/",
        "https://a.example{x}/",
        "https://a.example:{x}/",
        "https://a.example@{x}/",
        "https://{x}@a.example/",
        "https://{{x}}/",
        "https://a.example/{secret:shop}",
        "https://a.example/?k={secret:shop}",
        "https://a.example/?k={basic:shop}",
        "https://a.example/#{x}",
        "https://a.example\\{x}/",
        "https://a.example/%{x}",
        "https://a.example/%2{x}",
        "https://a.example/../{x}",
        "https://a.example/%2e%2e/{x}",
        "https://a.example/\r\nX: {x}",
        "file:///etc/{x}",
        "//a.example/{x}",
        "",
    ],
)
def test_a_template_that_could_lead_elsewhere_is_refused_at_once(template):
    with pytest.raises((TemplateError, NotSendable, RowUnfit)):
        AddressTemplate(template)
