"""Names in the storage lead nowhere else, and a file that is written again replaces itself alone."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from django.core.files.storage import default_storage

from bulkops import stored_files
from bulkops.file_types import WORDS, sniff
from tests.sample import pictures
from tests.stored import names_below

TRICKS = [
    "../../etc/passwd",
    "..\\..\\boot.ini",
    "/etc/passwd",
    "..",
    ".",
    "",
    "a/b/../c.png",
    "x\x00.png",
    "\u202egnp.exe",
]


LONG = ["ü" * 300 + ".png", "n" * 300, "short." + "e" * 300]


@pytest.mark.parametrize("name", [*TRICKS, *LONG, "a\nb.png", ".hidden"])
def test_a_safe_name_is_one_plain_part_of_bounded_length(name: str) -> None:
    safe = stored_files.safe_name(name)
    assert safe.isascii()
    assert not set(safe) & set("/\\\x00\n")
    assert safe.strip(".") == safe != ""
    assert len(safe) < 100


def test_safe_names_of_different_names_differ_and_those_of_one_name_do_not() -> None:
    names = ["a b.png", "a_b.png", "a/b.png", "ä.png", "ö.png", "a" * 100 + ".png", "a" * 101 + ".png"]
    assert len({stored_files.safe_name(name) for name in names}) == len(names)
    assert stored_files.safe_name("ä.png") == stored_files.safe_name("ä.png")


def test_a_shown_name_turns_no_line_and_ends_as_it_did() -> None:
    assert stored_files.shown_name("in\u202evoice\n.pdf") == "invoice.pdf"
    assert stored_files.shown_name("C:\\photos\\me.jpg") == "me.jpg"
    long = stored_files.shown_name("n" * 300 + ".jpg")
    assert (len(long), long[-4:]) == (stored_files.SHOWN_CHARS, ".jpg")


def test_a_file_written_again_replaces_itself() -> None:
    assert stored_files.replace("a/b.txt", b"one") == 3
    assert stored_files.replace("a/b.txt", io.BytesIO(b"other")) == 5
    assert list(names_below("a")) == ["a/b.txt"]
    assert default_storage.open("a/b.txt").read() == b"other"


def test_what_a_killed_worker_left_half_written_goes_with_the_next_try() -> None:
    stored_files.replace("a/b.txt", b"one")
    Path(default_storage.path("a/.part-b.txt-1234")).write_bytes(b"half")
    Path(default_storage.path("a/.part-c.txt-1234")).write_bytes(b"another's")
    stored_files.replace("a/b.txt", b"two")
    assert sorted(default_storage.listdir("a")[1]) == [".part-c.txt-1234", "b.txt"]


def test_a_folder_goes_with_all_that_is_in_it_and_nothing_else() -> None:
    for path in ("a/b/c.txt", "a/d.txt", "ab/e.txt"):
        stored_files.replace(path, b"x")
    stored_files.delete_folder("a")
    stored_files.delete_folder("a")
    assert not default_storage.exists("a")
    assert default_storage.exists("ab/e.txt")


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("image/png", pictures.png),
        ("image/jpeg", pictures.jpeg),
        ("image/gif", pictures.gif),
        ("image/webp", pictures.webp),
        ("image/bmp", pictures.bmp),
        ("application/pdf", pictures.pdf),
        ("video/mp4", pictures.video),
    ],
)
def test_the_type_is_told_by_real_content(kind: str, make) -> None:
    assert sniff(make()[:4096]) == kind


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        ("text/plain", b"hello"),
        ("text/plain", "naïve …".encode()),
        ("image/svg+xml", b"<?xml version='1.0'?><svg/>"),
        ("text/html", b"<!DOCTYPE html><html>"),
        ("text/xml", b"\xef\xbb\xbf<?xml version='1.0'?><a/>"),
        ("application/octet-stream", b""),
        ("application/octet-stream", b"\x00\x01"),
        ("application/octet-stream", b"\xff\xfe\xfa\xfb"),
        ("application/postscript", b"%!PS-Adobe-3.0 EPSF-3.0"),
    ],
)
def test_other_content_is_named_too(kind: str, head: bytes) -> None:
    assert sniff(head) == kind
    assert kind in WORDS
