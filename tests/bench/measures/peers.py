"""*peers*: items that do nothing, against what people use instead.

One task that reports each item is raced with a job; it has one process, whatever there is besides. With a task for
each item, whole jobs of few items are compared, from submission to end. Redis keeps nothing on disk. Loops in Python
that do nothing but send the item's statement say how far any system could come that commits an outcome for each item.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.bench import daemons, peers_environment
from tests.bench.figures import Figure
from tests.bench.operations import queue_of
from tests.bench.racing import JobRacer, StatementRacer, TaskRacer, race
from tests.bench.rounds import NotMeasured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.racing import Racer
    from tests.bench.stage import Stage

ITEMS, QUICK_ITEMS = 4_000, 1_000
TASKS, QUICK_TASKS = 200, 60
"""Stock django-q2 keeps the last 250 results, and forgets who was before."""

FIGURES = (
    Figure(
        name="peers, django-q2, saving",
        words="one worker ÷ a task of stock django-q2 that saves a counter after each item",
        of="saving.worker",
        against="saving.stock",
        at_least=1.8,
    ),
    Figure(
        name="peers, django-q2, saving, bare",
        words="a loop of an item's statement in Python ÷ the same",
        of="saving.loop",
        against="saving.stock",
    ),
    Figure(
        name="peers, django-q2, tasks",
        words="2 workers ÷ stock django-q2 with a task for each item, 2 workers",
        of="two",
        against="stock_tasks",
        at_least=8,
    ),
    Figure(
        name="peers, procrastinate",
        words="2 workers ÷ procrastinate with a job for each item, 2 at a time",
        of="two",
        against="procrastinate_tasks",
        at_least=8,
    ),
    Figure(
        name="peers, procrastinate, bare",
        words="two loops of an item's statement in Python at the same time ÷ the same",
        of="loops.two",
        against="procrastinate_tasks",
    ),
    Figure(
        name="peers, Celery, chord",
        words="2 workers ÷ Celery on Redis with a chord of a task for each item, 2 processes",
        of="two",
        against="celery_tasks",
        at_least=8,
    ),
    Figure(
        name="peers, Celery, chord, bare",
        words="two loops of an item's statement in Python at the same time ÷ the same",
        of="loops.two",
        against="celery_tasks",
    ),
    Figure(
        name="peers, Celery",
        words="2 workers ÷ a Celery task that reports each item to Redis, where nothing is durable",
        of="strict.job",
        against="strict.celery",
        at_least=1,
    ),
    Figure(
        name="peers, Celery, relaxed",
        words='2 workers with `durability = "relaxed"` ÷ the same',
        of="relaxed.job",
        against="relaxed.celery",
        at_least=2,
    ),
    Figure(
        name="peers, Celery, halves",
        words="2 workers ÷ two such Celery tasks at the same time",
        of="halves.job",
        against="halves.celery",
    ),
)


@contextmanager
def contestants(stage: Stage) -> Iterator[dict[str, Any]]:
    items, tasks = (QUICK_ITEMS, QUICK_TASKS) if stage.quick else (ITEMS, TASKS)
    python, redis = peers_environment.python(), shutil.which("redis-server")
    missing = NotMeasured("not installed: --install-peers") if python is None else None
    no_redis = NotMeasured("not installed: redis-server") if redis is None else None
    with ExitStack() as stack:
        one, two = (stack.enter_context(stage.cluster(n, queue_of(n))) for n in (1, 2))
        loops = [stack.enter_context(stage.helper("bare")) for _ in range(2)]
        stock = stack.enter_context(daemons.stock(stage))
        found: dict[str, Any] = {
            "two": partial(stage.whole_rate, "bench-nothing-2", items, parallelism=2),
            "stock_tasks": partial(stock.helper.ask, "task_per_item", items=tasks),
            "saving": _raced(
                stage,
                worker=JobRacer(stage, one, "bench-nothing-1"),
                loop=StatementRacer(stage, loops[0]),
                stock=TaskRacer(stock),
            ),
            "loops": _raced(stage, two=StatementRacer(stage, *loops)),
            "procrastinate_tasks": missing,
            **dict.fromkeys(("strict", "relaxed", "halves", "celery_tasks"), missing or no_redis),
        }
        if python:
            procrastinate = stack.enter_context(daemons.procrastinate(stage, python))
            found["procrastinate_tasks"] = partial(procrastinate.helper.ask, "task_per_item", items=tasks)
        if python and redis:
            celery = stack.enter_context(daemons.celery(stage, python, redis))
            found["celery_tasks"] = partial(celery.helper.ask, "task_per_item", items=tasks)
            relaxed_cluster = stack.enter_context(stage.cluster(2, "bench-relaxed"))
            strict = JobRacer(stage, two, "bench-nothing-2", workers=2)
            relaxed = JobRacer(stage, relaxed_cluster, "bench-nothing-relaxed", workers=2)
            found["strict"] = _raced(stage, job=strict, celery=TaskRacer(celery, tasks=1))
            found["relaxed"] = _raced(stage, job=relaxed, celery=TaskRacer(celery, tasks=1))
            found["halves"] = _raced(stage, job=strict, celery=TaskRacer(celery, tasks=2))
        yield found


def _raced(stage: Stage, **racers: Racer) -> Callable[[], dict[str, float]]:
    return partial(race, racers, stage.race_seconds)
