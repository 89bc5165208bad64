"""Files and kill -9: each item has its outcome and its files once, and nothing half written is left."""

from __future__ import annotations

import io
import os
import signal
import time

import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command
from PIL import Image

from bulkops import services, uploaded_files
from bulkops.models import Chunk, Event, Outcome
from bulkops.states import EventKind, JobState
from tests.chaos.test_kills import ended, processed
from tests.clusters import wait_for
from tests.sample import pictures
from tests.stored import names_below

pytestmark = pytest.mark.slow

FILES = 80


def with_media_of(settings):
    """A cluster's prelude: its files lie where this test's do."""
    return f"from django.conf import settings; settings.MEDIA_ROOT = {str(settings.MEDIA_ROOT)!r}"


def living_holder(job, cluster, killed):
    """The process of a worker that holds one of the job's chunks; those just killed still stand in the tables."""
    holding = Chunk.objects.filter(job=job, worker__isnull=False).values_list("worker", flat=True)
    return next((pid for pid in map(cluster.pid_of, holding) if pid not in killed), None)


def test_process_files_makes_every_file_once_though_its_workers_are_killed(owner, clusters, settings):
    batch = uploaded_files.Batch()
    for number in range(FILES):
        content = pictures.encoded(pictures.picture().rotate(number * 3), "JPEG")
        batch.add(f"hopper {number}.jpg", io.BytesIO(content))
    cluster = clusters(workers=2, prelude=with_media_of(settings))
    params = {"do": "anew", "max_width": 400, "convert_to": "PNG"}
    job = services.submit(
        user=owner, operation="process-files", params=params, items=batch.items, upload=batch.id, parallelism=2
    )
    killed: set[int] = set()
    for share in (0.25, 0.5, 0.75):
        wait_for(lambda share=share: processed(job) >= FILES * share, 60, f"{share:.0%} of the items")
        victim = wait_for(lambda: living_holder(job, cluster, killed), 10, "a holder that lives")
        os.kill(victim, signal.SIGKILL)
        killed.add(victim)
    wait_for(lambda: ended(job), 90, "the end")
    assert job.state == JobState.COMPLETED
    assert len(killed) == 3
    assert Event.objects.filter(job=job, kind=EventKind.RESCUED).exists()
    outcomes = Outcome.objects.filter(job=job).order_by("position")
    entries = [outcome.result["files"] for outcome in outcomes]
    assert [[entry["name"] for entry in made] for made in entries] == [
        [f"hopper {number}.png", f"hopper {number}.thumb.jpg"] for number in range(FILES)
    ]
    for made in entries:
        for entry in made:
            content = default_storage.open(entry["path"]).read()
            assert len(content) == entry["size"]
            Image.open(io.BytesIO(content)).load()
    named = {entry["path"] for made in entries for entry in made}
    assert len(named) == FILES * 2
    assert set(names_below("bulkops/results")) == named
    call_command("verify_job", str(job.pk), stdout=io.StringIO())


def test_a_worker_killed_over_and_over_while_it_writes_leaves_no_half_file(owner, clusters, settings):
    batch = uploaded_files.Batch()
    # A picture of noise, which takes long to pack and much room.
    noise = pictures.encoded(Image.effect_noise((900, 900), 90).convert("RGB"), "PNG")
    for number in range(6):
        batch.add(f"noise {number}.png", io.BytesIO(noise))
    cluster = clusters(workers=1, prelude=with_media_of(settings))
    job = services.submit(
        user=owner, operation="process-files", params={"do": "anew"}, items=batch.items, upload=batch.id
    )
    for _ in range(4):
        stood = processed(job)
        wait_for(lambda stood=stood: processed(job) > stood or ended(job), 30, "an item")
        if ended(job):
            break
        time.sleep(0.05)
        for pid in cluster.workers():
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: ended(job), 90, "the end")
    assert job.state == JobState.COMPLETED
    named = {entry["path"] for outcome in Outcome.objects.filter(job=job) for entry in outcome.result["files"]}
    assert set(names_below("bulkops/results")) == named
