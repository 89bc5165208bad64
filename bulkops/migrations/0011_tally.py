"""Expand: running totals for the metrics. The code before this knows no such table, and counts nothing."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('bulkops', '0010_pace'),
    ]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", migrations.RunSQL.noop),
        migrations.CreateModel(
            name='Tally',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=40)),
                ('labels', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=200), size=None)),
                ('counts', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), help_text='Of a histogram: by class of duration.', size=None)),
                ('microseconds', models.BigIntegerField(db_default=0, default=0, help_text='Of a histogram: all durations together.')),
            ],
        ),
    ]
