"""No part of a page takes htmx's attributes from what encloses it: another project's htmx may hand them down."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from bulkops.states import JobState

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from bulkops.models import Job

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("alive")]

ASKS = {"hx-get", "hx-post"}
NOT_INHERITED = ASKS | {"hx-trigger", "hx-preserve", "hx-swap-oob", "hx-disinherit"}
VOID = {"meta", "link", "input", "img", "br", "hr", "wbr", "col"}


class Inherited(HTMLParser):
    """Collects what an element that asks would take from another."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[tuple[str, str]] = set()
        self.asking = 0
        self._open: list[tuple[str, set[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name for name, _ in attrs if name.startswith("hx-")}
        if given & ASKS:
            self.asking += 1
            handed = {name for _, names in self._open for name in names}
            self.found |= {(dict(attrs).get("id") or tag, name) for name in handed - given}
        if tag not in VOID:
            self._open.append((tag, set() if "hx-disinherit" in given else given - NOT_INHERITED))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass


def inherited(page: Any) -> set[tuple[str, str]]:
    found = Inherited()
    found.feed(page.content.decode())
    assert found.asking
    return found.found


@pytest.mark.parametrize("path", ["/", "/jobs/", "/operations/deposit/", "{job}"])
def test_each_part_says_all_of_what_it_asks_for(as_owner: Client, put: Callable[..., Job], path: str) -> None:
    job = put(JobState.RUNNING, succeeded=1, failed=1)
    assert inherited(as_owner.get(path.format(job=job.get_absolute_url()))) == set()


def test_so_does_the_preview(as_owner: Client) -> None:
    page = as_owner.post("/operations/deposit/", {"amount": "5", "action": "preview", "items_text": "1\n2"})
    assert re.search(r'class="buttons|id="start"', page.content.decode())
    assert inherited(page) == set()
