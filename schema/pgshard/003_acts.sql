-- Step 3: operators' acts: the log of who decided what and why, and what the decisions amount to.
--
-- An act must reach every client process and outlive it, so it is stored here, on each server of the
-- shard that takes writes. The log is pgshard.act; what it amounts to is a part of the one row of
-- pgshard.identity, which every probe reads and every write transaction checks. Both are written in
-- one transaction, by the owner (`shardctl shard`, `shardctl node`); the application's role reads them.

ALTER TABLE pgshard.identity
    -- The number of the last act here. Of two servers that disagree, the higher number is right.
    ADD COLUMN acts              bigint NOT NULL DEFAULT 0 CHECK (acts >= 0),
    ADD COLUMN mode              text   NOT NULL DEFAULT 'open'
                                 CHECK (mode IN ('open', 'read-only', 'drained', 'fenced')),
    -- Who set the mode, when and why, for those who are refused.
    ADD COLUMN mode_note         text   NOT NULL DEFAULT '' CHECK (octet_length(mode_note) <= 2048),
    -- Nodes that are not to be used, by their names in the topology file; and, at the same place, the
    -- reign of one that was writable: no write begins in it.
    ADD COLUMN fenced_nodes      text[] NOT NULL DEFAULT '{}',
    ADD COLUMN fenced_reigns     uuid[] NOT NULL DEFAULT '{}',
    -- The reign that an operator began: a server whose history lacks it, and is no part of its past, is
    -- on a branch that was given up.
    ADD COLUMN chosen            uuid,
    -- The server that an operator confirmed to be this shard's, as after pg_upgrade.
    ADD COLUMN system_identifier bigint,
    ADD CONSTRAINT identity_fences
        CHECK (coalesce(cardinality(fenced_nodes), 0) = coalesce(cardinality(fenced_reigns), 0));

CREATE TABLE pgshard.act (
    number            bigint      NOT NULL UNIQUE CHECK (number > 0),
    -- The same on every server that the act was written on.
    id                uuid        NOT NULL PRIMARY KEY,
    at                timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor             text        NOT NULL CHECK (octet_length(actor) BETWEEN 1 AND 256),
    role              text        NOT NULL DEFAULT session_user,
    act               text        NOT NULL CHECK (act IN ('fence', 'unfence', 'read-only', 'drain',
                                  'open', 'accept-loss', 'name-primary', 'adopt', 'node-fence',
                                  'node-unfence')),
    node              text        CHECK (octet_length(node) BETWEEN 1 AND 256),
    reign             uuid,
    system_identifier bigint,
    reason            text        NOT NULL CHECK (octet_length(reason) BETWEEN 1 AND 1024),
    version           smallint    NOT NULL DEFAULT 1
);

COMMENT ON TABLE pgshard.act IS
    'The log of operators'' acts, oldest first by number: append-only';

CREATE FUNCTION pgshard.act_is_append_only()
RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = '55000',
        MESSAGE = 'pgshard: the log of operators'' acts is append-only',
        HINT = 'A wrong act is undone by another one.';
END
$$;

COMMENT ON FUNCTION pgshard.act_is_append_only() IS 'Keeps pgshard.act from being changed';

CREATE TRIGGER act_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON pgshard.act
    FOR EACH STATEMENT EXECUTE FUNCTION pgshard.act_is_append_only();

-- As before, and the mode of the shard and the fences of nodes are obeyed.
CREATE OR REPLACE FUNCTION pgshard.enter(nonce text, cluster text, shard text, map_version bigint, reign uuid)
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
    SELECT i.cluster, i.shard, i.map_version, i.mode, i.mode_note,
           enter.reign = ANY (i.fenced_reigns) AS node_fenced,
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
    IF here.mode = 'fenced' THEN
        RAISE EXCEPTION USING ERRCODE = 'PGS09',
            MESSAGE = pg_catalog.format('pgshard: shard %s was fenced by %s', here.shard, here.mode_note),
            HINT = 'An operator ends it: shardctl shard unfence.';
    ELSIF here.mode <> 'open' THEN
        RAISE EXCEPTION USING ERRCODE = 'PGS08',
            MESSAGE = pg_catalog.format('pgshard: shard %s was made %s by %s', here.shard, here.mode,
                here.mode_note),
            HINT = 'An operator ends it: shardctl shard open.';
    END IF;
    IF here.node_fenced THEN
        RAISE EXCEPTION USING ERRCODE = 'PGS02',
            MESSAGE = 'pgshard: an operator fenced this node',
            HINT = 'Look for the primary; an operator ends it: shardctl node unfence.';
    END IF;
    PERFORM pg_catalog.set_config('pgshard.tx', enter.nonce, true);
END
$$;

COMMENT ON FUNCTION pgshard.enter(text, text, text, bigint, uuid) IS
    'First call of a write transaction: right shard, map version and reign, and open, or PGS01, 02, 03, 08, 09';
