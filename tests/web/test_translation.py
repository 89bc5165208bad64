"""Every word of a page can be translated: in a language made for this test, each is marked, but for people's own."""

from __future__ import annotations

import ast
import json
import re
import shutil
import struct
from contextlib import ExitStack, contextmanager
from html.parser import HTMLParser
from itertools import accumulate
from typing import TYPE_CHECKING, Any
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.forms.utils import pretty_name
from django.test import Client
from django.utils import translation
from django.utils.text import Truncator

from bulkops import inputs, registry, what_failed
from bulkops.models import ApiToken, Job, Outcome
from bulkops.states import JobState
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
OURS = [name for name, scene in SCENES.items() if scene.ours]
SOME = {"log-in", "home-history", "form-again", "preview-counted", "job-with-failures", "job-paused"}
"""Of each part of the product one; the others' tests are slow."""
DATA = {"value", "files", "status"}
COLLECTED = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy"}
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
        skipped = tag in SILENT or DATA & classes
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
    """Every message is put between brackets, but for what is filled into it."""

    def one(message: str, *_: Any) -> str:
        parts = re.split(r"(%\(\w+\)s)", message)
        return "".join(part if n % 2 else f"{OPEN}{part}{CLOSE}" for n, part in enumerate(parts) if part)

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
    words.feed(page.replace("<wbr>", ""))  # which divides no word
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
        own += [operation.title, operation.description, operation.effect]
        own += [operation.noun(number) for number in (1, 2) if operation.names_items]
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
    found = [what_failed.of(job) for job in Job.objects.all()]
    groups = [words for one in found for group in one.groups for words in (group.words, one.told(group))]
    with marked():  # which makes an ellipsis longer, and what is before it shorter
        cut = [re.sub(f"{OPEN}.*{CLOSE}", "", Truncator(words).chars(80)) for words in groups]
    own += groups + cut
    own += get_user_model().objects.values_list(get_user_model().USERNAME_FIELD, flat=True)
    own += ApiToken.objects.values_list("name", flat=True)
    return [one for one in own if one]


@pytest.fixture
def stage(transactional_db: None) -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


@pytest.mark.parametrize("name", [pytest.param(one, marks=() if one in SOME else pytest.mark.slow) for one in OURS])
def test_every_word_of_a_page_goes_through_gettext(name: str, transactional_db: None) -> None:
    scene, stage = SCENES[name], Stage()
    client = Client(raise_request_exception=False)
    try:
        if scene.who:
            operator = scene.who == "operator"
            client.force_login(stage.person("operator", superuser=True) if operator else stage.owner)
        address = scene.arrange(stage)
        own = ["bulkops"] if scene.status == 503 else own_words(stage)
        own += [typed[:100] for _, typed in parse_qsl(urlsplit(address).query)]
        with marked():
            page = client.get(address, headers={"Accept": "text/html"}).content.decode()
    finally:
        stage.close()
    assert unmarked(page, own) == []


def test_every_word_of_the_operators_dashboard_goes_through_gettext(stage: Stage) -> None:
    address = SCENES["admin-dashboard"].arrange(stage)
    client = Client()
    client.force_login(stage.person("operator", superuser=True))
    with marked():
        part = client.get(address, headers={"HX-Request": "true"})
    diagnosis = part.context["board"].diagnosis
    own = [*own_words(stage), *diagnosis.faults, *diagnosis.remarks, "default", "here"]
    assert "Worker clusters" in part.content.decode()
    assert unmarked(part.content.decode(), own) == []


def test_a_word_that_is_not_marked_is_found() -> None:
    assert unmarked(f"<p>{OPEN}Seen by {OPEN}one{CLOSE} and{CLOSE} all</p><code>x</code>", []) == ["all"]
    assert unmarked("<p>12 min 3 s</p><input placeholder='Type here'>", []) == ["Type here"]


