"""Expand: what retries, items in doubt, the breaker and the speed limit need.

All of it can be NULL or has a default of the database, so that workers and web servers
of the code before this go on with the new tables during a deploy.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('bulkops', '0001_initial'),
    ]

    operations = [
        # A table that somebody keeps locked stops the deploy, and not everybody who queues up behind the migration.
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", migrations.RunSQL.noop),
        migrations.AddField(
            model_name='chunk',
            name='in_hand',
            field=models.PositiveIntegerField(help_text='The item begun, where a second try needs a person.', null=True),
        ),
        migrations.AddField(
            model_name='chunk',
            name='in_hand_attempt',
            field=models.PositiveSmallIntegerField(help_text='Which try of it that is.', null=True),
        ),
        migrations.AddField(
            model_name='job',
            name='failed_before',
            field=models.PositiveIntegerField(db_default=0, default=0, help_text='Failures up to the last resume.'),
        ),
        migrations.AddField(
            model_name='job',
            name='processed_before',
            field=models.PositiveIntegerField(db_default=0, default=0, help_text='Items up to the last resume.'),
        ),
        migrations.AddField(
            model_name='job',
            name='rate_from',
            field=models.DateTimeField(help_text='Not before this may its next items begin.', null=True),
        ),
        migrations.AddField(
            model_name='job',
            name='rate_per_second',
            field=models.FloatField(help_text='Items begun per second at most, by all its workers.', null=True),
        ),
        migrations.AddField(
            model_name='job',
            name='retry_items',
            field=models.CharField(blank=True, db_default='', default='', help_text='Which items of its parent it took.', max_length=20),
        ),
        migrations.AddField(
            model_name='job',
            name='root',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='bulkops.job'),
        ),
        migrations.AlterField(
            model_name='event',
            name='kind',
            field=models.CharField(choices=[('submitted', 'submitted'), ('state_changed', 'state changed'), ('cancel_requested', 'cancel requested'), ('pause_requested', 'pause requested'), ('resumed', 'resumed'), ('rescued', 'work of a lost worker taken back'), ('late_result', 'a result arrived after its chunk was taken over'), ('hook_failed', 'an on-commit hook failed after the item was committed'), ('items_collected', 'items collected'), ('set_aside', 'an item may have happened and waits for a person'), ('decided', 'an item in doubt was decided'), ('forced', 'taken away from its workers'), ('retried', 'items taken by another job'), ('rate_changed', 'speed limit changed')], max_length=30),
        ),
    ]
