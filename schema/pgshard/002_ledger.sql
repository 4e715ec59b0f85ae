-- Step 2: the ledger of idempotency keys, which tells what became of a COMMIT whose answer was lost.
--
-- A row is written first in its transaction, so whoever asks about the key waits for that
-- transaction. Every ON CONFLICT is a real UPDATE: DO NOTHING would write nothing, and a COMMIT that
-- wrote nothing does not wait for the synchronous standby that the row's own COMMIT may still lack.

CREATE TABLE pgshard.tx_ledger (
    key         text        NOT NULL PRIMARY KEY CHECK (octet_length(key) BETWEEN 1 AND 128),
    fingerprint bytea       NOT NULL CHECK (octet_length(fingerprint) BETWEEN 1 AND 64),
    bucket      integer     NOT NULL CHECK (bucket >= 0),
    state       text        NOT NULL CHECK (state IN ('committed', 'aborted')),
    result      text        CHECK (octet_length(result) <= 65536),
    issued_at   timestamptz NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    version     smallint    NOT NULL DEFAULT 1
) WITH (fillfactor = 80); -- room for the result on the same page

-- For ledger_purge. Rows arrive in the order of time, so the small kind of index does.
CREATE INDEX tx_ledger_at ON pgshard.tx_ledger USING brin (at);

COMMENT ON TABLE pgshard.tx_ledger IS
    'Idempotency keys: committed with their result, or given up (aborted: a tombstone)';

-- Takes the key for this transaction. Waits for any other transaction that holds it.
CREATE FUNCTION pgshard.ledger_enter(key text, fingerprint bytea, bucket integer, issued_at timestamptz)
RETURNS TABLE (fresh boolean, result text)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
AS $$
#variable_conflict use_column
DECLARE
    held record;
    retention interval;
BEGIN
    SELECT i.ledger_retention INTO retention FROM pgshard.identity i;
    IF ledger_enter.issued_at < pg_catalog.now() - retention THEN
        RAISE EXCEPTION USING ERRCODE = 'PGS07',
            MESSAGE = pg_catalog.format('pgshard: the idempotency key was issued more than %s ago', retention),
            HINT = 'The ledger may have forgotten it. Find out what became of the request by other means.';
    ELSIF ledger_enter.issued_at > pg_catalog.now() + interval '5 minutes' THEN
        RAISE EXCEPTION USING ERRCODE = 'PGS07',
            MESSAGE = 'pgshard: the idempotency key was issued in the future',
            HINT = 'Set the clocks of the client and of the server.';
    END IF;
    INSERT INTO pgshard.tx_ledger AS l (key, fingerprint, bucket, state, issued_at)
    VALUES (ledger_enter.key, ledger_enter.fingerprint, ledger_enter.bucket, 'committed',
            ledger_enter.issued_at)
    ON CONFLICT ON CONSTRAINT tx_ledger_pkey DO UPDATE SET version = l.version
    RETURNING l.xmax = 0 AS fresh, l.fingerprint, l.state, l.result INTO held;
    IF held.fingerprint <> ledger_enter.fingerprint THEN
        RAISE EXCEPTION USING ERRCODE = 'PGS05',
            MESSAGE = 'pgshard: the idempotency key was used with another request',
            HINT = 'Use one key for one request.';
    END IF;
    IF held.state = 'aborted' THEN
        RAISE EXCEPTION USING ERRCODE = 'PGS06',
            MESSAGE = 'pgshard: the idempotency key was given up: nothing was done, nor will be, under it',
            HINT = 'Use a new key to try again.';
    END IF;
    RETURN QUERY SELECT held.fresh, held.result;
END
$$;

COMMENT ON FUNCTION pgshard.ledger_enter(text, bytea, integer, timestamptz) IS
    'Takes an idempotency key: fresh, or the stored result; PGS05, PGS06, PGS07';

-- Stores the result, in the transaction that took the key.
CREATE FUNCTION pgshard.ledger_leave(key text, result text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
AS $$
#variable_conflict use_column
BEGIN
    UPDATE pgshard.tx_ledger AS l SET result = ledger_leave.result
     WHERE l.key = ledger_leave.key AND l.state = 'committed' AND l.result IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'PGS04',
            MESSAGE = 'pgshard: this transaction does not hold the idempotency key';
    END IF;
END
$$;

COMMENT ON FUNCTION pgshard.ledger_leave(text, text) IS
    'Stores the result of the request under its idempotency key';

-- Settles a key whose outcome is unknown: waits for whoever holds it, then either finds it committed
-- or leaves a tombstone, so that it can never be committed later.
CREATE FUNCTION pgshard.ledger_resolve(key text, fingerprint bytea, bucket integer, issued_at timestamptz)
RETURNS TABLE (state text, result text)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
AS $$
#variable_conflict use_column
DECLARE
    held record;
    retention interval;
BEGIN
    SELECT i.ledger_retention INTO retention FROM pgshard.identity i;
    -- Rows stay for twice the retention; the five minutes are for clocks that differ.
    IF ledger_resolve.issued_at < pg_catalog.now() - 2 * retention + interval '5 minutes' THEN
        RAISE EXCEPTION USING ERRCODE = 'PGS07',
            MESSAGE = pg_catalog.format('pgshard: the idempotency key was issued more than %s ago', 2 * retention),
            HINT = 'The ledger may have forgotten it. Find out what became of the request by other means.';
    END IF;
    INSERT INTO pgshard.tx_ledger AS l (key, fingerprint, bucket, state, issued_at)
    VALUES (ledger_resolve.key, ledger_resolve.fingerprint, ledger_resolve.bucket, 'aborted',
            ledger_resolve.issued_at)
    ON CONFLICT ON CONSTRAINT tx_ledger_pkey DO UPDATE SET version = l.version
    RETURNING l.fingerprint, l.state, l.result INTO held;
    IF held.fingerprint <> ledger_resolve.fingerprint THEN
        RAISE EXCEPTION USING ERRCODE = 'PGS05',
            MESSAGE = 'pgshard: the idempotency key was used with another request',
            HINT = 'Use one key for one request.';
    END IF;
    RETURN QUERY SELECT held.state, held.result;
END
$$;

COMMENT ON FUNCTION pgshard.ledger_resolve(text, bytea, integer, timestamptz) IS
    'What became of an idempotency key: committed with its result, or aborted, now for good';

-- Forgets at most `rows` keys. For the owner: the application's role may not delete.
CREATE FUNCTION pgshard.ledger_purge(rows integer)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
AS $$
DECLARE
    purged bigint;
BEGIN
    DELETE FROM pgshard.tx_ledger WHERE key IN (
        SELECT l.key FROM pgshard.tx_ledger l
         WHERE l.at < pg_catalog.now() - 2 * (SELECT i.ledger_retention FROM pgshard.identity i)
         LIMIT ledger_purge.rows
    );
    GET DIAGNOSTICS purged = ROW_COUNT;
    RETURN purged;
END
$$;

COMMENT ON FUNCTION pgshard.ledger_purge(integer) IS
    'Deletes up to so many ledger rows older than twice the retention; run it regularly';
