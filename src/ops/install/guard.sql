-- Whether a statement may see the rows of all keys: in a session of another role than the one that is
-- guarded, and where a query over many shards said so. Without a key it fails, rather than find
-- nothing. The session's own name counts, which neither SET ROLE nor a function of another owner changes.
CREATE OR REPLACE FUNCTION pgshard.guard_open(guarded name)
RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path = pg_catalog
AS $$
DECLARE
    held text;
BEGIN
    IF session_user <> guard_open.guarded THEN
        RETURN true;
    END IF;
    held := current_setting('pgshard.key', true);
    IF held IS NULL OR held = '' THEN
        RAISE EXCEPTION USING ERRCODE = 'PGS20',
            MESSAGE = 'pgshard: the table is guarded, and no key is set',
            HINT = 'Set guard.mode in the configuration of the service.';
    END IF;
    RETURN held = '*';
END
$$;

-- The key whose rows a statement may see; NULL if it may see all.
CREATE OR REPLACE FUNCTION pgshard.guard_key()
RETURNS TYPE
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path = pg_catalog
AS $$
BEGIN
    RETURN nullif(nullif(current_setting('pgshard.key', true), '*'), '')::TYPE;
END
$$;

-- Called before COMMIT, and after the statement of a read: the key still is the one that was set.
CREATE OR REPLACE FUNCTION pgshard.guard_leave(key text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog
AS $$
BEGIN
    IF current_setting('pgshard.key', true) IS DISTINCT FROM guard_leave.key THEN
        RAISE EXCEPTION USING ERRCODE = 'PGS21',
            MESSAGE = 'pgshard: the key of this transaction was changed',
            HINT = 'Do not set pgshard.key.';
    END IF;
END
$$;

