"""Many files in a real browser: chosen at once, looked over, processed, seen as pictures, downloaded as one zip."""

from __future__ import annotations

import re
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from bulkops.models import Job
from bulkops.states import JobState
from tests.chaos.test_files import with_media_of
from tests.sample import pictures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as people have them: photos, a drawing, a PDF, a film, and one file that is none of these."""
    folder = tmp_path / "holiday"
    folder.mkdir()
    for number in range(10):
        turned = pictures.picture().rotate(number * 36)
        (folder / f"photo {number}.jpg").write_bytes(pictures.encoded(turned, "JPEG"))
    (folder / "drawing.png").write_bytes(pictures.MINDUKA.read_bytes())
    (folder / "plan.pdf").write_bytes(pictures.pdf())
    (folder / "turning.mp4").write_bytes(pictures.video())
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_many_files_are_chosen_processed_seen_and_downloaded_together(
    tab: Callable[..., Page], clusters: Any, settings: Any, folder: Path
) -> None:
    clusters(workers=2, prelude=with_media_of(settings))
    page = tab("/operations/process-files/")
    page.get_by_label("Choose the files").set_input_files(sorted(folder.iterdir()))
    page.get_by_label("Workers at once").fill("2")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("heading", name="14 files, ready to start")).to_be_visible()
    expect(page.get_by_role("cell", name="drawing.png")).to_be_visible()
    expect(page.get_by_role("cell", name="image/png")).to_be_visible()
    page.get_by_role("button", name="Start: 14 files will be processed", exact=True).click()
    page.wait_for_url(re.compile(r"/jobs/[0-9a-f-]{36}/"))

    expect(page.locator(".timeline")).to_contain_text("Completed with errors", timeout=60_000)
    job = Job.objects.get()
    assert (job.total, job.parallelism, job.input_name) == (14, 2, "14 files")
    expect(page.locator(".failure-groups > li")).to_have_count(1)
    expect(page.locator(".failure-groups")).to_contain_text("notes.txt, 10 bytes, text/plain")
    expect(page.locator(".failure-groups")).to_contain_text("The file is text, not an image, a PDF or a video.")
    thumbnails = page.locator(".files img")
    expect(thumbnails).to_have_count(11)
    for image in thumbnails.all():
        image.scroll_into_view_if_needed()
        page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=image.element_handle())
    with page.expect_download() as text:
        page.get_by_role("link", name="plan.txt").click()
    assert "Curve 2" in text.value.path().read_text()

    page.get_by_role("button", name="All together as a zip").click()
    page.wait_for_url(lambda address: str(job.pk) not in address)
    expect(page.get_by_role("heading", name="Completed", exact=True)).to_be_visible(timeout=60_000)
    with page.expect_download() as zipped:
        page.get_by_role("link", name=re.compile(r"\.zip$")).click()
    with zipfile.ZipFile(zipped.value.path()) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 13
    assert Job.objects.get(operation="zip-results").state == JobState.COMPLETED
