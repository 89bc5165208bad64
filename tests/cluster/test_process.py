"""A worker process by itself: what it keeps between two items."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from tests.clusters import environment

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have other rules")

ITEMS = """
import ctypes
import resource
import sys

import django

django.setup()
# Where the kernel gives huge pages unasked, a fault is one of those.
PR_SET_THP_DISABLE = 41
ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)

def item():
    return len([b"p" * 3_000_000 for _ in range(4)])

def faults(items):
    for _ in range(5):
        item()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(items):
        item()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if "keep" in sys.argv:
    from bulkops.cluster.process import keep_freed_memory
    keep_freed_memory()
print(faults(100))
"""
"""What an item with an image does: the picture, turned, smaller and as a file, and all of them freed again."""


def pages_taken_anew(*words: str, **told: str) -> int:
    """By a hundred items, from the kernel, in a process of its own: this one may have learnt already."""
    paths = os.pathsep.join(sys.path)
    ran = subprocess.run(
        [sys.executable, "-c", ITEMS, *words],
        env=environment(PYTHONPATH=paths, **told),
        capture_output=True,
        text=True,
        check=True,
    )
    return int(ran.stdout)


@pytest.mark.slow
def test_a_worker_keeps_the_memory_that_an_item_freed_for_the_next():
    assert pages_taken_anew("keep") < 1_000
    # As it would be else; were it not so, nothing would have been shown.
    assert pages_taken_anew() > 100_000


@pytest.mark.slow
def test_who_tells_glibc_when_to_give_memory_back_is_obeyed():
    assert pages_taken_anew("keep", MALLOC_TRIM_THRESHOLD_="131072") > 100_000
