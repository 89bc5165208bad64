"""Expand: a chunk's numbers are no longer checked to be 0 or more.

Nothing but CHECK constraints goes, of which the code before knows nothing. The server reads a table's constraints anew
at every statement that writes to it, which every item pays for.
"""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('bulkops', '0012_job_ids_by_time'),
    ]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", migrations.RunSQL.noop),
        migrations.AlterField(
            model_name='chunk',
            name='crash_position',
            field=models.IntegerField(help_text='That item.', null=True),
        ),
        migrations.AlterField(
            model_name='chunk',
            name='crashes',
            field=models.SmallIntegerField(db_default=0, default=0, help_text='Workers that died with one item.'),
        ),
        migrations.AlterField(
            model_name='chunk',
            name='cursor',
            field=models.IntegerField(default=0, help_text='Items tried so far.'),
        ),
        migrations.AlterField(
            model_name='chunk',
            name='deferred',
            field=models.IntegerField(default=0),
        ),
        migrations.AlterField(
            model_name='chunk',
            name='epoch',
            field=models.IntegerField(default=0, help_text='Fence: each claim and each rescue raises it.'),
        ),
        migrations.AlterField(
            model_name='chunk',
            name='failed',
            field=models.IntegerField(default=0),
        ),
        migrations.AlterField(
            model_name='chunk',
            name='in_doubt',
            field=models.IntegerField(default=0),
        ),
        migrations.AlterField(
            model_name='chunk',
            name='in_hand',
            field=models.IntegerField(help_text='The item begun, where a second try needs a person.', null=True),
        ),
        migrations.AlterField(
            model_name='chunk',
            name='in_hand_attempt',
            field=models.SmallIntegerField(help_text='Which try of it that is.', null=True),
        ),
        migrations.AlterField(
            model_name='chunk',
            name='number',
            field=models.IntegerField(),
        ),
        migrations.AlterField(
            model_name='chunk',
            name='size',
            field=models.IntegerField(),
        ),
        migrations.AlterField(
            model_name='chunk',
            name='skipped',
            field=models.IntegerField(default=0),
        ),
        migrations.AlterField(
            model_name='chunk',
            name='start',
            field=models.IntegerField(help_text='Position of its first item.'),
        ),
        migrations.AlterField(
            model_name='chunk',
            name='succeeded',
            field=models.IntegerField(default=0),
        ),
        migrations.AlterField(
            model_name='chunk',
            name='worker',
            field=models.IntegerField(null=True),
        ),
    ]
