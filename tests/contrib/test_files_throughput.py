"""What a job costs beside the bare work: real images through process-files, against a pool over the same function.

`pytest tests/contrib/test_files_throughput.py -s --images 1000` makes the README's figure again.
"""

from __future__ import annotations

import io
import multiprocessing
import time
import uuid
from functools import partial
from statistics import median
from typing import Any

import pytest

from bulkops import result_files, services, uploaded_files
from bulkops.contrib.files import processing
from bulkops.states import JobState
from tests.chaos.test_files import with_media_of
from tests.chaos.test_kills import ended
from tests.sample import pictures

pytestmark = pytest.mark.slow

WORKERS = 2
ROUNDS, ROUNDS_OF_FEW = 8, 4
PARAMS = {"do": "anew", "max_width": 800, "max_height": 800, "convert_to": "JPEG"}
SHARE, SHARE_OF_FEW = 0.9, 0.5
"""Of the bare rate. Of a few images, a job's start and end are a good part, and so is what else a machine does."""
MANY = 1_000


def images(count: int) -> uploaded_files.Batch:
    """Real pictures: matplotlib's samples, turned and cut, no two alike."""
    from PIL import Image

    sources = []
    for path in (pictures.HOPPER, pictures.MINDUKA, pictures.LOGO):
        with Image.open(path) as opened:
            sources.append(opened.convert("RGB").resize((900, 900)))
    batch = uploaded_files.Batch()
    for number in range(count):
        turned = sources[number % 3].rotate(number % 360, expand=True)
        cut = turned.crop((number % 50, number % 40, 900, 850))
        batch.add(f"picture {number}.jpg", io.BytesIO(pictures.encoded(cut, "JPEG", quality=88)))
    return batch


def bare(job_id: uuid.UUID, numbered: tuple[int, dict]) -> None:
    """What an item does, without a job around it."""
    position, item = numbered
    wish = processing.Wish(anew=True, max_width=800, max_height=800, format="JPEG")
    with uploaded_files.open_file(item, item["file"].split("/")[2]) as file:
        done = processing.process(file, item["name"], file.size, wish)
    for made in done.files:
        result_files.save(job_id, position, made.name, made.content, made.type, thumbnail=made.thumbnail)


def pooled(items: list[dict]) -> float:
    began = time.monotonic()
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        pool.map(partial(bare, uuid.uuid4()), list(enumerate(items)), chunksize=10)
    return time.monotonic() - began


def worked(owner: Any, items: list[dict], batch: uploaded_files.Batch) -> float:
    """Seconds from the submission of a job to its end."""
    job = services.submit(
        user=owner, operation="process-files", params=PARAMS, items=items, upload=batch.id, parallelism=WORKERS
    )
    while not ended(job):
        time.sleep(0.5)  # the answer is in the job's own times; to ask oftener would take work from the workers
    assert job.state == JobState.COMPLETED
    return (job.finished_at - job.created_at).total_seconds()


def test_a_job_of_many_images_keeps_the_rate_of_a_bare_pool(owner, clusters, settings, pytestconfig):
    count = pytestconfig.getoption("--images")
    batch = images(count)
    clusters(workers=WORKERS, prelude=with_media_of(settings))
    # A worker loads Pillow with its first image; the pool's processes are forked from one that has it.
    worked(owner, batch.items[:40], batch)
    rounds = []
    for number in range(ROUNDS if count >= MANY else ROUNDS_OF_FEW):
        # Who goes first takes turns: the machine may be getting slower or faster all the while.
        if number % 4 in {0, 3}:
            pool_seconds = pooled(batch.items)
            rounds.append((pool_seconds, worked(owner, batch.items, batch)))
        else:
            job_seconds = worked(owner, batch.items, batch)
            rounds.append((pooled(batch.items), job_seconds))
    ratio = median(pool_seconds / job_seconds for pool_seconds, job_seconds in rounds)
    told = ", ".join(f"{pool_seconds / job_seconds:.2f}" for pool_seconds, job_seconds in rounds)
    rate = count / median(job_seconds for _, job_seconds in rounds)
    print(f"\n{count} images: {rate:.1f} a second, {ratio:.2f} of a pool's rate (rounds: {told})")
    assert ratio >= (SHARE if count >= MANY else SHARE_OF_FEW)
