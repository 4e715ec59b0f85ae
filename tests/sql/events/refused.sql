-- What must not be answered.

-- name: refused-random
-- construct: refusal
-- refused: volatile, over many shards
SELECT id, random() FROM events;
-- name: refused-random-in-where
-- construct: refusal
-- refused: volatile
SELECT id FROM events WHERE random() < 0.5;
-- name: refused-random-hidden-in-aggregate
-- construct: refusal
-- refused: volatile
SELECT sum(random()) FROM events;
-- name: refused-random-in-order-by
-- construct: refusal
-- refused: volatile
SELECT id FROM events ORDER BY random();
-- name: refused-random-in-subquery
-- construct: refusal
-- refused: volatile
SELECT count(*) FROM (SELECT random() AS r FROM events) AS q WHERE r > 0.5;
-- name: refused-clock-timestamp
-- construct: refusal
-- refused: volatile
SELECT id, clock_timestamp() FROM events;
-- name: refused-timeofday
-- construct: refusal
-- refused: volatile
SELECT max(timeofday()) FROM events;
-- name: refused-gen-random-uuid
-- construct: refusal
-- refused: volatile
SELECT gen_random_uuid(), id FROM events;
-- name: refused-nextval
-- construct: refusal
-- refused: volatile, and it writes
SELECT nextval('counter'), id FROM events;
-- name: refused-setval
-- construct: refusal
-- refused: it writes
SELECT setval('counter', id) FROM events;
-- name: refused-pg-sleep
-- construct: refusal
-- refused: volatile
SELECT count(pg_sleep(0)) FROM events;
-- name: refused-set-config
-- construct: refusal
-- refused: volatile
SELECT set_config('work_mem', '1MB', false) FROM events;
-- name: refused-advisory-lock
-- construct: refusal
-- refused: volatile, takes a lock
SELECT pg_advisory_lock(id) FROM events;
-- name: refused-txid
-- construct: refusal
-- refused: each shard has its own
SELECT DISTINCT txid_current() FROM events;
-- name: refused-backend-pid
-- construct: refusal
-- refused: each shard has its own
SELECT DISTINCT pg_backend_pid() FROM events;
-- name: refused-server-address
-- construct: refusal
-- refused: each shard has its own
SELECT DISTINCT inet_server_port() FROM events;
-- name: refused-for-update
-- construct: refusal
-- refused: locks
SELECT id FROM events WHERE qty > 0 FOR UPDATE;
-- name: refused-for-share-in-subquery
-- construct: refusal
-- refused: locks
SELECT count(*) FROM (SELECT id FROM events FOR SHARE) AS q;
-- name: refused-for-update-one-shard
-- construct: refusal
-- refused: a read takes no locks
SELECT id FROM events WHERE account = 7 FOR UPDATE SKIP LOCKED;
-- name: refused-insert
-- construct: refusal
-- refused: a write
INSERT INTO events (account, id) VALUES (7, 1000000) RETURNING id;
-- name: refused-update
-- construct: refusal
-- refused: a write
UPDATE events SET qty = 0 RETURNING id;
-- name: refused-delete-in-cte
-- construct: refusal
-- refused: a write
WITH gone AS (DELETE FROM events WHERE account = 7 RETURNING id) SELECT count(*) FROM gone;
-- name: refused-select-into
-- construct: refusal
-- refused: a write
SELECT id INTO TEMP t FROM events;
-- name: refused-create
-- construct: refusal
-- refused: a write
CREATE TEMP TABLE t AS SELECT id FROM events;
-- name: refused-set
-- construct: refusal
-- refused: no SELECT
SET work_mem = '1MB';
-- name: refused-copy
-- construct: refusal
-- refused: no SELECT
COPY events TO STDOUT;
-- name: refused-explain
-- construct: refusal
-- refused: no SELECT
EXPLAIN SELECT count(*) FROM events;
-- name: refused-unknown-table
-- construct: refusal
-- refused: the topology does not know it
SELECT count(*) FROM unknown_things;
-- name: refused-unknown-table-joined
-- construct: refusal
-- refused: the topology does not know it
SELECT e.id FROM events e JOIN unknown_things u ON u.account = e.account;
-- name: refused-unknown-table-in-subquery
-- construct: refusal
-- refused: the topology does not know it
SELECT id FROM events WHERE account IN (SELECT account FROM unknown_things);
-- name: refused-catalog
-- construct: refusal
-- refused: each shard has its own
SELECT e.id, c.oid FROM events e JOIN pg_class c ON c.relname = e.kind;
-- name: refused-ctid
-- construct: refusal
-- refused: each shard has its own
SELECT ctid, id FROM events;
-- name: refused-xmin
-- construct: refusal
-- refused: each shard has its own
SELECT max(xmin::text) FROM events;
-- name: refused-tableoid
-- construct: refusal
-- refused: each shard has its own
SELECT DISTINCT tableoid FROM events;
-- name: refused-tableoid-regclass
-- construct: refusal
-- refused: each shard has its own
SELECT id FROM events e WHERE e.tableoid = 'events'::regclass;
-- name: error-two-statements
-- construct: error
-- error: 42601
SELECT 1; SELECT 2;
-- name: error-two-statements-with-a-write
-- construct: error
-- error: 42601
SELECT count(*) FROM events; DELETE FROM events;
-- name: refused-tablesample
-- construct: refusal
-- refused: another sample on each shard
SELECT id FROM events TABLESAMPLE BERNOULLI (10);
-- name: error-parameter-missing
-- construct: error
-- error: none
SELECT id FROM events WHERE account = $1;
-- name: error-unknown-column
-- construct: error
-- error: 42703
SELECT no_such_column FROM events;
-- name: error-unknown-column-in-key-query
-- construct: error
-- error: 42703
SELECT id FROM events WHERE account = 7 AND nope = 1;
-- name: error-ambiguous-column
-- construct: error
-- error: 42702
SELECT account FROM events e JOIN sessions s ON s.account = e.account;
-- name: error-not-grouped
-- construct: error
-- error: 42803
SELECT kind, qty FROM events GROUP BY kind;
-- name: error-aggregate-in-where
-- construct: error
-- error: 42803
SELECT id FROM events WHERE count(*) > 1;
-- name: error-nested-aggregate
-- construct: error
-- error: 42803
SELECT sum(count(*)) FROM events;
-- name: error-type-mismatch
-- construct: error
-- error: 42883
SELECT id FROM events WHERE kind = 5;
-- name: error-invalid-literal
-- construct: error
-- error: 22P02
SELECT id FROM events WHERE account = 'seven';
-- name: error-unknown-function
-- construct: error
-- error: 42883
SELECT no_such_function(id) FROM events;
-- name: error-union-columns
-- construct: error
-- error: 42601
SELECT id, kind FROM events UNION SELECT device FROM devices;
-- name: error-union-types
-- construct: error
-- error: 42804
SELECT id FROM events UNION SELECT model FROM devices;
-- name: error-window-in-where
-- construct: error
-- error: 42P20
SELECT id FROM events WHERE row_number() OVER () = 1;
-- name: error-order-position
-- construct: error
-- error: 42P10
SELECT id FROM events ORDER BY 3;
-- name: error-distinct-on-order
-- construct: error
-- error: 42P10
SELECT DISTINCT ON (kind) kind, id FROM events ORDER BY id;
-- name: error-distinct-order-not-selected
-- construct: error
-- error: 42P10
SELECT DISTINCT kind FROM events ORDER BY id;
-- name: error-negative-limit
-- construct: error
-- error: 2201W
SELECT id FROM events ORDER BY id LIMIT -1;
-- name: error-alias-hides-table
-- construct: error
-- error: 42P01
SELECT events.id FROM events e;
-- name: error-division-by-zero-on-one-shard
-- construct: error
-- error: 22012
SELECT 1 / (account - 7) FROM events;
-- name: error-cast-on-one-shard
-- construct: error
-- error: 22P02
SELECT CASE WHEN account = 7 THEN kind::int END FROM events;
-- name: error-in-combine
-- construct: error
-- error: 22012
SELECT 1 / (count(*) - count(*)) FROM events;
-- name: error-json-equality
-- construct: error
-- error: 42883
SELECT DISTINCT raw FROM events;
