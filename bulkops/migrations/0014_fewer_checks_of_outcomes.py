"""Expand: an outcome's numbers are no longer checked to be 0 or more.

Nothing but CHECK constraints goes, of which the code before knows nothing. The server reads a table's constraints anew
at every statement that writes to it, which every item pays for.
"""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('bulkops', '0013_fewer_checks_of_chunks'),
    ]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", migrations.RunSQL.noop),
        migrations.AlterField(
            model_name='outcome',
            name='attempt',
            field=models.SmallIntegerField(default=1),
        ),
        migrations.AlterField(
            model_name='outcome',
            name='position',
            field=models.IntegerField(),
        ),
    ]
