-- XXH3-64 of 16 bytes, with the default secret (its words are the constants) and seed 0.
CREATE OR REPLACE FUNCTION pgshard.xxh3_64(key uuid) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bytes bytea := uuid_send(key);
    swapped bigint := 0;
    low bigint := 0;
    high bigint := 0;
    product numeric;
    hash bigint;
BEGIN
    FOR i IN 0..7 LOOP
        swapped := swapped << 8 | get_byte(bytes, i);
        low := low << 8 | get_byte(bytes, 7 - i);
        high := high << 8 | get_byte(bytes, 15 - i);
    END LOOP;
    swapped := swapped # -5099971528159427993;
    low := low # 7458650908927343033;
    high := high # -5812251307325107654;
    product := pgshard.u64(low) * pgshard.u64(high);
    hash := pgshard.i64(product) # pgshard.i64(div(product, 18446744073709551616));
    hash := pgshard.i64(hash::numeric + swapped + high + 16);
    hash := hash # (hash >> 37 & 134217727);
    hash := pgshard.i64(hash::numeric * 1609587791953885689);
    RETURN hash # (hash >> 32 & 4294967295);
END
$$;
