-- XXH3-64 of 8 bytes, with the default secret (its words are the constants) and seed 0.
CREATE OR REPLACE FUNCTION pgshard.xxh3_64(key bigint) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bytes bytea := int8send(key);
    low bigint := 0;
    high bigint := 0;
    hash bigint;
BEGIN
    FOR i IN 0..3 LOOP
        high := high << 8 | get_byte(bytes, 3 - i);
        low := low << 8 | get_byte(bytes, 7 - i);
    END LOOP;
    hash := (high << 32 | low) # -4090762196417718878;
    hash := hash # (hash << 49 | (hash >> 15 & 562949953421311))
                 # (hash << 24 | (hash >> 40 & 16777215));
    hash := pgshard.i64(hash::numeric * 11507291218515648293);
    hash := hash # ((hash >> 35 & 536870911) + 8);
    hash := pgshard.i64(hash::numeric * 11507291218515648293);
    RETURN hash # (hash >> 28 & 68719476735);
END
$$;
