"""A storm: users whose jobs never end, two hosts and a database that are struck at random, and an account of it all.

What the jobs do is the caller's: a `Load` says how each job's input is made and how the effects are counted. Of that
operation `max_crashes` should be out of reach, since a storm kills the innocent.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model

from bulkops import services
from bulkops.exceptions import SubmissionBusy
from bulkops.models import Job
from bulkops.states import JobState
from bulkops.verify import verify
from tests.chaos.blows import Blows
from tests.chaos.databases import patiently
from tests.chaos.hosts import Hosts
from tests.chaos.standstills import CAUSES, NOTICED_SECONDS, share, standstills

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.chaos.databases import OwnDatabase
    from tests.chaos.standstills import Blow, Standstill

PARALLELISM = (1, 1, 2)
"""Of the jobs of each user; a user presses again as soon as their job has ended."""
HOSTS, WORKERS = 2, 3
BETWEEN_BLOWS_SECONDS = (0.3, 1.0)
BETWEEN_FALLS_SECONDS = 30
LOOK_SECONDS = 0.25
SETTLE_SECONDS = 90
STOP_SECONDS = 20


@dataclass(frozen=True, kw_only=True)
class Load:
    """What the jobs of a storm are."""

    make: Callable[[int], dict[str, Any]]
    """Loads what the job of that number works on, and returns what `submit` is given for it: operation, params, items
    and so on. After an outage it may be called again for the same number."""
    effects: Callable[[], Counter[int]]
    """How many of all items that were ever made had no effect, one, two …; counted where the effects are. An item that
    rightly has none counts as one."""
    ends: frozenset[str] = frozenset({JobState.COMPLETED})
    """How a job may end."""
    waits: bool = False
    """Items wait for another try: then a standstill of their job is no fault, and is only reported."""
    environment: dict[str, str] = field(default_factory=dict)
    """Of the clusters, beside the usual."""


@dataclass
class Report:
    """What a storm did and what it cost; `faults` must be empty."""

    seconds: float
    seed: int
    blows: list[Blow]
    jobs: int = 0
    effects: Counter[int] = field(default_factory=Counter)
    during: int = 0
    standstills: list[Standstill] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def items(self) -> int:
        return sum(self.effects.values())

    @property
    def doubled(self) -> int:
        return sum(count for times, count in self.effects.items() if times > 1)

    def __str__(self) -> str:
        lines = [f"A storm of {self.seconds:.0f} s, seed {self.seed}: {len(self.blows)} blows"]
        lines += [f"{count:6}  {kind}" for kind, count in Counter(blow.kind for blow in self.blows).most_common()]
        lines.append(f"{self.jobs} jobs, {self.items} items ({self.during} of them during the storm)")
        lines.append(f"items lost: {self.effects[0]}, doubled: {self.doubled}")
        lines.append(f"standstills of a job, from {NOTICED_SECONDS} s without a commit, by what was done to it:")
        by_cause: dict[str, list[float]] = {"all": [one.seconds for one in self.standstills]}
        for one in self.standstills:
            by_cause.setdefault(one.cause(self.blows), []).append(one.seconds)
        for cause in ("all", *CAUSES, "waiting"):
            values = by_cause.get(cause, [])
            shares = f"p50 {share(values, 50):.2f} s, p95 {share(values, 95):.2f} s"
            lines.append(f"{len(values):6}  {cause}: {shares}, longest {max(values, default=0):.2f} s")
        return "\n".join([*lines, *(f"FAULT: {fault}" for fault in self.faults)])


class Crowd:
    """Users, each with one job at a time."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.made = 0
        self.users = [
            patiently(lambda place=place: get_user_model().objects.create_superuser(f"user{place}"))
            for place in range(len(PARALLELISM))
        ]

    def press(self) -> None:
        """Submit a job for everybody whose last one has ended, as long as it takes."""
        busy = patiently(lambda: set(Job.objects.active().values_list("owner_id", flat=True)))
        for user, parallelism in zip(self.users, PARALLELISM, strict=True):
            if user.pk not in busy:
                self._submit(user, parallelism)

    def _submit(self, user: Any, parallelism: int) -> None:
        number = self.made
        what = patiently(lambda: self.load.make(number))
        self.made += 1
        key = f"storm-{number}"
        while True:
            try:
                # The key makes it one job, also where the database fell between its commit and its answer.
                patiently(
                    lambda: services.submit(
                        user=user,
                        parallelism=parallelism,
                        idempotency_key=key,
                        **what,
                    )
                )
                return
            except SubmissionBusy:
                continue


