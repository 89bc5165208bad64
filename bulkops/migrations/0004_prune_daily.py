"""A schedule of django-q2 that deletes old jobs every night.

A migration makes it, because a migration happens once: what an operator then does with the row stays so. To disable it
they set its repeats to 0 or delete it; to have other hours they change its next run or its type.
"""

from datetime import timedelta
from typing import Any

from django.db import migrations
from django.utils import timezone

FUNCTION = "bulkops.retention.prune_in_turns"


def make(apps: Any, schema_editor: Any) -> None:
    schedules = apps.get_model("django_q", "Schedule").objects.using(schema_editor.connection.alias)
    night = (timezone.now() + timedelta(days=1)).replace(hour=3, minute=30, second=0, microsecond=0)
    if not schedules.filter(func=FUNCTION).exists():
        schedules.create(name="bulkops: delete old jobs", func=FUNCTION, schedule_type="D", next_run=night)


def remove(apps: Any, schema_editor: Any) -> None:
    schedules = apps.get_model("django_q", "Schedule").objects.using(schema_editor.connection.alias)
    schedules.filter(func=FUNCTION).delete()


class Migration(migrations.Migration):

    dependencies = [
        ("bulkops", "0003_job_pruned_at"),
        ("django_q", "0017_task_cluster_alter"),
    ]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", migrations.RunSQL.noop),
        migrations.RunPython(make, remove),
    ]
