"""Every word of a page can be translated: in a language made for this test, each is marked, but for people's own."""

from __future__ import annotations

import re
import shutil
from contextlib import ExitStack, contextmanager
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.forms.utils import pretty_name
from django.test import Client
from django.utils import translation

from bulkops import inputs, registry
from bulkops.models import ApiToken, FailureGroup, Job, Outcome
from bulkops.templatetags.bulkops import short
from bulkops.webhooks.models import DeliveryAttempt, Endpoint, Event
from tests.screenshots.scenes import SCENES
from tests.screenshots.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.django_db

OPEN, CLOSE = "⟦", "⟧"
SPOKEN = ("aria-label", "title", "placeholder", "alt", "data-label")
SILENT = {"script", "style", "code", "pre", "time", "textarea"}
"""What holds no words, or somebody's own: keys, results, moments."""
OURS = [name for name, scene in SCENES.items() if scene.ours and not name.startswith("problem")]
"""Without the pages about the API's problems, which say in English what the API says in English."""
DATA = {"value", "files", "status"}
IN_ENGLISH = {"card", "wall-cards", "spoken"}
"""What the card says is `progress.py`'s, the same words in the API and the shell."""
FIGURES = re.compile(
    r"https?://\S+|\d{4}-\d\d-\d\d[ T\d:]*|[0-9a-f]{8}-[0-9a-f-]{27}|\b\d[\d,.]* ?(?:s|min|h|d|B|KB|MB|bytes)\b|UTC"
)


class Words(HTMLParser):
    """Collects what a reader sees or hears."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._skipped = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        classes = {*(given.get("class") or "").split(), (given.get("id") or "").partition("-")[0]}
        skipped = tag in SILENT or (DATA | IN_ENGLISH) & classes
        if tag not in {"meta", "link", "input", "img", "br"} and (self._skipped or skipped):
            self._skipped += 1
        if not self._skipped:
            self.found += [text for name, text in given.items() if name in SPOKEN and text and tag != "time"]

    def handle_endtag(self, tag: str) -> None:
        self._skipped = max(0, self._skipped - 1)

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.found.append(data)


@contextmanager
def marked() -> Iterator[None]:
    """Every message is put between brackets, with whatever is filled into it."""

    def one(message: str, *_: Any) -> str:
        return f"{OPEN}{message}{CLOSE}" if message else ""

    def many(singular: str, plural: str, number: int) -> str:
        return one(singular if number == 1 else plural)

    functions = {"gettext": one, "ngettext": many, "pgettext": lambda _, message: one(message)}
    with ExitStack() as stack:
        for name, function in functions.items():
            stack.enter_context(mock.patch.object(translation._trans, name, function, create=True))
        yield


def unmarked(page: str, own: list[str]) -> list[str]:
    """Words outside all brackets that are nobody's own."""
    words = Words()
    words.feed(page)
    text = "\n".join(words.found)
    while (shorter := re.sub(f"{OPEN}[^{OPEN}{CLOSE}]*{CLOSE}", "", text)) != text:
        text = shorter
    for one in sorted(own, key=len, reverse=True):
        text = text.replace(one, "")
    text = FIGURES.sub("", text)
    return [line.strip() for line in text.splitlines() if re.search(r"[^\W\d_]{2}", line)]


def own_words(stage: Stage) -> list[str]:
    """What authors of operations, users and programs wrote."""
    own = ["bulkops", "cents", "reason", "laptop", *inputs.ENCODINGS.values(), *inputs.FORMATS.values()]
    for operation in registry.every():
        own += [operation.title, operation.description]
        fields = operation.Params().fields.values() if operation.Params else ()
        own += [pretty_name(name) for name in (operation.Params.base_fields if operation.Params else ())]
        own += [str(text) for field in fields for text in (field.label, field.help_text) if text]
        own += [str(choice) for field in fields for _, choice in getattr(field, "choices", ())]
    for job in Job.objects.select_related("owner"):
        own += [
            job.name,
            job.input_name,
            job.error,
            job.cancel_reason,
            job.schedule,
            job.message,
            *job.error.split("\n"),
        ]
        own += [job.owner.get_username(), job.operation, *job.tags, *map(str, job.params.values())]
    for message, result in Outcome.objects.values_list("message", "result"):
        own += [message, short(result)]
    own += DeliveryAttempt.objects.values_list("error", flat=True)
    own += Endpoint.objects.values_list("description", flat=True)
    own += [*Event.values, *map(str, Event.labels), "Standard Webhooks"]
    own += FailureGroup.objects.values_list("words", flat=True)
    own += get_user_model().objects.values_list(get_user_model().USERNAME_FIELD, flat=True)
    own += ApiToken.objects.values_list("name", flat=True)
    return [one for one in own if one]


@pytest.mark.parametrize("name", OURS)
def test_every_word_of_a_page_goes_through_gettext(name: str, transactional_db: None) -> None:
    scene, stage = SCENES[name], Stage()
    client = Client(raise_request_exception=False)
    try:
        if scene.who:
            operator = scene.who == "operator"
            client.force_login(stage.person("operator", superuser=True) if operator else stage.owner)
        address = scene.arrange(stage)
        own = ["bulkops"] if scene.status == 503 else own_words(stage)
        with marked():
            page = client.get(address, headers={"Accept": "text/html"}).content.decode()
    finally:
        stage.close()
    assert unmarked(page, own) == []


def test_a_word_that_is_not_marked_is_found() -> None:
    assert unmarked(f"<p>{OPEN}Seen by {OPEN}one{CLOSE} and{CLOSE} all</p><code>x</code>", []) == ["all"]
    assert unmarked("<p>12 min 3 s</p><input placeholder='Type here'>", []) == ["Type here"]


@pytest.mark.skipif(shutil.which("xgettext") is None, reason="makemessages needs GNU gettext")
def test_the_messages_can_be_collected(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("bulkops", "templates"):
        shutil.copytree(settings.BASE_DIR / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    settings.LOCALE_PATHS = [str(tmp_path / "bulkops" / "locale")]
    monkeypatch.chdir(tmp_path)
    call_command("makemessages", locale=["de"], verbosity=0)
    found = (tmp_path / "bulkops/locale/de/LC_MESSAGES/django.po").read_text()
    for message in ("Paste the items", "Cancel this job", "completed with errors", "Retry %(n)s failed items"):
        assert f'"{message}"' in found
