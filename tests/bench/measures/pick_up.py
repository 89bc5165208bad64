"""*pick_up*: a job sent over HTTP to an idle site; how long after its commit is its first item committed?"""

from __future__ import annotations

import http.client
import json
import random
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from bulkops import tokens
from tests.bench import listening, waits
from tests.bench.figures import Figure
from tests.sites import RealSite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.stage import Stage

PRESSES, QUICK_PRESSES = 40, 10
APART_SECONDS = (0.1, 0.3)
"""At no fixed distance, or all would meet a worker at the same point of its waiting."""

FIGURES = (
    Figure(
        name="pick_up, p50",
        words="from a submission's commit, through gunicorn, to the first item's, idle cluster: half of them within",
        of="press.p50",
        unit="ms",
        at_most=20,
    ),
    Figure(name="pick_up, p95", words="the same: 95 % of them within", of="press.p95", unit="ms", at_most=50),
    Figure(
        name="pick_up, bare",
        words="the half's time ÷ that of a bare LISTEN, claim and commit",
        of="press.p50",
        against="listen.p50",
    ),
)


@contextmanager
def contestants(stage: Stage) -> Iterator[dict[str, Any]]:
    if missing := waits.kept():
        yield {"press": missing, "listen": missing}
        return
    site = RealSite(stage.folder / "site.log", **stage.environment)
    presser = listening.Presser(stage.owned.url)
    try:
        with stage.cluster(workers=2), stage.helper("listening"):
            site.start()
            time.sleep(1)  # for the listener to listen
            yield {"press": lambda: _press(stage, site), "listen": lambda: _listen(stage, presser)}
    finally:
        site.kill()
        presser.close()


def _presses(stage: Stage) -> range:
    return range(QUICK_PRESSES if stage.quick else PRESSES)


def _press(stage: Stage, site: RealSite) -> dict[str, float]:
    line = http.client.HTTPConnection("127.0.0.1", site.port)
    ids = []
    for _ in _presses(stage):
        # A person each: they have one job at a time, and so many a minute.
        _, token = tokens.make(user=stage.person(), name="bench")
        headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
        time.sleep(random.uniform(*APART_SECONDS))
        line.request("POST", "/api/jobs/", json.dumps({"operation": "bench-nothing", "items": [1]}), headers)
        answer = line.getresponse()
        body = json.loads(answer.read())
        assert answer.status == 202, body
        ids.append(UUID(body["id"]))
    line.close()
    waits.until_ended(ids)
    return _shares(waits.milliseconds(ids))


def _listen(stage: Stage, presser: listening.Presser) -> dict[str, float]:
    for _ in _presses(stage):
        time.sleep(random.uniform(*APART_SECONDS))
        presser.press()
    return _shares(presser.milliseconds())


def _shares(values: list[float]) -> dict[str, float]:
    return {"p50": waits.share(values, 0.5), "p95": waits.share(values, 0.95)}