class Storm:
    """One of so many seconds; which one, its seed says."""

    def __init__(self, *, load: Load, database: OwnDatabase, folder: Path, seconds: float, seed: int) -> None:
        self.load = load
        self.seconds = seconds
        self.seed = seed
        self.chance = random.Random(seed)
        self.hosts = Hosts(folder, HOSTS, WORKERS, load.environment)
        self.blows = Blows(self.hosts, database, self.chance)

    def run(self) -> Report:
        """Let it rage, wait until all jobs have ended, stop everything, and give account."""
        crowd = Crowd(self.load)
        report = Report(self.seconds, self.seed, self.blows.struck)
        try:
            self._rage(crowd)
            self.blows.calm()
            report.during = patiently(self.load.effects)[1]
            self._settle(report)
            report.faults += [f"orphan: {process}" for process in self.hosts.orphans()]
            report.faults += self.hosts.stop(STOP_SECONDS)
        finally:
            self.blows.calm()
            self.hosts.kill()
        self._account(report, crowd)
        return report

    def _rage(self, crowd: Crowd) -> None:
        began = time.monotonic()
        falls = max(1, round(self.seconds / BETWEEN_FALLS_SECONDS))
        falls_at = [began + self.seconds * (number + 0.5) / falls for number in range(falls)]
        next_blow = next_look = 0.0
        while (now := time.monotonic()) < began + self.seconds:
            self.hosts.keep_up()
            if now >= next_look:
                crowd.press()
                self.blows.look()
                next_look = now + LOOK_SECONDS
            if falls_at and now >= falls_at[0]:
                falls_at.pop(0)
                self.blows.fall()
            elif now >= next_blow:
                self.blows.strike()
                next_blow = time.monotonic() + self.chance.uniform(*BETWEEN_BLOWS_SECONDS)
            time.sleep(0.05)

    def _settle(self, report: Report) -> None:
        ends = time.monotonic() + SETTLE_SECONDS
        while active := patiently(lambda: list(Job.objects.active())):
            self.hosts.keep_up()
            if time.monotonic() > ends:
                report.faults += [f"stuck: job {job.pk} is {job.state}" for job in active]
                return
            time.sleep(0.1)

    def _account(self, report: Report, crowd: Crowd) -> None:
        report.jobs = crowd.made
        report.effects = self.load.effects()
        if wrong := report.effects[0]:
            report.faults.append(f"{wrong} items had no effect")
        if report.doubled:
            report.faults.append(f"{report.doubled} items had more than one effect")
        jobs = list(Job.objects.all())
        if len(jobs) != crowd.made:
            report.faults.append(f"{crowd.made} presses made {len(jobs)} jobs")
        for job in jobs:
            verdict = verify(job.pk)
            report.faults += [f"job {job.pk}: {words}" for words in verdict.disagreements]
            if job.state not in self.load.ends:
                report.faults.append(f"job {job.pk} ended as {job.state}: {job.error}")
        report.standstills = standstills()
        for one in report.standstills:
            if one.excess(report.blows) > 0 and not self.load.waits:
                struck = [f"{blow.kind} at {blow.at - one.begin:.1f} s" for blow in one.blows(report.blows)]
                report.faults.append(
                    f"job {one.job} stood still for {one.seconds:.1f} s; {', '.join(struck) or 'no blow'}"
                )
        report.faults += [f"traceback: {line}" for line in self.hosts.tracebacks()]
