"""The encoding of a file is told from its bytes, the person is told what was assumed, and nothing is spoilt unseen."""

from __future__ import annotations

import codecs
import csv
import io
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkops import inputs
from bulkops.exceptions import InputError
from bulkops.inputs import encodings
from bulkops.inputs.limits import file_limits

GERMAN = "Nachname;Straße;Ort\nMüller;Hauptstraße 5;Köln\nWeiß;Bäckergasse;München\n"
NAMES = "id;name\n1;Zoë\n2;Jose\n"
PRICES = "item;price\nBook;5 €\nPen;1 €\n"
FRENCH = "Nom;Prénom;Ville\nLefèvre;Hélène;Besançon\nGarçon;René;Orléans\nDupré;Noël;Nîmes\n"
SPANISH = "Nombre;Dirección\nMuñoz;Calle Peñón nº 5, España\nPérez;Avenida Constitución\n"
POLISH = "Imię;Nazwisko;Miasto\nPaweł;Wójcik;Łódź\nMałgorzata;Zając;Wrocław\nGrażyna;Kołodziej;Kraków\n"
CZECH = "Jméno;Příjmení;Město\nJiří;Novák;Plzeň\nŽaneta;Dvořáková;České Budějovice\nMiloš;Šťastný;Děčín\n"
RUSSIAN = "имя;город\nИван;Москва\nОльга;Санкт-Петербург\nПётр;Нижний Новгород\n"
SHORT_RUSSIAN = "id;name\n1;Иван\n2;Ольга\n"
GREEK = "όνομα;πόλη\nΓιώργος;Αθήνα\nΕλένη;Θεσσαλονίκη\nΝίκος;Πάτρα\n"
JAPANESE = "名前;都市\n田中太郎;東京\n鈴木花子;大阪\nさくら;横浜\n"
CHINESE = "姓名;城市\n王小明;北京\n李华;上海\n张伟;广州\n"
KOREAN = "이름;도시\n김철수;서울\n이영희;부산\n"


def found(content: bytes, **options: Any) -> encodings.Encoding:
    return encodings.detect(io.BytesIO(content), file_limits(), **options)


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        (GERMAN, "cp1252"),
        (NAMES, "cp1252"),
        (PRICES, "cp1252"),
        (FRENCH, "cp1252"),
        (SPANISH, "cp1252"),
        ("note\nit’s fine – “really”\n", "cp1252"),
        (POLISH, "cp1250"),
        (CZECH, "cp1250"),
        (RUSSIAN, "cp1251"),
        (SHORT_RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
        (GREEK, "cp1253"),
        (JAPANESE, "cp932"),
        (JAPANESE, "euc_jp"),
        (CHINESE, "gb18030"),
        (KOREAN, "cp949"),
    ],
)
@pytest.mark.parametrize("times", [1, 50])
def test_an_old_encoding_is_recognised_and_told_as_a_guess(text: str, codec: str, times: int) -> None:
    answer = found((text * times).encode(codec))
    assert (answer.codec, answer.assumed) == (codec, True)


