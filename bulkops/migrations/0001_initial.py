"""The tables, as first released. Later migrations expand first and contract a release later."""


import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Cluster',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=200)),
                ('started_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('alive_until', models.DateTimeField(help_text="By the database's clock_timestamp().")),
                ('workers', models.PositiveIntegerField(default=0)),
                ('queues', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=100), default=list, size=None)),
            ],
        ),
        migrations.CreateModel(
            name='Job',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('operation', models.CharField(max_length=100)),
                ('name', models.CharField(blank=True, max_length=200)),
                ('tags', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=50), blank=True, default=list, size=None)),
                ('metadata', models.JSONField(blank=True, default=dict)),
                ('input_name', models.CharField(blank=True, max_length=255)),
                ('state', models.CharField(choices=[('preparing', 'preparing'), ('queued', 'queued'), ('running', 'running'), ('pausing', 'pausing'), ('paused', 'paused'), ('cancelling', 'cancelling'), ('completed', 'completed'), ('completed_with_errors', 'completed with errors'), ('cancelled', 'cancelled'), ('failed', 'failed')], max_length=25)),
                ('slot', models.CharField(editable=False, max_length=100, null=True, unique=True)),
                ('params', models.JSONField(blank=True, default=dict)),
                ('total', models.PositiveIntegerField(null=True)),
                ('limit', models.PositiveIntegerField(blank=True, null=True)),
                ('parallelism', models.PositiveSmallIntegerField(default=1)),
                ('queue', models.CharField(default='default', max_length=100)),
                ('collects', models.BooleanField(default=False, help_text='The operation finds its items itself.')),
                ('prepare_epoch', models.PositiveIntegerField(default=0)),
                ('crashes', models.PositiveSmallIntegerField(default=0, help_text='Workers that died in `items` or `finish`.')),
                ('prepared', models.PositiveIntegerField(default=0, help_text='Items collected or checked so far.')),
                ('operation_missing_since', models.DateTimeField(help_text='No worker has known the operation since.', null=True)),
                ('message', models.TextField(blank=True)),
                ('result', models.JSONField(blank=True, null=True)),
                ('error', models.TextField(blank=True)),
                ('error_code', models.CharField(blank=True, max_length=100)),
                ('cancel_reason', models.TextField(blank=True)),
                ('retry_count', models.PositiveIntegerField(default=0)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('started_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='bulkops_jobs', to=settings.AUTH_USER_MODEL)),
                ('parent', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='children', to='bulkops.job')),
            ],
            options={
                'ordering': ('-created_at', 'pk'),
            },
        ),
        migrations.CreateModel(
            name='IdempotencyKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=255)),
                ('fingerprint', models.CharField(max_length=64)),
                ('created_at', models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('job', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='bulkops.job')),
            ],
        ),
        migrations.CreateModel(
            name='Event',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
                ('kind', models.CharField(choices=[('submitted', 'submitted'), ('state_changed', 'state changed'), ('cancel_requested', 'cancel requested'), ('pause_requested', 'pause requested'), ('resumed', 'resumed'), ('rescued', 'work of a lost worker taken back'), ('late_result', 'a result arrived after its chunk was taken over'), ('hook_failed', 'an on-commit hook failed after the item was committed'), ('items_collected', 'items collected')], max_length=30)),
                ('from_state', models.CharField(blank=True, max_length=25)),
                ('to_state', models.CharField(blank=True, max_length=25)),
                ('detail', models.TextField(blank=True)),
                ('actor', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('job', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='events', to='bulkops.job')),
            ],
            options={
                'ordering': ('pk',),
            },
        ),
        migrations.CreateModel(
            name='Chunk',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('start', models.PositiveIntegerField(help_text='Position of its first item.')),
                ('size', models.PositiveIntegerField()),
                ('cursor', models.PositiveIntegerField(default=0, help_text='Items tried so far.')),
                ('succeeded', models.PositiveIntegerField(default=0)),
                ('skipped', models.PositiveIntegerField(default=0)),
                ('failed', models.PositiveIntegerField(default=0)),
                ('in_doubt', models.PositiveIntegerField(default=0)),
                ('deferred', models.PositiveIntegerField(default=0)),
                ('epoch', models.PositiveIntegerField(default=0, help_text='Fence: each claim and each rescue raises it.')),
                ('stop', models.BooleanField(default=False, help_text='Pause or cancel was asked.')),
                ('finished', models.BooleanField(default=False)),
                ('worker', models.PositiveIntegerField(null=True)),
                ('due', models.DateTimeField(help_text='When its first deferred item comes round.', null=True)),
                ('crashes', models.PositiveSmallIntegerField(db_default=0, default=0, help_text='Workers that died with one item.')),
                ('crash_position', models.PositiveIntegerField(help_text='That item.', null=True)),
                ('holder', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='bulkops.cluster')),
                ('job', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='chunks', to='bulkops.job')),
            ],
        ),
        migrations.CreateModel(
            name='Manifest',
            fields=[
                ('pk', models.CompositePrimaryKey('job_id', 'number', blank=True, editable=False, primary_key=True, serialize=False)),
                ('number', models.PositiveIntegerField(help_text="The chunk's number.")),
                ('payload', models.BinaryField()),
                ('job', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='bulkops.job')),
            ],
        ),
        migrations.CreateModel(
            name='Outcome',
            fields=[
                ('pk', models.CompositePrimaryKey('job_id', 'position', blank=True, editable=False, primary_key=True, serialize=False)),
                ('position', models.PositiveIntegerField()),
                ('state', models.CharField(choices=[('succeeded', 'succeeded'), ('skipped', 'skipped'), ('failed', 'failed'), ('in_doubt', 'in doubt'), ('deferred', 'deferred')], max_length=10)),
                ('attempt', models.PositiveSmallIntegerField(default=1)),
                ('error_code', models.CharField(blank=True, db_default='', max_length=100)),
                ('message', models.TextField(blank=True, db_default='')),
                ('result', models.JSONField(null=True)),
                ('finished_at', models.DateTimeField()),
                ('due', models.DateTimeField(help_text='Of a deferred item: not before.', null=True)),
                ('job', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='outcomes', to='bulkops.job')),
            ],
        ),
        migrations.CreateModel(
            name='Turn',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveSmallIntegerField()),
                ('seq', models.PositiveIntegerField(default=0, help_text='Raised at every use, so that a doubled message is inert.')),
                ('due', models.DateTimeField(help_text='Not before; NULL: nothing to do for it.', null=True)),
                ('message_id', models.BigIntegerField(help_text="The queue's row that carries it.", null=True)),
                ('worker', models.PositiveIntegerField(help_text='Number of the worker within its cluster.', null=True)),
                ('holder', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='bulkops.cluster')),
                ('job', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='turns', to='bulkops.job')),
            ],
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['owner', '-created_at'], name='bulkops_job_history'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['-created_at'], name='bulkops_job_newest'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('state__in', ['cancelling', 'paused', 'pausing', 'preparing', 'queued', 'running'])), fields=['state'], name='bulkops_job_active'),
        ),
        migrations.AddConstraint(
            model_name='job',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state__in', ['cancelling', 'paused', 'pausing', 'preparing', 'queued', 'running']), ('slot__isnull', False)), models.Q(models.Q(('state__in', ['cancelling', 'paused', 'pausing', 'preparing', 'queued', 'running']), _negated=True), ('slot__isnull', True)), _connector='OR'), name='bulkops_slot_while_active'),
        ),
        migrations.AddConstraint(
            model_name='idempotencykey',
            constraint=models.UniqueConstraint(fields=('user', 'key'), name='bulkops_idempotency_once'),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(fields=['job', 'id'], name='bulkops_event_of_job'),
        ),
        migrations.AddIndex(
            model_name='chunk',
            index=models.Index(condition=models.Q(('finished', False)), fields=['job', 'number'], name='bulkops_chunk_open'),
        ),
        migrations.AddIndex(
            model_name='chunk',
            index=models.Index(condition=models.Q(('holder__isnull', False)), fields=['holder'], name='bulkops_chunk_held'),
        ),
        migrations.AddConstraint(
            model_name='chunk',
            constraint=models.UniqueConstraint(fields=('job', 'number'), name='bulkops_chunk_once'),
        ),
        migrations.AddConstraint(
            model_name='chunk',
            constraint=models.CheckConstraint(condition=models.Q(('cursor__lte', models.F('size'))), name='bulkops_chunk_cursor_inside'),
        ),
        migrations.AddConstraint(
            model_name='chunk',
            constraint=models.CheckConstraint(condition=models.Q(('cursor', django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('succeeded'), '+', models.F('skipped')), '+', models.F('failed')), '+', models.F('in_doubt')), '+', models.F('deferred')))), name='bulkops_chunk_counts_add_up'),
        ),
        migrations.AddIndex(
            model_name='outcome',
            index=models.Index(condition=models.Q(('state', 'succeeded'), _negated=True), fields=['job', 'state', 'position'], name='bulkops_outcome_notable'),
        ),
        migrations.AddIndex(
            model_name='turn',
            index=models.Index(condition=models.Q(('due__isnull', False)), fields=['due'], name='bulkops_turn_due'),
        ),
        migrations.AddIndex(
            model_name='turn',
            index=models.Index(condition=models.Q(('holder__isnull', False)), fields=['holder'], name='bulkops_turn_held'),
        ),
        migrations.AddConstraint(
            model_name='turn',
            constraint=models.UniqueConstraint(fields=('job', 'number'), name='bulkops_turn_once'),
        ),
        # Each item updates its chunk's row in place (HOT), which needs room on the row's own page.
        migrations.RunSQL(
            'ALTER TABLE bulkops_chunk SET (fillfactor = 50)',
            'ALTER TABLE bulkops_chunk RESET (fillfactor)',
        ),
        # The payload is compressed already; PostgreSQL need not try again.
        migrations.RunSQL(
            'ALTER TABLE bulkops_manifest ALTER COLUMN payload SET STORAGE EXTERNAL',
            'ALTER TABLE bulkops_manifest ALTER COLUMN payload SET STORAGE EXTENDED',
        ),
    ]
