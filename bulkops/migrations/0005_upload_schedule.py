"""Expand: the files that a job's items are, and the schedule that began it.

Both columns have a default of the database. The code before this neither reads nor writes them; a job of a schedule,
which only this code begins, holds a slot of another name and is to that code a job like any other.
"""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('bulkops', '0004_prune_daily'),
    ]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", migrations.RunSQL.noop),
        migrations.AddField(
            model_name='job',
            name='schedule',
            field=models.CharField(blank=True, db_default='', default='', help_text='The schedule that began it, whose slot it holds.', max_length=80),
        ),
        migrations.AddField(
            model_name='job',
            name='upload',
            field=models.CharField(blank=True, db_default='', default='', help_text='The folder of the files that came with it.', max_length=64),
        ),
        migrations.AlterField(
            model_name='event',
            name='kind',
            field=models.CharField(choices=[('submitted', 'submitted'), ('state_changed', 'state changed'), ('cancel_requested', 'cancel requested'), ('pause_requested', 'pause requested'), ('resumed', 'resumed'), ('rescued', 'work of a lost worker taken back'), ('late_result', 'a result arrived after its chunk was taken over'), ('hook_failed', 'an on-commit hook failed after the item was committed'), ('items_collected', 'items collected'), ('set_aside', 'an item may have happened and waits for a person'), ('decided', 'an item in doubt was decided'), ('forced', 'taken away from its workers'), ('retried', 'items taken by another job'), ('rate_changed', 'speed limit changed'), ('run_skipped', 'a scheduled run was skipped, since this one was still active')], max_length=30),
        ),
    ]
