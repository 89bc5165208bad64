"""Files that are made to do harm: each fails as one item, with a word that programs know, and the others go on."""

from __future__ import annotations

import io
import multiprocessing
import re
from pathlib import Path

import pytest
from django.core.files.storage import default_storage

from bulkops import services, uploaded_files
from bulkops.contrib.files import processing
from bulkops.contrib.files.problems import FileProblem
from bulkops.models import Outcome
from bulkops.states import JobState, OutcomeState
from tests.contrib.hostile import BY_NAME, HOSTILE
from tests.sample import pictures
from tests.stored import names_below
from tests.test_hostile_inputs import HOSTILE as EVERYWHERE

ALONE = {row.sent for row in EVERYWHERE if row.face == "files"}
REST = [one for one in HOSTILE if one.name not in ALONE]
"""Those that no job of their own was made for."""
MOST_MB = 600
"""What any of these files may make a worker grow by."""


@pytest.mark.django_db(transaction=True)
def test_each_fails_as_its_own_item_in_words_and_the_good_ones_are_done(owner, worker):
    batch = uploaded_files.Batch()
    for hostile in REST:
        batch.add(hostile.name, io.BytesIO(hostile.make()))
    batch.add("good.jpg", io.BytesIO(pictures.jpeg()))
    job = services.submit(
        user=owner, operation="process-files", params={"do": "anew"}, items=batch.items, upload=batch.id
    )
    assert worker.finish(job).state == JobState.COMPLETED_WITH_ERRORS
    outcomes = list(Outcome.objects.filter(job=job).order_by("position"))
    became = {one.name: outcome.error_code or None for one, outcome in zip(REST, outcomes, strict=False)}
    assert became == {one.name: one.code for one in REST}
    for one, outcome in zip(REST, outcomes, strict=False):
        assert one.words in outcome.message, outcome.message
        assert len(outcome.message) < 300
        assert not re.search(r"0x[0-9a-f]{6}|/tmp|Traceback|root:", outcome.message)
    assert outcomes[-1].state == OutcomeState.SUCCEEDED
    polyglot = outcomes[[one.name for one in REST].index("polyglot.jpg")]
    for entry in polyglot.result["files"]:
        assert b"polyglot" not in default_storage.open(entry["path"]).read(), "only the picture is left of it"
    # Of those that failed, nothing was stored.
    named = {entry["path"] for one in outcomes if one.result for entry in one.result["files"]}
    assert set(names_below(f"bulkops/results/{job.pk}")) == named


def _peak_kb() -> int:
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def _measure(content: bytes, name: str, answers) -> None:
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the process that this one was copied from
    before = _peak_kb()
    try:
        processing.process(io.BytesIO(content), name, len(content), processing.Wish(anew=True))
    except FileProblem as problem:
        answers.put((problem.code, _peak_kb() - before))
    else:
        answers.put((None, _peak_kb() - before))


def _measured(content: bytes, name: str) -> tuple[str | None, int]:
    """The code of its failure, and by how many MB a process grew meanwhile."""
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    process = fork.Process(target=_measure, args=(content, name, answers))
    process.start()
    code, grown_kb = answers.get(timeout=60)
    process.join(60)
    assert process.exitcode == 0
    return code, grown_kb // 1024


@pytest.mark.slow
@pytest.mark.parametrize("name", [one.name for one in HOSTILE if one.code == "too-large"] + ["million-frames.gif"])
def test_none_of_them_takes_much_memory(name):
    code, grown_mb = _measured(BY_NAME[name].make(), name)
    assert code == BY_NAME[name].code
    assert grown_mb < MOST_MB


@pytest.mark.slow
def test_the_largest_picture_that_is_taken_is_held_twice_at_most():
    content = pictures.jpeg(9_000, 7_000)
    code, grown_mb = _measured(content, "largest.jpg")
    assert code is None
    assert grown_mb < MOST_MB


NAMES = [
    "a" * 300 + ".jpg",
    "ü" * 300 + ".jpg",
    "\u202egpj.exe",
    "nul\x00.jpg",
    "....",
    "",
    "<img src=x onerror=alert(1)>.jpg",
    "%2e%2e%2fphoto.jpg",
    "CON.jpg",
]


@pytest.mark.django_db(transaction=True)
def test_no_name_of_a_file_leads_anywhere_else_or_breaks_a_page(owner, worker, client, settings):
    batch = uploaded_files.Batch()
    for name in NAMES:
        batch.add(name, io.BytesIO(pictures.jpeg()))
    job = services.submit(user=owner, operation="process-files", items=batch.items, upload=batch.id)
    assert worker.finish(job).state == JobState.COMPLETED
    root = Path(settings.MEDIA_ROOT)
    outside = [path for path in root.parent.rglob("*") if path.is_file() and root not in path.parents]
    assert outside == []
    client.force_login(owner)
    page = client.get(f"/jobs/{job.pk}/items/").content.decode()
    assert "<img src=x" not in page
    assert "\u202e" not in page
    for outcome in Outcome.objects.filter(job=job):
        (entry,) = outcome.result["files"]
        assert entry["path"].rpartition("/")[0] == f"bulkops/results/{job.pk}/{outcome.position}"
        response = client.get(f"/jobs/{job.pk}/items/{outcome.position}/files/0/")
        assert response.status_code == 200
        assert b"".join(response.streaming_content).startswith(b"\xff\xd8")
