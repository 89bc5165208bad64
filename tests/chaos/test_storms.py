"""A storm's own judgement: what it must object to, and what it must not."""

from __future__ import annotations

import subprocess
import uuid

import pytest

from tests.chaos.hosts import MARK, Hosts
from tests.chaos.standstills import HOST_SECONDS, MARGIN_SECONDS, WORKER_SECONDS, Blow, Standstill, share
from tests.clusters import wait_for

JOB, OTHER = uuid.uuid4(), uuid.uuid4()


def blow(at, seconds, cause="worker", **whom):
    return Blow(cause, at, seconds, cause, **whom or {"jobs": {JOB}})


@pytest.mark.parametrize(
    ("seconds", "blows", "is_excused"),
    [
        (WORKER_SECONDS + MARGIN_SECONDS - 0.1, [], True),
        (WORKER_SECONDS + MARGIN_SECONDS + 0.1, [], False),
        (12, [blow(0.5, WORKER_SECONDS)], False),
        (12, [blow(0.5, HOST_SECONDS, "host")], True),
        (12, [blow(0.5, HOST_SECONDS, "host", jobs={OTHER})], False),
        (12, [blow(0.5, HOST_SECONDS, "host", all_jobs=True)], True),
        (12, [blow(at, WORKER_SECONDS) for at in (2, 5, 8)], True),
        (12, [blow(12.5, HOST_SECONDS, "host")], False),
        (12, [blow(-8, HOST_SECONDS, "host")], False),
        (25, [blow(0.5, HOST_SECONDS, "host")], False),
    ],
)
def test_a_standstill_is_excused_by_what_was_done_to_that_job_and_no_longer(seconds, blows, is_excused):
    assert (Standstill(JOB, 0.0, seconds).excess(blows) <= 0) == is_excused


def test_a_standstill_is_put_down_to_the_gravest_of_its_blows():
    struck = [blow(1, 3), blow(2, 15, "host"), blow(3, 3, "database")]
    assert Standstill(JOB, 0.0, 5).cause(struck) == "host"
    assert Standstill(OTHER, 0.0, 5).cause(struck) == "waiting"


def test_shares_of_nothing_and_of_few():
    assert share([], 95) == 0
    assert share([3.0, 1.0, 2.0], 50) == 2
    assert share([float(number) for number in range(100)], 95) == 95


@pytest.mark.slow
def test_a_process_that_nobody_looks_after_is_found(tmp_path):
    hosts = Hosts(tmp_path, 0, 0)
    assert hosts.orphans() == []
    with subprocess.Popen(["sleep", "60"], env={MARK: hosts.mark}, start_new_session=True) as left:
        wait_for(hosts.orphans, 10, "the process with its environment")  # which it has a moment after it began
        (found,) = hosts.orphans()
        assert f"pid={left.pid}" in found
        hosts.kill()
        assert left.wait(5) != 0
