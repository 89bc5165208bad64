-- What the code sent whose newest migration was 0002. Never change it: that code is out there.

-- copy chunks
COPY bulkops_chunk (job_id, number, start, size, cursor, succeeded, skipped, failed, in_doubt, deferred, epoch, stop, finished) FROM STDIN

-- copy manifests
COPY bulkops_manifest (job_id, number, payload) FROM STDIN

-- claim
WITH free AS MATERIALIZED (
    SELECT id FROM bulkops_chunk
    WHERE job_id = %(job)s AND NOT finished AND NOT stop AND holder_id IS NULL
        AND (cursor < size OR due <= clock_timestamp())
    ORDER BY number LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE bulkops_chunk c SET epoch = epoch + 1, holder_id = %(cluster)s, worker = %(worker)s
FROM free
WHERE c.id = free.id
    AND EXISTS (SELECT 1 FROM bulkops_cluster WHERE id = %(cluster)s AND alive_until > clock_timestamp())
RETURNING c.id, c.epoch, c.number, c.start, c.size, c.cursor, c.deferred

-- places
SELECT job_id, place FROM (
    SELECT t.job_id, row_number() OVER (PARTITION BY j.queue ORDER BY min(t.due), t.job_id) - 1 AS place
    FROM bulkops_turn t JOIN bulkops_job j ON j.id = t.job_id
    WHERE t.holder_id IS NULL AND t.due IS NOT NULL AND j.started_at IS NULL
    GROUP BY t.job_id, j.queue
) waiting WHERE job_id = ANY(%s::uuid[])

-- enqueue
INSERT INTO django_q_ormq (key, payload, lock) VALUES (%s, %s, clock_timestamp() + %s * interval '1 second')
RETURNING id, pg_notify(%s, '')

-- prepare advance
PREPARE bulkops_advance (bigint, int, int, int, text, int, text, text, jsonb, float8) AS
WITH moved AS (
    UPDATE bulkops_chunk SET
        cursor = cursor + 1,
        succeeded = succeeded + ($5 = 'succeeded')::int,
        skipped = skipped + ($5 = 'skipped')::int,
        failed = failed + ($5 = 'failed')::int,
        in_doubt = in_doubt + ($5 = 'in_doubt')::int,
        deferred = deferred + ($5 = 'deferred')::int,
        due = CASE WHEN $5 = 'deferred' THEN LEAST(due, clock_timestamp() + $10 * interval '1 second') ELSE due END,
        finished = (cursor + 1 = size AND deferred = 0 AND $5 <> 'deferred'),
        in_hand = NULL,
        in_hand_attempt = NULL
    WHERE id = $1 AND epoch = $2 AND cursor = $3
    RETURNING job_id, stop
)
INSERT INTO bulkops_outcome (job_id, position, state, attempt, error_code, message, result, finished_at, due)
SELECT job_id, $4, $5, $6, $7, $8, $9, clock_timestamp(),
    CASE WHEN $5 = 'deferred' THEN clock_timestamp() + $10 * interval '1 second' END
FROM moved
RETURNING (SELECT stop FROM moved)

-- prepare resolve
PREPARE bulkops_resolve (bigint, int, int, int, text, int, text, text, jsonb, float8) AS
WITH moved AS (
    UPDATE bulkops_chunk c SET
        succeeded = succeeded + ($5 = 'succeeded')::int,
        skipped = skipped + ($5 = 'skipped')::int,
        failed = failed + ($5 = 'failed')::int,
        in_doubt = in_doubt + ($5 = 'in_doubt')::int,
        deferred = deferred - ($5 <> 'deferred')::int,
        finished = (cursor = size AND deferred = 1 AND $5 <> 'deferred'),
        in_hand = NULL,
        in_hand_attempt = NULL
    WHERE c.id = $1 AND c.epoch = $2 AND EXISTS (
        SELECT 1 FROM bulkops_outcome o
        WHERE o.job_id = c.job_id AND o.position = $3 AND o.state = 'deferred' AND o.attempt = $4)
    RETURNING job_id, stop
)
UPDATE bulkops_outcome o SET
    state = $5, attempt = $6, error_code = $7, message = $8, result = $9, finished_at = clock_timestamp(),
    due = CASE WHEN $5 = 'deferred' THEN clock_timestamp() + $10 * interval '1 second' END
FROM moved WHERE o.job_id = moved.job_id AND o.position = $3
RETURNING moved.stop

-- prepare begin
PREPARE bulkops_begin (bigint, int, int, int) AS
UPDATE bulkops_chunk SET in_hand = $3, in_hand_attempt = $4 WHERE id = $1 AND epoch = $2 RETURNING stop
