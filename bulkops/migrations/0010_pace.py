"""Expand: how fast each job was. The code before this knows no such table, and writes none of its rows.

Without a constraint over the job, which that code deletes without a look at this table.
"""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('bulkops', '0009_failure_index'),
    ]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", migrations.RunSQL.noop),
        migrations.CreateModel(
            name='Pace',
            fields=[
                ('job', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='pace', serialize=False, to='bulkops.job')),
                ('seconds', django.contrib.postgres.fields.ArrayField(base_field=models.FloatField(), help_text='Of work, at each sample.', size=None)),
                ('items', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), help_text='Processed by then.', size=None)),
                ('sampled_at', models.DateTimeField(help_text='From when on the next sample counts its seconds.')),
                ('fresh_from', models.FloatField(db_default=0.0, default=0.0, help_text='Seconds from which on samples tell what is to come.')),
            ],
        ),
    ]
