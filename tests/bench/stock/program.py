"""Makes the stock project's database, sends it tasks, and says how far or how fast they were."""

from __future__ import annotations

import os
import signal
import time


def prepare() -> bool:
    """Tables."""
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
    return True


def begin_saving() -> bool:
    """Send one task that saves after each item."""
    from django_q.tasks import async_task

    from tests.bench.stock.models import Progress

    async_task("tests.bench.stock.tasks.save_each", Progress.objects.create().pk)
    return True


def done() -> int:
    """What it has saved last."""
    from tests.bench.stock.models import Progress

    return Progress.objects.latest("pk").done


def end() -> bool:
    """Have it return, and wait until it has."""
    from django_q.models import Task

    from tests.bench.stock.models import Progress

    os.kill(Progress.objects.latest("pk").process, signal.SIGUSR1)
    while not Task.objects.exists():
        time.sleep(0.05)
    Task.objects.all().delete()
    return True


def task_per_item(*, items: int) -> float:
    """Items a second of one task each, from the first's sending to the moment the last one's result is stored."""
    from django.db.models import Max
    from django_q.models import Task
    from django_q.tasks import async_task

    began = time.time()
    for item in range(items):
        async_task("tests.bench.stock.tasks.nothing", item)
    while Task.objects.count() < items:
        time.sleep(0.05)
    stopped = Task.objects.aggregate(last=Max("stopped"))["last"]
    Task.objects.all().delete()
    return items / (stopped.timestamp() - began)


if __name__ == "__main__":
    import django

    from tests.bench.answering import serve

    django.setup()
    serve({"prepare": prepare, "begin": begin_saving, "done": done, "end": end, "task_per_item": task_per_item})