POLISH = {
    "Waiting: %(n)s job ahead, about %(span)s": [
        "Czeka: przed nim %(n)s zadanie, około %(span)s",
        "Czeka: przed nim %(n)s zadania, około %(span)s",
        "Czeka: przed nim %(n)s zadań, około %(span)s",
    ],
    "Retry %(n)s failed %(items)s": [
        "Ponów %(n)s nieudany %(items)s",
        "Ponów %(n)s nieudane %(items)s",
        "Ponów %(n)s nieudanych %(items)s",
    ],
    "item": ["element", "elementy", "elementów"],
    "Done": ["Gotowe"],
    "of %(total)s": ["z %(total)s"],
    "Completed with errors": ["Zakończone z błędami"],
    "completed with errors": ["zakończone z błędami"],
    "This job cannot be paused any more.": ["Tego zadania nie można już wstrzymać."],
    "Item %(number)s": ["Element %(number)s"],
    "Item %(position)s is not in doubt.": ["Element %(position)s nie jest wątpliwy."],
    "Line %(line)s: %(message)s": ["Wiersz %(line)s: %(message)s"],
    "this is not JSON: %(msg)s at column %(colno)s.": ["to nie jest JSON: %(msg)s w kolumnie %(colno)s."],
    "The request cannot be read": ["Nie można odczytać żądania"],
    "%(n)s min": ["%(n)s min."],
}
"""Some messages in a language with three plurals, by their first English form."""
PLURALS = {"Waiting: %(n)s job ahead, about %(span)s": "Waiting: %(n)s jobs ahead, about %(span)s", "item": "items"}


@pytest.fixture
def polish(settings: Any, tmp_path: Path) -> Iterator[None]:
    """The site in Polish, as far as `POLISH` goes."""
    rules = "nplurals=3; plural=(n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<12 || n%100>14) ? 1 : 2);"
    entries = {"": f"Content-Type: text/plain; charset=UTF-8\nPlural-Forms: {rules}\n"}
    for message, forms in POLISH.items():
        key = message if len(forms) == 1 else f"{message}\0{PLURALS.get(message, message)}"
        entries[key] = "\0".join(forms)
    folder = tmp_path / "pl" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "django.mo").write_bytes(compiled(entries))
    settings.LOCALE_PATHS, settings.LANGUAGE_CODE = [str(tmp_path)], "pl"
    with mock.patch.object(translation.trans_real, "_translations", {}), translation.override("pl"):
        yield


def compiled(entries: dict[str, str]) -> bytes:
    """A catalogue as gettext reads it: two tables of lengths and places, then the texts (GNU's .mo)."""
    texts = [text.encode() for half in zip(*sorted(entries.items()), strict=True) for text in half]
    ends = list(accumulate(len(text) + 1 for text in texts))
    count, begin = len(entries), 28 + 16 * len(entries)
    tables = [(len(text), begin + end - len(text) - 1) for text, end in zip(texts, ends, strict=True)]
    head = struct.pack("<7I", 0x950412DE, 0, count, 28, 28 + 8 * count, 0, begin)
    return head + b"".join(struct.pack("<2I", *one) for one in tables) + b"\0".join(texts) + b"\0"


def seen(stage: Stage, address: str) -> str:
    client = Client()
    client.force_login(stage.owner)
    return " ".join(client.get(address, headers={"Accept": "text/html"}).content.decode().split())


@pytest.mark.parametrize(("ahead", "words"), [(1, "1 zadanie"), (3, "3 zadania"), (5, "5 zadań")])
def test_a_card_counts_in_the_plurals_of_the_readers_language(
    polish: None, stage: Stage, ahead: int, words: str
) -> None:
    for number in range(ahead):
        stage.job(JobState.QUEUED, owner=stage.person(f"colleague{number}"), ago=40)
    page = seen(stage, stage.job(JobState.QUEUED, ago=12).get_absolute_url())
    assert '<html lang="pl">' in page
    assert f"Czeka: przed nim {words}, około " in page
    assert "<dt>Gotowe</dt><dd>0 <span>z 40</span></dd>" in page


