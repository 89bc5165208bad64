"""Expand: jobs that are being deleted exist for nobody, from one moment on.

The code before this does not write the column and shows such jobs until their rows are gone.
"""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('bulkops', '0002_lineage_doubt_rate'),
    ]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", migrations.RunSQL.noop),
        migrations.AddField(
            model_name='job',
            name='pruned_at',
            field=models.DateTimeField(editable=False, help_text='Since then it is being deleted.', null=True),
        ),
    ]
