"""Expand: ids of new jobs begin with the time. Nothing changes in the database, and the code before may make its own."""

import bulkops.job_ids
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('bulkops', '0011_tally'),
    ]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", migrations.RunSQL.noop),
        migrations.AlterField(
            model_name='job',
            name='id',
            field=models.UUIDField(default=bulkops.job_ids.new, editable=False, primary_key=True, serialize=False),
        ),
    ]
