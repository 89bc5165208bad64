"""Expand: failures that are alike have a fingerprint, and are counted by it.

The columns can be NULL or have a default of the database, and the table is new. A worker of the code before this
records failures that no group counts, and takes all failed items where a retry names a group.
"""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('bulkops', '0007_webhooks'),
    ]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", migrations.RunSQL.noop),
        migrations.AddField(
            model_name='job',
            name='retry_fingerprint',
            field=models.CharField(blank=True, db_default='', default='', help_text='Of which group of failures; empty: of all.', max_length=12),
        ),
        migrations.AddField(
            model_name='job',
            name='took',
            field=models.JSONField(editable=False, help_text='Failed items taken of its parent, by fingerprint.', null=True),
        ),
        migrations.AddField(
            model_name='outcome',
            name='fingerprint',
            field=models.CharField(blank=True, db_default='', default='', help_text='Of a failed item: its group.', max_length=12),
        ),
        migrations.CreateModel(
            name='FailureGroup',
            fields=[
                ('pk', models.CompositePrimaryKey('job_id', 'fingerprint', 'shard', blank=True, editable=False, primary_key=True, serialize=False)),
                ('fingerprint', models.CharField(max_length=12)),
                ('shard', models.PositiveSmallIntegerField()),
                ('count', models.PositiveIntegerField()),
                ('error_code', models.CharField(blank=True, max_length=100)),
                ('words', models.CharField(help_text='Their message without what varies.', max_length=300)),
                ('samples', django.contrib.postgres.fields.ArrayField(base_field=models.PositiveIntegerField(), help_text='Positions of its first ones.', size=None)),
                ('job', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='bulkops.job')),
            ],
        ),
    ]
