"""From the page and from the shell, on a real cluster: by the service's own record, each row's effect comes once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from typing import Any

import psutil
import pytest
from django.conf import settings as project
from django.test import Client

from bulkops import submit
from bulkops.models import Job, Outcome
from bulkops.states import JobState
from tests.clusters import environment, wait_for
from tests.peers import Reply

pytestmark = pytest.mark.slow

ROWS = 60


class Ledger:
    """A service that honours keys, and misbehaves before it has done something, or after."""

    def __init__(self, *, keyed: bool = True, every: int = 20) -> None:
        self.keyed = keyed
        self.every = every
        self.lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.hold = threading.Event()
        self.hold.set()

    def reply(self, asked: Any) -> Reply:
        """By the order's number and how often it was asked for: 429, 500, a cut before or after the effect, or 200."""
        order = json.loads(asked.body)["order"]
        with self.lock:
            self.asked[order] += 1
            misbehaves = self.asked[order] == 1
        trouble = int(order) % self.every if misbehaves else 0
        if trouble == 1:
            return Reply(429, headers={"Retry-After": "1"})
        if trouble == 2:
            return Reply(500)
        if trouble == 3:
            return Reply(cut=True)
        with self.lock:
            if not self.keyed or not self.done[order]:
                self.done[order] += 1
        self.hold.wait(30)
        return Reply(cut=trouble == 4, body=json.dumps({"id": f"r-{order}"}).encode())


@pytest.fixture
def start(peers, allow, clusters):
    """A service, and a cluster that may call it."""

    def begin(ledger: Ledger) -> tuple[Any, dict[str, str], Any]:
        peer = peers(ledger.reply)
        allow(peer.url)
        words = {"BULKOPS_HTTP_HOSTS": peer.url, "BULKOPS_HTTP_PRIVATE_NETWORKS": "127.0.0.1/32"}
        return peer, words, clusters(workers=2, **words)

    return begin


def rows(folder: Any) -> Any:
    file = folder / "rows.csv"
    file.write_text("order\n" + "".join(f"{number}\n" for number in range(ROWS)))
    return file


def ended(job: Job) -> bool:
    job.refresh_from_db()
    return job.state in {JobState.COMPLETED, JobState.COMPLETED_WITH_ERRORS}


def test_from_the_shell_each_row_is_done_once_whatever_the_service_does(start, caller, tmp_path):
    ledger = Ledger()
    peer, words, _ = start(ledger)
    params = {"url": f"{peer.url}/refunds", "body": '{"order": "{order}"}', "keep": "pointer", "pointer": "/id"}
    done = subprocess.run(
        [
            *(sys.executable, "manage.py", "enqueue", "call-http-api", "--user", caller.username, "--wait"),
            *("--parallelism", "2", "--items", str(rows(tmp_path))),
            *(word for name, value in params.items() for word in ("--param", f"{name}={value}")),
        ],
        cwd=project.BASE_DIR,
        env=environment(**words),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    job = Job.objects.get(pk=done.stdout.strip())
    results = list(Outcome.objects.filter(job=job).order_by("position").values_list("result", flat=True))
    assert results == [{"status": 200, "kept": f"r-{number}"} for number in range(ROWS)]
    assert set(ledger.done.values()) == {1}
    assert len(ledger.done) == ROWS
    assert sum(ledger.asked.values()) == ROWS + ROWS * 4 // 20
    keys = {}
    for asked in peer.asked:
        keys.setdefault(json.loads(asked.body)["order"], set()).add(asked.headers["Idempotency-Key"])
    assert keys == {str(number): {f"{job.pk}:{number}"} for number in range(ROWS)}


def test_from_the_page_a_service_without_keys_is_asked_again_only_where_it_did_nothing(start, caller):
    # Few doubts: two workers may come upon all of them first, and a quarter of what was tried would pause the job.
    ledger = Ledger(keyed=False, every=ROWS)
    peer, _, _ = start(ledger)
    browser = Client()
    browser.force_login(caller)
    form = {"method": "POST", "url": f"{peer.url}/refunds", "body": '{"order": "{order}"}', "expected": "200-299"}
    form |= {"timeout_seconds": "10", "keep": "status", "action": "start", "headers": "", "pointer": ""}
    lines = "order,x\n" + "".join(f"{number},\n" for number in range(ROWS))
    page = browser.post("/operations/call-http-api-once/", form | {"items": lines, "parallelism": "2"})
    assert page.status_code == 302, page.content.decode()
    job = Job.objects.get()
    wait_for(lambda: ended(job), 40, "the job's end")
    states = dict(Outcome.objects.filter(job=job).values_list("position", "state"))
    expected = {number: "in_doubt" if number in {2, 3, 4} else "succeeded" for number in range(ROWS)}
    assert states == expected
    assert set(ledger.done.values()) == {1}
    assert all(ledger.asked[str(number)] == (2 if number == 1 else 1) for number in range(ROWS))


@pytest.mark.parametrize(("operation", "state"), [("call-http-api", "succeeded"), ("call-http-api-once", "in_doubt")])
def test_a_worker_killed_in_the_middle_of_a_call_keeps_to_the_operations_word(start, caller, operation, state):
    ledger = Ledger()
    ledger.hold.clear()
    peer, _, cluster = start(ledger)
    params = {"url": f"{peer.url}/refunds", "body": '{"order": "{order}"}'}
    job = submit(user=caller, operation=operation, params=params, items=[{"order": "0"}])
    wait_for(lambda: ledger.done["0"], 20, "the call")
    busy = [pid for pid in cluster.workers() if _is_connected(pid, peer.port)]
    assert len(busy) == 1
    os.kill(busy[0], signal.SIGKILL)
    ledger.hold.set()
    wait_for(lambda: ended(job), 20, "the job's end")
    assert Outcome.objects.get(job=job).state == state
    assert ledger.done["0"] == 1
    assert ledger.asked["0"] == (2 if state == "succeeded" else 1)


def _is_connected(pid: int, port: int) -> bool:
    return any(link.raddr and link.raddr.port == port for link in psutil.Process(pid).net_connections())
