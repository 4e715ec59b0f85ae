-- Where rows travel, and what is easily lost on the way.

-- name: edge-domain-array
-- unanswered: an array of a domain
-- construct: array, cast
SELECT e.id, ARRAY[e.score] AS s FROM events e JOIN devices d ON d."order" = e.small WHERE d.owner < 4 AND e.id < 100;
-- name: edge-travelling-types
-- construct: non-colocated-join, cast
SELECT e.* FROM events e JOIN devices d ON d.device = e.id;
-- name: edge-travelling-types-through-a-window
-- construct: window, cast
SELECT e.*, row_number() OVER (ORDER BY id) FROM events e WHERE account < 12 OR account > 60;
-- name: edge-travelling-arrays
-- construct: array, non-colocated-join, null
SELECT e.id, e.tags, e.nums, e.tags[1], cardinality(e.nums), d.device FROM events e JOIN devices d ON d."order" = e.small AND d.model = 'desk';
-- name: edge-travelling-json-text
-- construct: jsonb, window
SELECT id, raw, doc, count(*) OVER () FROM events WHERE raw IS NOT NULL;
-- name: edge-char-keeps-its-blanks
-- construct: string, window
SELECT id, pad || '|' AS p, pad = 'x' AS x, octet_length(pad), count(*) OVER (PARTITION BY pad) FROM events;
-- name: edge-infinities
-- construct: date-time, window
SELECT id, at, day, ratio, rank() OVER (ORDER BY at DESC NULLS LAST, day, id) FROM events WHERE at = 'infinity' OR day = '-infinity' OR ratio = 'NaN';
-- name: edge-collation-of-gathered-comparison
-- construct: collation, non-colocated-join
SELECT e.id, d.name FROM events e JOIN dimensions d ON d.name > e.label WHERE e.id IN (SELECT device FROM devices);
-- name: edge-collation-of-two-sharded-tables
-- construct: collation, non-colocated-join
SELECT count(*), max(s.agent), min(e.label) FROM sessions s JOIN events e ON s.agent < e.label WHERE e.id < 60;
-- name: edge-collation-gathered-minimum
-- construct: collation, aggregate
SELECT max(m), min(m) FROM (SELECT kind, max(label) AS m FROM events GROUP BY kind) AS q;
-- name: edge-collation-union-of-minima
-- construct: collation, set-operation, order-by
-- compare: ordered
SELECT max(label) AS m FROM events GROUP BY kind UNION SELECT name FROM dimensions ORDER BY m DESC;
-- name: edge-nondeterministic-join
-- construct: collation, non-colocated-join
SELECT a.id, b.id FROM events a JOIN events b ON a.note = b.note WHERE a.id < 15 AND b.id BETWEEN 100 AND 140;
-- name: edge-nondeterministic-distinct-over-shards
-- construct: collation, aggregate-distinct, group-by
SELECT flag, count(DISTINCT note), count(DISTINCT lower(note)) FROM events GROUP BY flag;
-- name: edge-nondeterministic-in-subquery
-- construct: collation, in-subquery
-- empty: on a server without nondeterministic collations
SELECT id FROM events WHERE note IN (SELECT note FROM events WHERE account = 7 AND note = 'BETA');
-- name: edge-nondeterministic-partition
-- construct: collation, window
SELECT id, count(*) OVER (PARTITION BY note), dense_rank() OVER (ORDER BY note) FROM events;
-- name: edge-full-join-merged-column
-- construct: outer-join, group-by
SELECT dim, count(*), count(a.id), count(b.id) FROM (SELECT id, dim FROM events WHERE account = 7) a FULL JOIN (SELECT id, dim FROM events WHERE account = 12) b USING (dim) GROUP BY dim;
-- name: edge-full-join-merged-key
-- construct: outer-join, window
SELECT account, count(*) OVER (PARTITION BY account) FROM (SELECT account FROM sessions WHERE session = 2) a FULL JOIN (SELECT owner AS account FROM devices) b USING (account);
-- name: edge-group-by-nullable-key
-- construct: outer-join, group-by, null
SELECT d.owner, count(*), min(s.session) FROM sessions s LEFT JOIN devices d ON d.device = s.device AND d.owner = s.account GROUP BY d.owner;
-- name: edge-distinct-on-nullable-key
-- construct: outer-join, distinct-on
SELECT DISTINCT ON (d.owner) d.owner, s.account, s.session FROM sessions s LEFT JOIN devices d ON d.device = s.device AND d.owner = s.account ORDER BY d.owner, s.account, s.session;
-- name: edge-distinct-nullable-key
-- construct: outer-join, distinct
SELECT DISTINCT d.owner FROM sessions s LEFT JOIN devices d ON d.device = s.device AND d.owner = s.account;
-- name: edge-nullable-key-except
-- construct: outer-join, set-operation, null
SELECT d.owner FROM sessions s LEFT JOIN devices d ON d.device = s.device AND d.owner = s.account EXCEPT SELECT owner FROM devices WHERE owner > 30;
-- name: edge-full-join-null-groups
-- construct: outer-join, grouping-sets
SELECT a.account, b.owner, count(*) FROM sessions a FULL JOIN devices b ON a.account = b.owner AND a.session = 9 GROUP BY GROUPING SETS ((a.account), (b.owner));
-- name: edge-rows-of-nothing-joined-to-null-keys
-- construct: outer-join, colocated-join
SELECT s.account, s.session, d.device, e.id FROM sessions s LEFT JOIN devices d ON d.owner = s.account AND d.device = s.device LEFT JOIN events e ON e.account = d.owner AND e.session = s.session WHERE s.session = 1;
-- name: edge-null-keys-do-not-meet
-- construct: outer-join, self-join
SELECT a.x, b.x FROM (SELECT d.owner AS x FROM sessions s LEFT JOIN devices d ON d.owner = s.account AND d.device = s.device WHERE s.session = 1) a LEFT JOIN (SELECT owner AS x FROM devices WHERE "order" = 1) b ON a.x IS NOT DISTINCT FROM b.x;
-- name: edge-reference-duplicates
-- construct: reference-join, set-operation
SELECT tag FROM tags UNION ALL SELECT tag FROM tags;
-- name: edge-reference-limit
-- construct: reference-join, limit
-- compare: ordered
SELECT name FROM dimensions ORDER BY name LIMIT 3 OFFSET 1;
-- name: edge-reference-left-of-two
-- construct: reference-join, outer-join
SELECT d.id, t.tag, e.id FROM dimensions d LEFT JOIN tags t ON t.dim = d.id LEFT JOIN events e ON e.dim = t.dim AND e.account = 7 AND e.qty > 10;
-- name: edge-reference-left-grouped-by-key
-- construct: reference-join, outer-join, group-by
SELECT e.account, count(*), count(d.id) FROM dimensions d LEFT JOIN events e ON e.dim = d.id AND e.qty > 12 GROUP BY e.account;
-- name: edge-reference-not-in-sharded
-- construct: reference-join, in-subquery
-- empty: the rows that there are leave none
SELECT id FROM dimensions WHERE id NOT IN (SELECT dim FROM events WHERE dim IS NOT NULL AND qty > 15);
-- name: edge-reference-all-sharded
-- construct: reference-join, in-subquery
SELECT id FROM dimensions WHERE id >= ALL (SELECT dim FROM events WHERE dim IS NOT NULL AND dim < 9);
-- name: edge-reference-in-one-branch
-- construct: reference-join, set-operation, aggregate
SELECT count(*) FROM (SELECT id FROM dimensions UNION ALL SELECT dim FROM events) AS q;
-- name: edge-reference-distinct-over-shards
-- construct: reference-join, distinct
SELECT DISTINCT d.kind FROM dimensions d, events e WHERE e.dim = d.id;
-- name: edge-reference-lateral-from-sharded
-- construct: reference-join, lateral
SELECT e.id, l.name FROM events e LEFT JOIN LATERAL (SELECT d.name FROM dimensions d WHERE d.id > e.dim ORDER BY d.id LIMIT 1) AS l ON true WHERE e.qty > 10;
-- name: edge-limit-in-exists
-- construct: exists, limit
SELECT s.account, s.session FROM sessions s WHERE EXISTS (SELECT 1 FROM events e WHERE e.account = s.account ORDER BY e.id LIMIT 1 OFFSET 15);
-- name: edge-limit-in-lateral-by-other-column
-- construct: lateral, limit
SELECT t.tag, l.id FROM tags t, LATERAL (SELECT e.id FROM events e WHERE e.tags[1] = t.tag ORDER BY e.id DESC LIMIT 3) AS l;
-- name: edge-limit-in-union-branches
-- construct: set-operation, limit
(SELECT account, id FROM events WHERE qty > 0 ORDER BY id LIMIT 4 OFFSET 2) UNION ALL (SELECT account, id FROM events WHERE qty < 0 ORDER BY id DESC LIMIT 3);
-- name: edge-limit-by-key-in-subquery
-- construct: limit, from-subquery, key-predicate
SELECT * FROM (SELECT account, id FROM events ORDER BY id LIMIT 100) AS q WHERE q.account = 7;
-- name: edge-limit-over-distinct-key
-- construct: limit, distinct
-- compare: ordered
SELECT DISTINCT account FROM events ORDER BY account DESC LIMIT 5;
-- name: edge-window-filtered-by-key
-- construct: window, from-subquery, key-predicate
SELECT * FROM (SELECT account, id, row_number() OVER (ORDER BY id) AS n FROM events) AS q WHERE q.account = 9;
-- name: edge-distinct-on-filtered-by-key
-- construct: distinct-on, from-subquery, key-predicate
SELECT * FROM (SELECT DISTINCT ON (kind) kind, account, id FROM events ORDER BY kind, id DESC) AS q WHERE q.account = 60;
-- name: edge-aggregate-filtered-by-key
-- construct: aggregate, from-subquery, key-predicate
SELECT * FROM (SELECT max(account) AS account, kind, count(*) FROM events GROUP BY kind) AS q WHERE q.account = 9007199254740993;
-- name: edge-except-filtered-by-key
-- construct: set-operation, from-subquery, key-predicate
-- empty: the rows that there are leave none
SELECT * FROM (SELECT account, kind FROM events EXCEPT SELECT account + 1, kind FROM events) AS q WHERE q.account = 8;
-- name: edge-rollup-filtered-by-key
-- construct: grouping-sets, from-subquery, key-predicate
SELECT * FROM (SELECT account, count(*) FROM events GROUP BY ROLLUP (account)) AS q WHERE q.account = 7 OR q.account IS NULL;
-- name: edge-sum-of-counts-over-join
-- construct: aggregate, non-colocated-join, group-by
SELECT d.model, sum(q.n) FROM devices d JOIN (SELECT small, count(*) AS n FROM events GROUP BY small) AS q ON q.small = d."order" GROUP BY d.model;
-- name: edge-correlated-in-aggregate
-- construct: aggregate, scalar-subquery
SELECT s.agent, sum((SELECT count(*) FROM events e WHERE e.account = s.account AND e.session = s.session)) FROM sessions s GROUP BY s.agent;
-- name: edge-correlated-in-aggregate-not-key
-- construct: aggregate, scalar-subquery, reference-join
SELECT d.kind, sum((SELECT count(*) FROM events e WHERE e.dim = d.id)) FROM dimensions d GROUP BY d.kind;
-- name: edge-correlated-two-levels
-- construct: scalar-subquery, exists
SELECT d.owner, d.device, (SELECT count(*) FROM sessions s WHERE s.account = d.owner AND EXISTS (SELECT FROM events e WHERE e.account = s.account AND e.session = s.session AND e.small = d."order")) AS n FROM devices d;
-- name: edge-aggregate-of-the-outer-query
-- construct: aggregate, scalar-subquery
SELECT e.kind, (SELECT max(d.factor) FROM dimensions d WHERE d.id < count(e.id)) FROM events e GROUP BY e.kind;
-- name: edge-subquery-in-join-condition
-- construct: colocated-join, scalar-subquery
SELECT e.account, e.id, s.session FROM events e JOIN sessions s ON s.account = e.account AND s.session = (SELECT min(x.session) FROM sessions x WHERE x.account = e.account) WHERE e.qty > 10;
-- name: edge-subquery-over-all-in-join-condition
-- construct: colocated-join, scalar-subquery
SELECT e.account, e.id, s.session FROM events e JOIN sessions s ON s.account = e.account AND s.session = (SELECT max(x.session) FROM sessions x) WHERE e.qty > 0;
-- name: edge-string-agg-of-groups
-- construct: aggregate-order, from-subquery
SELECT string_agg(kind || '=' || n, ', ' ORDER BY n DESC, kind) FROM (SELECT kind, count(*) AS n FROM events WHERE kind <> '' GROUP BY kind) AS q;
-- name: edge-array-agg-of-empty-groups
-- construct: aggregate-order, aggregate-filter, empty-input
SELECT mood, array_agg(id ORDER BY id) FILTER (WHERE qty > 100), coalesce(string_agg(kind, ',' ORDER BY id) FILTER (WHERE qty > 100), 'none') FROM events GROUP BY mood;
-- name: edge-group-by-aggregate-alias-clash
-- construct: group-by, identifier
SELECT kind AS count, count(*) AS kind FROM events GROUP BY events.kind;
-- name: edge-order-by-desc-text-and-limit-with-nulls
-- construct: order-by, collation, limit
-- compare: ordered
SELECT label, plain, id FROM events ORDER BY plain COLLATE lexical DESC NULLS LAST, label NULLS FIRST, id LIMIT 30;
-- name: edge-order-by-numeric-scales
-- construct: order-by, numeric, limit
-- compare: ties(1)
-- reason: 1.5 and 1.50 tie
SELECT huge, id FROM events ORDER BY huge DESC NULLS LAST
LIMIT 200;
-- name: edge-group-by-float-zeroes-having
-- construct: group-by, having, numeric
SELECT ratio + 0.0, count(*) FROM events GROUP BY ratio HAVING ratio = 0;
-- name: edge-count-of-zero-signs
-- construct: aggregate-distinct, numeric
SELECT count(DISTINCT ratio), count(DISTINCT ratio::text), count(DISTINCT huge), count(DISTINCT huge::text) FROM events;
-- name: edge-avg-of-one-shard-null
-- construct: aggregate, null
SELECT kind, avg(CASE WHEN account = 7 THEN qty END), sum(CASE WHEN account = 7 THEN amount END), min(CASE WHEN account = 7 THEN at END) FROM events GROUP BY kind;
-- name: edge-bool-and-of-nulls
-- construct: aggregate, null
SELECT kind, bool_and(CASE WHEN account <> 7 THEN flag END), every(CASE WHEN account = 7 THEN true END) FROM events GROUP BY kind;
-- name: edge-sum-scale-of-shards
-- construct: aggregate, numeric
SELECT sum(CASE WHEN account = 7 THEN 1.5 ELSE 1.000 END), avg(CASE WHEN account = 7 THEN 1 ELSE 2.00 END), max(CASE WHEN account = 7 THEN 9.90 ELSE 1 END) FROM events;
-- name: edge-variance-of-large-values
-- construct: aggregate, numeric
SELECT variance(qty + 1000000000), stddev_pop(big), var_samp(account % 1000) FROM events;
-- name: edge-now-in-joined-subqueries
-- construct: date-time, cte
WITH a AS (SELECT account, now() AS t FROM events), b AS (SELECT owner, now() AS t FROM devices) SELECT count(DISTINCT a.t), bool_and(a.t = b.t) FROM a JOIN b ON a.account = b.owner;
-- name: edge-today-as-text-is-not-kept
-- construct: date-time, aggregate
SELECT count(*) FROM events WHERE day < 'today'::date AND seen < 'now'::timestamptz;
-- name: edge-parameter-types-from-context
-- construct: parameter, window
-- params: 3::int2; 'buy'::text; 10::int8
SELECT id, rank() OVER (ORDER BY small = $1, id) FROM events WHERE kind = $2 ORDER BY 1 LIMIT $3;
-- name: edge-parameter-in-two-places-of-two-parts
-- construct: parameter, non-colocated-join
-- params: 5::int4
SELECT e.id, d.device FROM events e JOIN devices d ON d."order" = e.small WHERE e.qty > $1 AND d."order" < $1 AND e.id < 200;
-- name: edge-parameter-only-in-the-combine
-- construct: parameter, from-subquery, aggregate
-- params: 100::numeric
SELECT count(*) FROM (SELECT label, sum(amount) AS s FROM events GROUP BY label) AS q WHERE q.s > $1;
-- name: edge-user-function-that-reads-tables
-- construct: refusal
-- refused: it would see one shard's rows
SELECT DISTINCT count_events() FROM devices;
-- name: edge-user-function-without-tables
-- construct: cast
-- unanswered: what a function of the users' own does is not known
SELECT id, twice(qty) FROM events WHERE twice(qty) > 30;
-- name: edge-view
-- construct: refusal
-- refused: the topology does not know it
SELECT * FROM all_events;
-- name: edge-whole-row
-- construct: row-comparison
-- unanswered: a whole row as a value
SELECT d FROM devices d WHERE d.owner < 10;
-- name: edge-regclass-number
-- construct: refusal
-- refused: each shard has its own
SELECT DISTINCT 'events'::regclass::oid FROM events;
-- name: edge-relation-size
-- construct: refusal
-- refused: each shard has its own
SELECT DISTINCT pg_relation_size('events') FROM events;
-- name: edge-current-setting
-- construct: refusal
-- refused: each server has its own
SELECT DISTINCT current_setting('port') FROM events;
-- name: edge-current-catalog
-- construct: refusal
-- refused: it depends on the server
SELECT DISTINCT current_database() FROM events;
-- name: edge-enum-range
-- construct: cast, array
-- unanswered: an array of an enum of the users' own
SELECT mood, count(*), enum_range(NULL::mood) FROM events GROUP BY mood;
