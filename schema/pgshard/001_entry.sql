-- Step 1: who this shard is, whose term it is in, and the entry and exit of a write transaction.
--
-- Run by `shardctl install` as the DDL role, in one transaction a shard. Everything is qualified with
-- its schema, and the functions run with the caller's own rights: none of them can do what the
-- caller could not do by hand.

CREATE SCHEMA IF NOT EXISTS pgshard;

COMMENT ON SCHEMA pgshard IS 'pgshard: owned by the DDL role; written by shardctl install';

CREATE TABLE pgshard.identity (
    single           boolean  NOT NULL DEFAULT true PRIMARY KEY CHECK (single),
    cluster          text     NOT NULL CHECK (octet_length(cluster) BETWEEN 1 AND 32),
    shard            text     NOT NULL CHECK (octet_length(shard) BETWEEN 1 AND 32),
    map_version      bigint   NOT NULL CHECK (map_version >= 0),
    -- A digest of bucket -> shard and of the pins: the same version with another layout is refused.
    layout           text     NOT NULL,
    hash             text     NOT NULL,
    key_type         text     NOT NULL CHECK (key_type IN ('uuid', 'bigint', 'text')),
    buckets          integer  NOT NULL CHECK (buckets > 0),
    schema_version   integer  NOT NULL CHECK (schema_version > 0),
    ledger_retention interval NOT NULL CHECK (ledger_retention >= interval '1 hour')
);

COMMENT ON TABLE pgshard.identity IS
    'One row: the cluster and shard that this database is, its map version and its hash';

-- The terms of this shard's primaries, oldest first: a chain, because a parent has one child. A
-- timeline number would not do: two replicas promoted separately carry the same one.
CREATE TABLE pgshard.reign (
    reign     uuid        NOT NULL PRIMARY KEY,
    parent    uuid        UNIQUE REFERENCES pgshard.reign (reign),
    timeline  integer     NOT NULL CHECK (timeline > 0),
    start_lsn pg_lsn      NOT NULL,
    at        timestamptz NOT NULL DEFAULT now(),
    version   smallint    NOT NULL DEFAULT 1,
    CHECK (parent <> reign)
);

-- Only one reign is the first.
CREATE UNIQUE INDEX reign_first ON pgshard.reign ((true)) WHERE parent IS NULL;

COMMENT ON TABLE pgshard.reign IS 'The terms of this shard''s primaries; the newest is nobody''s parent';

-- Never holds a row. Every write transaction starts with LOCK TABLE pgshard.gate IN ACCESS SHARE
-- MODE, and whoever changes the map version takes ACCESS EXCLUSIVE. LOCK TABLE takes no snapshot, so a
-- transaction that had to wait here reads the new version, at REPEATABLE READ too; an advisory lock
-- is taken by a SELECT, whose snapshot is older than the wait.
CREATE TABLE pgshard.gate ();

COMMENT ON TABLE pgshard.gate IS
    'Locked, never filled: ACCESS SHARE by each write transaction, ACCESS EXCLUSIVE to change the map';

-- The second statement of every write transaction, after the lock on the gate.
CREATE FUNCTION pgshard.enter(nonce text, cluster text, shard text, map_version bigint, reign uuid)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
AS $$
DECLARE
    here record;
BEGIN
    IF pg_catalog.pg_is_in_recovery() THEN
        RAISE EXCEPTION USING ERRCODE = 'PGS02',
            MESSAGE = 'pgshard: this server is a standby',
            HINT = 'Look for the primary.';
    END IF;
    IF enter.nonce IS NULL OR enter.nonce = '' THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'pgshard: the nonce is empty';
    END IF;
    SELECT i.cluster, i.shard, i.map_version,
           EXISTS (SELECT FROM pgshard.reign r WHERE r.reign = enter.reign)
           AND NOT EXISTS (SELECT FROM pgshard.reign c WHERE c.parent = enter.reign) AS newest
      INTO here
      FROM pgshard.identity i;
    IF here.cluster IS DISTINCT FROM enter.cluster OR here.shard IS DISTINCT FROM enter.shard THEN
        RAISE EXCEPTION USING ERRCODE = 'PGS03',
            MESSAGE = pg_catalog.format('pgshard: this is shard %s of cluster %s, not shard %s of cluster %s',
                here.shard, here.cluster, enter.shard, enter.cluster),
            HINT = 'Check the nodes'' addresses in the topology file.';
    END IF;
    IF here.map_version IS DISTINCT FROM enter.map_version THEN
        RAISE EXCEPTION USING ERRCODE = 'PGS01',
            MESSAGE = pg_catalog.format('pgshard: the shard map here has version %s, the client''s has %s',
                here.map_version, enter.map_version),
            HINT = 'Load the topology file again.';
    END IF;
    IF NOT here.newest THEN
        RAISE EXCEPTION USING ERRCODE = 'PGS02',
            MESSAGE = pg_catalog.format('pgshard: %s is not the reign of this primary', enter.reign),
            HINT = 'Look for the primary.';
    END IF;
    PERFORM pg_catalog.set_config('pgshard.tx', enter.nonce, true);
END
$$;

COMMENT ON FUNCTION pgshard.enter(text, text, text, bigint, uuid) IS
    'First call of a write transaction: right shard, map version and reign, or PGS01, PGS02, PGS03';

-- Sent in one message with COMMIT, before it. The nonce was set for the transaction only, so it is
-- gone if the transaction was ended on the way, whatever was begun after; and in an aborted
-- transaction the call itself fails (25P02).
CREATE FUNCTION pgshard.leave(nonce text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
AS $$
BEGIN
    IF leave.nonce IS NULL OR leave.nonce = ''
       OR pg_catalog.current_setting('pgshard.tx', true) IS DISTINCT FROM leave.nonce THEN
        RAISE EXCEPTION USING ERRCODE = 'PGS04',
            MESSAGE = 'pgshard: this is not the transaction that was begun; a part of it may be durable',
            HINT = 'Do not send COMMIT or ROLLBACK inside a transaction closure.';
    END IF;
END
$$;

COMMENT ON FUNCTION pgshard.leave(text) IS
    'Last call of a write transaction: it is still the one that entered, or PGS04';