def test_states_figures_and_buttons_are_in_the_readers_language(polish: None, stage: Stage) -> None:
    counts = {"succeeded": 36, "failed": 4}
    job = stage.job(JobState.COMPLETED_WITH_ERRORS, operation="note", params={}, counts=counts, ago=600, took=300)
    page = seen(stage, job.get_absolute_url())
    assert "</span>Zakończone z błędami</h2>" in page
    assert ">Ponów 4 nieudane elementy</button>" in page
    assert "5 min." in page
    assert "Zakończone z błędami" in seen(stage, "/jobs/")
    assert "<h1>Nie można odczytać żądania</h1>" in seen(stage, "/problems/malformed")


def test_a_refusal_is_in_the_readers_language_and_counts_items_as_pages_do(polish: None, stage: Stage) -> None:
    job = stage.job(JobState.COMPLETED, counts={"succeeded": 40})
    client = Client()
    client.force_login(stage.owner)
    refused = client.post(f"{job.get_absolute_url()}pause/")
    assert "Tego zadania nie można już wstrzymać." in refused.content.decode()
    undecided = client.post(f"{job.get_absolute_url()}items/16/decide/", {"decision": "done"})
    assert "Element 17 nie jest wątpliwy." in undecided.content.decode()
    unread = client.post("/operations/rows/", {"items": '[{"name": "a"}', "input_format": "json", "action": "start"})
    assert "Wiersz 1: to nie jest JSON" in unread.content.decode()


def test_programs_and_the_shell_are_answered_in_english_all_the_same(
    polish: None, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    job = stage.job(JobState.COMPLETED_WITH_ERRORS, counts={"succeeded": 36, "failed": 4}, ago=600, took=300)
    client = Client()
    client.force_login(stage.owner)
    refused = client.post(f"/api/jobs/{job.pk}/pause/", content_type="application/json")
    assert (refused.status_code, refused.json()["detail"]) == (409, "This job cannot be paused any more.")
    assert (
        client.post("/api/jobs/", "{", content_type="application/json").json()["title"] == "The request cannot be read"
    )
    call_command("job", str(job.pk))
    assert "Completed with errors" in capsys.readouterr().out


def test_what_an_author_marked_is_as_it_stands_in_the_code_where_programs_read_it(
    polish: None, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer becomes bytes after its view has returned it."""
    monkeypatch.setattr(type(registry.get("note")), "title", translation.gettext_lazy("Done"))
    client = Client()
    client.force_login(stage.owner)
    answer = client.get("/api/operations/note/")
    assert answer.json()["title"] == "Done"
    assert answer["Content-Language"] == "en"


@pytest.mark.skipif(shutil.which("xgettext") is None, reason="makemessages needs GNU gettext")
def test_the_messages_can_be_collected(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("bulkops", "templates"):
        shutil.copytree(settings.BASE_DIR / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    settings.LOCALE_PATHS = [str(tmp_path / "bulkops" / "locale")]
    monkeypatch.chdir(tmp_path)
    call_command("makemessages", locale=["de"], verbosity=0)
    found = (tmp_path / "bulkops/locale/de/LC_MESSAGES/django.po").read_text()
    for message in ("Paste the items", "Cancel this job", "completed with errors", "Retry %(n)s failed %(items)s"):
        assert f'"{message}"' in found
    collected = found.replace('"\n"', "")
    missed = [one for one in asked_for(settings.BASE_DIR / "bulkops") if as_written(one) not in collected]
    assert not missed, "xgettext drops what it cannot read, and its translation is never found"


def as_written(message: str) -> str:
    return json.dumps(message, ensure_ascii=False)


def asked_for(folder: Path) -> Iterator[str]:
    """Messages of one line in the code, as gettext will look for them."""
    for path in folder.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in COLLECTED:
                said = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
                if isinstance(said, str) and "\n" not in said:
                    yield said