@pytest.mark.parametrize("codec", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", [GERMAN, RUSSIAN, CHINESE, "a,b\n1,2\n"])
def test_a_mark_at_the_beginning_decides(codec: str, text: str) -> None:
    answer = found(("\ufeff" + text).encode(codec))
    assert (answer.codec, answer.assumed) == (codec, False)
    items = inputs.read_file(io.BytesIO(("\ufeff" + text).encode(codec)), "a.txt")
    assert list(items) == text.splitlines()


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", [GERMAN, RUSSIAN, GREEK, JAPANESE, CHINESE, "a,b\r\n1,2\r\n", "abc"])
def test_utf_16_needs_no_mark(codec: str, text: str) -> None:
    assert found(text.encode(codec)).codec == codec


@pytest.mark.parametrize(
    "content", [b"a\x00", b"a\nb\x00\nc\x00\n", b"\x00\x00\x00\x00", b"id\n" + b"x\x00" * 3 + b"\n1\n2\n3\n4\n"]
)
def test_stray_zero_bytes_make_no_utf_16(content: bytes) -> None:
    assert found(content).codec == "utf-8"


def test_the_first_letter_beyond_ascii_may_come_late() -> None:
    head = b"name;town\n" + b"Smith;London\n" * 100_000
    content = head + "Müller;Köln\n".encode("cp1252")
    items = inputs.read_file(io.BytesIO(content), "a.csv")
    *_, last = items
    assert last == {"name": "Müller", "town": "Köln"}
    assert items.reading.encoding == encodings.Encoding("cp1252", assumed=True)


def test_a_late_broken_byte_in_utf_8_is_an_error_with_its_line() -> None:
    content = ("name\n" + "Zoë\n" * 50_000).encode() + b"Jos\xe9\n"
    with pytest.raises(InputError, match=r"Line 50002: this is not UTF-8 text\. Save the file as UTF-8"):
        list(inputs.read_file(io.BytesIO(content), "a.csv"))


def test_a_letter_cut_by_a_piece_is_whole() -> None:
    content = b"x" * (32 * 1024 - 1) + "ë\n".encode() * 3
    assert found(content) == encodings.Encoding("utf-8")


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_json_is_never_guessed(name: str) -> None:
    with pytest.raises(InputError, match="not UTF-8"):
        list(inputs.read_file(io.BytesIO('["Zoë"]'.encode("cp1252")), name))


def test_what_the_person_says_wins() -> None:
    choice = inputs.Choice(encoding="cp1250")
    content = "Név\nHódmezővásárhely\n".encode("cp1250")
    items = inputs.read_file(io.BytesIO(content), "a.csv", None, choice)
    assert list(items) == ["Hódmezővásárhely"]
    assert items.reading.sentences == ["Read as Windows-1250, separated by commas."]


def test_what_does_not_fit_the_encoding_said_is_an_error_with_its_line() -> None:
    with pytest.raises(InputError, match=r"Line 3: this is not Windows-1252 text\. Save"):
        list(inputs.read_file(io.BytesIO(b"a\r\nb\r\n\x81\r\n"), "a.csv", None, inputs.Choice(encoding="cp1252")))


def test_what_does_not_fit_the_guess_is_an_error_that_says_so() -> None:
    content = "".join(f"Zoë {number}\n" for number in range(4_000)).encode("cp1252") + b"\x81\x8d\n"
    with pytest.raises(InputError, match=r"Line 4001: this is not Windows-1252 text, which was assumed"):
        list(inputs.read_file(io.BytesIO(content), "a.csv"))


def test_a_stream_is_put_back_where_it_was() -> None:
    stream = io.BytesIO(b"skipped" + NAMES.encode("cp1252"))
    stream.seek(7)
    assert encodings.detect(stream, file_limits()).codec == "cp1252"
    assert stream.tell() == 7


@pytest.mark.slow
def test_looking_for_the_encoding_holds_little_in_memory() -> None:
    content = io.BytesIO(GERMAN.encode("cp1252") * 100_000)
    tracemalloc.start()
    try:
        encodings.detect(content, file_limits())
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_each_name_is_one_that_python_knows() -> None:
    assert all(codecs.lookup(codec) for codec in encodings.NAMES)


LATIN = st.characters(codec="cp1252", exclude_characters="\x00")
ANY = st.characters(exclude_characters="\x00\ufeff", exclude_categories=["Cs"])
# Without a mark, what tells UTF-16 is where its zero bytes stand: in alphabets of few letters they cannot be mistaken.
ALPHABETS = st.characters(exclude_characters="\x00", max_codepoint=0x5FF, exclude_categories=["Cs"])
WAYS = [
    ("utf-8", ANY),
    ("utf-8-sig", ANY),
    ("utf-16", ANY),
    ("utf-32", ANY),
    ("utf-16-le", ALPHABETS),
    ("utf-16-be", ALPHABETS),
]


@st.composite
def tables(draw: Any) -> tuple[list[list[str]], str, str]:
    """Rows below two or more columns, a delimiter and an encoding."""
    codec, letters = draw(st.sampled_from(WAYS))
    columns = draw(st.integers(2, 5))
    row = st.lists(st.text(letters, max_size=12), min_size=columns, max_size=columns)
    rows = draw(st.lists(row.filter(lambda row: "".join(row).strip()), min_size=1, max_size=8))
    return rows, draw(st.sampled_from(",;\t|")), codec


@pytest.mark.slow
@given(tables())
@settings(max_examples=300)
def test_what_the_csv_writer_writes_is_read_back(table: tuple[list[list[str]], str, str]) -> None:
    rows, delimiter, codec = table
    names = [f"column {number}" for number in range(len(rows[0]))]
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows([names, *rows])
    items = inputs.read_file(io.BytesIO(out.getvalue().encode(codec)), "a.csv")
    assert [list(item.values()) for item in items] == rows
    assert items.reading.header == names
    assert items.reading.delimiter == delimiter


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.text(LATIN, max_size=12), st.text(LATIN, max_size=12)).filter(lambda r: "".join(r).strip()))
)
def test_the_old_western_encoding_is_read_back_when_it_is_said(rows: list[tuple[str, str]]) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=";").writerows([("key", "value"), *rows, ("end", "end")])
    stream = io.BytesIO(out.getvalue().encode("cp1252"))
    items = inputs.read_file(stream, "a.csv", None, inputs.Choice(encoding="cp1252"))
    assert [tuple(item.values()) for item in items] == [*rows, ("end", "end")]
