"""*peers*: whole jobs of items that do nothing, from submission to end, against what people use instead.

One task that reports each item runs on one process, whatever there is besides; it is compared with a job on one worker
or two, as each figure says. One task per item has two processes, as the job then has. Redis keeps nothing on disk.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.bench import daemons, peers_environment
from tests.bench.figures import Figure
from tests.bench.rounds import NotMeasured

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.stage import Stage

LOOP_ITEMS, QUICK_LOOP_ITEMS = 6_000, 1_000
TASKS, QUICK_TASKS = 300, 60

FIGURES = (
    Figure(
        name="peers, django-q2, saving",
        words="one worker ÷ one task of stock django-q2 that saves a counter after each item",
        of="one",
        against="stock_saving",
        at_least=1.8,
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
        name="peers, Celery, chord",
        words="2 workers ÷ Celery on Redis with a chord of a task for each item, 2 processes",
        of="two",
        against="celery_tasks",
        at_least=8,
    ),
    Figure(
        name="peers, Celery",
        words="2 workers ÷ a Celery task that reports each item to Redis, where nothing is durable",
        of="two",
        against="celery_reporting",
        at_least=1,
    ),
    Figure(
        name="peers, Celery, relaxed",
        words='2 workers with `durability = "relaxed"` ÷ the same',
        of="two_relaxed",
        against="celery_reporting",
        at_least=2,
    ),
    Figure(
        name="peers, Celery, halves",
        words="2 workers ÷ two such Celery tasks at the same time, each with half of the items",
        of="two",
        against="celery_halves",
    ),
)


@contextmanager
def contestants(stage: Stage) -> Iterator[dict[str, Any]]:
    loop, tasks = (QUICK_LOOP_ITEMS, QUICK_TASKS) if stage.quick else (LOOP_ITEMS, TASKS)
    python, redis = peers_environment.python(), shutil.which("redis-server")
    missing = NotMeasured("not installed: --install-peers") if python is None else None
    no_redis = NotMeasured("not installed: redis-server") if redis is None else None
    with ExitStack() as stack:
        found: dict[str, Any] = {}
        stack.enter_context(stage.cluster(workers=2))
        stock = stack.enter_context(daemons.stock(stage))
        found["one"] = partial(stage.whole_rate, "bench-nothing", loop)
        found["two"] = partial(stage.whole_rate, "bench-nothing", loop, parallelism=2)
        found["two_relaxed"] = partial(stage.whole_rate, "bench-nothing-relaxed", loop, parallelism=2)
        found["stock_saving"] = partial(stock.ask, "save_per_item", items=loop)
        found["stock_tasks"] = partial(stock.ask, "task_per_item", items=tasks)
        found["procrastinate_tasks"] = missing
        found |= dict.fromkeys(("celery_reporting", "celery_halves", "celery_tasks"), missing or no_redis)
        if python:
            procrastinate = stack.enter_context(daemons.procrastinate(stage, python))
            found["procrastinate_tasks"] = partial(procrastinate.ask, "task_per_item", items=tasks)
        if python and redis:
            celery = stack.enter_context(daemons.celery(stage, python, redis))
            found["celery_reporting"] = partial(celery.ask, "update_state", items=loop)
            found["celery_halves"] = partial(celery.ask, "update_state_twice", items=loop)
            found["celery_tasks"] = partial(celery.ask, "task_per_item", items=tasks)
        yield found
