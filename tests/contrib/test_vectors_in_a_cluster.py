"""Ten thousand vectors of a real photograph, from the shell through a real cluster whose workers are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from django.conf import settings

from bulkops import progress
from bulkops.contrib.vectors.models import Vector
from bulkops.models import Job
from tests.clusters import environment, wait_for
from tests.contrib.pictures import patches

KILLS = 4


def manage(*arguments: str) -> subprocess.Popen[str]:
    """A command of the shell, running."""
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_ten_thousand_vectors_are_indexed_once_each_though_workers_are_killed(cluster, person, tmp_path):
    person("indexer", "bulkops_vectors.add_vector")
    photograph = patches("grace_hopper.jpg", 5)
    assert len(photograph) >= 10_000
    # Some again, as a careless export has them: the later one replaces the earlier.
    items = [*photograph, *(item | {"metadata": {"again": True}} for item in photograph[:200])]
    file = tmp_path / "patches.jsonl"
    file.write_text("".join(f"{json.dumps(item)}\n" for item in items))
    shell = manage(
        "enqueue", "index-vectors", "--user", "indexer", "--param", "collection=photographs", "--items", str(file),
        "--wait", "--json",
    )  # fmt: skip
    job = wait_for(Job.objects.first, 30, "the job")
    for kill in range(1, KILLS + 1):
        past = kill * len(items) // (KILLS + 1)
        wait_for(lambda past=past: progress.of(job).processed >= past, 60, f"{past} items")
        os.kill(cluster.workers()[kill % 2], signal.SIGKILL)
    out, err = shell.communicate(timeout=120)
    assert shell.returncode == 0, err
    answer = json.loads(out)
    assert answer["result"] == {
        "collection": "photographs",
        "processed": len(items),
        "indexed": len(items),
        "skipped": 0,
        "failed": 0,
        "dimension": 64,
    }
    assert Vector.objects.count() == len(photograph)
    assert Vector.objects.filter(metadata={"again": True}).count() == 200
    assert manage("verify_job", str(job.pk)).wait(60) == 0
    out, err = manage("nearest", "photographs", "--id", photograph[500]["id"], "-k", "3", "--json").communicate()
    neighbours = json.loads(out)
    assert len(neighbours) == 3, err
    assert all(one["distance"] < 0.2 for one in neighbours)
