"""Collections and their vectors; `real[]`, so that no extension is needed."""

import bulkops.contrib.vectors.models
import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        # The key to the users locks their table, behind which whoever submits would wait too.
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", migrations.RunSQL.noop),
        migrations.CreateModel(
            name='Collection',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100, unique=True)),
                ('dimension', models.PositiveIntegerField()),
                ('metric', models.CharField(choices=[('cosine', 'cosine'), ('inner_product', 'inner product'), ('euclidean', 'euclidean')], max_length=20)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='Vector',
            fields=[
                ('pk', models.CompositePrimaryKey('collection_id', 'key', blank=True, editable=False, primary_key=True, serialize=False)),
                ('key', models.CharField(max_length=255)),
                ('embedding', django.contrib.postgres.fields.ArrayField(base_field=bulkops.contrib.vectors.models.RealField(), size=None)),
                ('metadata', models.JSONField(default=dict)),
                ('collection', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='vectors', to='bulkops_vectors.collection')),
            ],
        ),
    ]
