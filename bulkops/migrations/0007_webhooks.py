"""Expand: endpoints, deliveries and attempts of webhooks, and whether a job's owner wants an e-mail at its end.

The new column has a constant default, so no row is written; it and the foreign keys lock jobs, users and clusters for a
moment.
"""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('bulkops', '0006_api_tokens'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", migrations.RunSQL.noop),
        migrations.AddField(
            model_name='job',
            name='email_at_end',
            field=models.BooleanField(db_default=False, default=False, help_text='Its owner wants an e-mail when it has ended.'),
        ),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('event', models.CharField(choices=[('job.completed', 'every item was tried, also where some failed'), ('job.failed', 'the job itself could not run'), ('job.cancelled', 'somebody cancelled it'), ('job.paused', "it stands still, by somebody's wish or by itself"), ('webhook.test', 'sent by hand, to try the endpoint'), ('webhook.disabled', 'an endpoint was switched off; by e-mail only')], max_length=50)),
                ('body', models.TextField(help_text='The very text that is signed and sent.')),
                ('state', models.CharField(choices=[('pending', 'waiting'), ('delivered', 'delivered'), ('failed', 'failed')], default='pending', max_length=10)),
                ('due', models.DateTimeField(help_text="Not before; by the database's clock_timestamp().", null=True)),
                ('tries', models.PositiveSmallIntegerField(default=0, help_text='Attempts since it was made, or last replayed.')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('delivered_at', models.DateTimeField(null=True)),
                ('job', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='bulkops.job')),
            ],
            options={
                'ordering': ('-created_at', 'pk'),
            },
        ),
        migrations.CreateModel(
            name='DeliveryAttempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
                ('seconds', models.FloatField()),
                ('status', models.PositiveSmallIntegerField(help_text='Of the answer, where one came.', null=True)),
                ('error', models.TextField(blank=True, help_text='In words; empty where it was delivered.')),
                ('answer', models.TextField(blank=True, help_text="The first characters of the answer, a stranger's text.")),
                ('delivery', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='attempts', to='bulkops.delivery')),
            ],
            options={
                'ordering': ('pk',),
            },
        ),
        migrations.CreateModel(
            name='Endpoint',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('webhook', 'webhook'), ('email', 'e-mail')], default='webhook', max_length=10)),
                ('url', models.CharField(blank=True, max_length=2000)),
                ('description', models.CharField(blank=True, max_length=200)),
                ('events', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=50), default=list, size=None)),
                ('secret', models.CharField(blank=True, editable=False, max_length=100)),
                ('previous_secret', models.CharField(blank=True, editable=False, max_length=100)),
                ('previous_until', models.DateTimeField(editable=False, help_text='Until then both secrets sign.', null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('disabled_at', models.DateTimeField(help_text='Switched off since.', null=True)),
                ('disabled_reason', models.TextField(blank=True)),
                ('failing_since', models.DateTimeField(help_text='Every attempt since then has failed.', null=True)),
                ('not_before', models.DateTimeField(help_text='It asked to be left alone until then.', null=True)),
                ('lease', models.PositiveIntegerField(default=0, help_text='Fence: each claim raises it.')),
                ('leased_until', models.DateTimeField(help_text="By the database's clock_timestamp().", null=True)),
                ('holder', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='bulkops.cluster')),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ('created_at', 'pk'),
            },
        ),
        migrations.AddField(
            model_name='delivery',
            name='endpoint',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='bulkops.endpoint'),
        ),
        migrations.AddConstraint(
            model_name='endpoint',
            constraint=models.UniqueConstraint(condition=models.Q(('kind', 'email')), fields=('owner',), name='bulkops_one_email'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['endpoint', '-created_at'], name='bulkops_delivery_newest'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('state', 'pending')), fields=['endpoint', 'due'], name='bulkops_delivery_due'),
        ),
    ]
