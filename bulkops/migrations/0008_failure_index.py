"""Expand: the index over the failures of one group. Built while everybody writes, so outside a transaction.

A build that was interrupted leaves an index that is no good; it is dropped first, so that this can simply be run again.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('bulkops', '0008_failure_groups'),
    ]

    operations = [
        migrations.RunSQL("SET lock_timeout = '5s'", "RESET lock_timeout"),
        migrations.RunSQL('DROP INDEX CONCURRENTLY IF EXISTS bulkops_outcome_alike', migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name='outcome',
            index=models.Index(condition=models.Q(('fingerprint', ''), _negated=True), fields=['job', 'fingerprint', 'position'], name='bulkops_outcome_alike'),
        ),
        migrations.RunSQL('RESET lock_timeout', "SET lock_timeout = '5s'"),
    ]
