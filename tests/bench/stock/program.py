"""Makes the stock project's database, sends it tasks, and says how long they took."""

from __future__ import annotations

import time


def prepare() -> bool:
    """Tables."""
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
    return True


def save_per_item(*, items: int) -> float:
    """Items a second of one task that saves after each, from its sending to its end."""
    from django_q.tasks import async_task

    from tests.bench.stock.models import Progress

    progress, began = Progress.objects.create(), time.time()
    async_task("tests.bench.stock.tasks.save_each", progress.pk, items)
    while progress.ended_at is None:
        time.sleep(0.05)
        progress.refresh_from_db()
    assert progress.done == items
    return items / (progress.ended_at - began)


def task_per_item(*, items: int) -> float:
    """Items a second of one task each, from the first's sending to the moment the last one's result is stored."""
    from django.db.models import Max
    from django_q.models import Task
    from django_q.tasks import async_task

    Task.objects.all().delete()
    began = time.time()
    for item in range(items):
        async_task("tests.bench.stock.tasks.nothing", item)
    while Task.objects.count() < items:
        time.sleep(0.05)
    stopped = Task.objects.aggregate(last=Max("stopped"))["last"]
    return items / (stopped.timestamp() - began)


if __name__ == "__main__":
    import django

    from tests.bench.answering import serve

    django.setup()
    serve({"prepare": prepare, "save_per_item": save_per_item, "task_per_item": task_per_item})
