-- Queries that were written to break the planner: one for each rule that might not hold.

-- name: hostile-paren-order-by-alias
-- construct: order-by, identifier
-- compare: ordered
SELECT -qty AS qty, account, id FROM events WHERE qty IS NOT NULL ORDER BY (qty), account, id;
-- name: hostile-paren-order-by-alias-limit
-- construct: order-by, limit
-- compare: ordered
SELECT -qty AS qty, account, id FROM events WHERE qty IS NOT NULL ORDER BY (qty), account, id LIMIT 7;
-- name: hostile-paren-order-by-position
-- construct: order-by, limit
-- compare: ordered
SELECT account, id FROM events ORDER BY (1), (2) LIMIT 9;
-- name: hostile-paren-order-by-position-two
-- construct: order-by, limit
-- compare: ordered
SELECT id % 7, account, id FROM events ORDER BY ((1)) DESC, 2, 3 LIMIT 9;
-- name: hostile-paren-group-by-column
-- construct: group-by, identifier
SELECT id % 3 AS session, session AS s, count(*) FROM events GROUP BY (session), id % 3;
-- name: hostile-paren-group-by-new-alias
-- construct: group-by
SELECT id % 3 AS rest, count(*) FROM events GROUP BY (rest);
-- name: hostile-paren-group-by-position
-- construct: group-by
SELECT id % 3, count(*) FROM events GROUP BY (1);
-- name: hostile-paren-group-by-key
-- construct: group-by
SELECT (account), count(*) FROM events GROUP BY (account);
-- name: hostile-paren-distinct-on-position
-- construct: distinct-on, order-by
-- compare: ordered
SELECT DISTINCT ON ((1)) dim, account, id FROM events ORDER BY (1), account, id;
-- name: hostile-paren-distinct-on-alias
-- construct: distinct-on, order-by
-- compare: ordered
SELECT DISTINCT ON ((dim)) dim % 3 AS dim, account, id FROM events ORDER BY (dim), account, id;
-- name: hostile-paren-order-set
-- construct: set-operation, order-by
-- compare: ordered
SELECT account FROM events UNION SELECT owner FROM devices ORDER BY (account) DESC;
-- name: hostile-paren-order-set-position
-- construct: set-operation, order-by
-- compare: ordered
SELECT account AS a FROM events UNION SELECT owner FROM devices ORDER BY (1) DESC LIMIT 4;
-- name: hostile-order-by-expression-uses-column
-- construct: order-by, identifier
-- compare: ordered
SELECT -qty AS qty, account, id FROM events WHERE qty IS NOT NULL ORDER BY qty + 0, account, id LIMIT 7;
-- name: hostile-order-by-alias-hides-column
-- construct: order-by, identifier
-- compare: ordered
SELECT id AS account, account AS id FROM events ORDER BY account, id LIMIT 7;
-- name: hostile-group-by-column-hides-alias
-- construct: group-by, identifier
SELECT id % 3 AS dim, count(*) FROM events GROUP BY dim, id % 3;
-- name: hostile-nest-right
-- construct: outer-join
SELECT e.id, s.session, d.device FROM events e RIGHT JOIN (sessions s JOIN devices d ON s.device = d.device) ON e.account = s.account AND s.account = d.owner AND e.session = s.session;
-- name: hostile-nest-right-left
-- construct: outer-join
SELECT e.id, s.account, s.session, d.device FROM events e RIGHT JOIN (sessions s LEFT JOIN devices d ON s.session = d."order") ON e.account = s.account AND s.account = d.owner AND e.session = s.session;
-- name: hostile-nest-full
-- construct: outer-join
SELECT count(*), count(e.id), count(s.session), count(d.device) FROM events e FULL JOIN (sessions s LEFT JOIN devices d ON s.session = d."order") ON e.account = s.account AND s.account = d.owner AND e.session = s.session;
-- name: hostile-nest-full-inner
-- construct: outer-join, aggregate
SELECT count(*), count(e.id), count(s.session), count(d.device) FROM events e FULL JOIN (sessions s JOIN devices d ON s.session = d."order") ON e.account = s.account AND s.account = d.owner;
-- name: hostile-nest-left
-- construct: outer-join
SELECT e.account, e.id, s.session, d.device FROM events e LEFT JOIN (sessions s LEFT JOIN devices d ON s.session = d."order") ON e.account = s.account AND e.account = d.owner AND e.session = s.session;
-- name: hostile-nest-left-inner
-- construct: outer-join
SELECT e.account, e.id, s.session, d.device FROM events e LEFT JOIN (sessions s JOIN devices d ON s.session = d."order") ON e.account = s.account AND e.account = d.owner AND e.session = s.session;
-- name: hostile-left-where-equal-key
-- construct: outer-join
SELECT s.account, s.session, d.device FROM sessions s LEFT JOIN devices d ON d."order" = s.session WHERE s.account = d.owner;
-- name: hostile-full-where-equal-key
-- construct: outer-join
SELECT s.account, s.session, d.device FROM sessions s FULL JOIN devices d ON d."order" = s.session WHERE s.account = d.owner;
-- name: hostile-full-then-left
-- construct: outer-join, aggregate
SELECT count(*), count(l.line), count(d.device) FROM sessions s FULL JOIN devices d ON d.owner = s.account AND d.device = s.device LEFT JOIN "Ledger Lines" l ON l."Account" = s.account;
-- name: hostile-full-then-left-other
-- construct: outer-join, aggregate
SELECT count(*), count(l.line), count(d.device) FROM sessions s FULL JOIN devices d ON d.owner = s.account AND d.device = s.device LEFT JOIN "Ledger Lines" l ON l."Account" = coalesce(s.account, d.owner);
-- name: hostile-left-left-through-null
-- construct: outer-join, aggregate
SELECT count(*), count(d.device), count(l.line) FROM events e LEFT JOIN sessions s ON s.account = e.account AND s.session = e.session LEFT JOIN devices d ON d.owner = s.account LEFT JOIN "Ledger Lines" l ON l."Account" = d.owner;
-- name: hostile-left-null-key-group
-- construct: outer-join, group-by, null
SELECT s.account, count(*) FROM events e LEFT JOIN sessions s ON s.account = e.account AND s.session = e.session GROUP BY s.account;
-- name: hostile-left-null-key-distinct
-- construct: outer-join, distinct, null
SELECT DISTINCT s.account FROM events e LEFT JOIN sessions s ON s.account = e.account AND s.session = e.session;
-- name: hostile-left-null-key-not-in
-- construct: outer-join, in-subquery, null
-- empty: there may be none
SELECT e.account, e.id FROM events e LEFT JOIN sessions s ON s.account = e.account AND s.session = e.session WHERE s.account NOT IN (SELECT owner FROM devices);
-- name: hostile-left-null-key-window
-- construct: outer-join, window
SELECT e.account, e.id, count(*) OVER (PARTITION BY s.account) FROM events e LEFT JOIN sessions s ON s.account = e.account AND s.session = e.session;
-- name: hostile-left-on-constant
-- construct: outer-join, key-predicate
SELECT s.account, s.session, d.device FROM sessions s LEFT JOIN devices d ON s.account = 7 AND d.owner = 7;
-- name: hostile-right-reference
-- construct: outer-join, reference-join, aggregate
SELECT d.id, count(e.id) FROM events e RIGHT JOIN dimensions d ON d.id = e.dim AND e.account = 7 GROUP BY d.id;
-- name: hostile-right-reference-where-key
-- construct: outer-join, reference-join, key-predicate
SELECT d.id, e.id FROM events e RIGHT JOIN dimensions d ON d.id = e.dim WHERE e.account = 7 OR e.account IS NULL;
-- name: hostile-using-other-type
-- construct: colocated-join, cast
-- empty: there may be none
SELECT count(*) FROM tags JOIN (SELECT account, weight FROM sessions WHERE weight > 0 UNION ALL SELECT account, session FROM sessions) s USING (weight);
-- name: hostile-using-int-bigint
-- construct: reference-join, cast
SELECT id * 1000000000 AS x FROM dimensions JOIN events USING (id);
-- name: hostile-using-int-numeric
-- construct: reference-join, numeric
-- empty: there may be none
SELECT w, (w / 2)::text AS half FROM (SELECT weight AS w FROM tags) t JOIN (SELECT round(weight / 10) AS w, account FROM sessions) s USING (w);
-- name: hostile-using-int-numeric-hidden
-- construct: reference-join, numeric
SELECT count(*) FROM (SELECT id AS v FROM dimensions) t JOIN (SELECT id::numeric AS v, account FROM events) s USING (v) WHERE v / 2 > 1.4 AND v / 2 < 2;
-- name: hostile-using-int-numeric-left
-- construct: outer-join, numeric
SELECT count(*) FROM (SELECT id AS v FROM dimensions) t LEFT JOIN (SELECT id::numeric AS v, account FROM events) s USING (v) WHERE v / 2 > 1.4 AND v / 2 < 2;
-- name: hostile-using-int-numeric-group
-- construct: reference-join, numeric, group-by
SELECT v / 2 > 1.4, count(*) FROM (SELECT id AS v FROM dimensions) t JOIN (SELECT id::numeric AS v, account FROM events) s USING (v) GROUP BY v;
-- name: hostile-natural-other-type
-- construct: reference-join, numeric
SELECT count(*) FROM (SELECT id AS v FROM dimensions) t NATURAL JOIN (SELECT (id::text || '.0')::numeric AS v FROM events) s WHERE (v / 2)::text LIKE '%.5%';
-- name: hostile-outer-agg-filter
-- construct: aggregate-filter, scalar-subquery
SELECT (SELECT count(*) FILTER (WHERE e.qty > 1)) FROM events e;
-- name: hostile-outer-agg-filter-from
-- construct: aggregate-filter, scalar-subquery
SELECT (SELECT count(*) FILTER (WHERE e.qty > 1) FROM dimensions d WHERE d.id = 1) FROM events e;
-- name: hostile-outer-agg-within-group
-- construct: aggregate-order, scalar-subquery
SELECT (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY e.id)) FROM events e;
-- name: hostile-outer-agg-order
-- construct: aggregate-order, scalar-subquery
SELECT (SELECT count(1 ORDER BY e.id) FROM dimensions d WHERE d.id = 1) FROM events e;
-- name: hostile-outer-agg-sum
-- construct: aggregate, scalar-subquery
SELECT (SELECT sum(e.qty) FROM dimensions d WHERE d.id = 1) FROM events e;
-- name: hostile-outer-agg-group
-- construct: aggregate, scalar-subquery, group-by
SELECT e.kind, (SELECT sum(e.qty)) FROM events e GROUP BY e.kind;
-- name: hostile-outer-agg-filter-group
-- construct: aggregate-filter, scalar-subquery, group-by
SELECT e.account, (SELECT count(*) FILTER (WHERE e.qty > 1)) FROM events e GROUP BY e.account;
-- name: hostile-outer-agg-sharded
-- construct: aggregate, scalar-subquery
-- empty: there may be none
SELECT (SELECT sum(e.qty) FROM devices d WHERE d.owner = 7 AND d.device = 71) FROM events e;
-- name: hostile-outer-agg-having
-- construct: aggregate, having, exists
-- empty: there may be none
SELECT e.account FROM events e GROUP BY e.account HAVING EXISTS (SELECT FROM dimensions d WHERE d.id = count(e.kind));
-- name: hostile-outer-agg-depth-two
-- construct: aggregate, scalar-subquery
SELECT (SELECT (SELECT sum(e.qty) + max(d.id)) FROM dimensions d) FROM events e;
-- name: hostile-inner-agg-mixed
-- construct: aggregate, scalar-subquery
SELECT e.account, e.id, (SELECT sum(e.qty * d.id) FROM dimensions d) FROM events e;
-- name: hostile-inner-agg-mixed-sharded
-- construct: aggregate, scalar-subquery
SELECT e.account, e.id, (SELECT sum(e.qty + d."order") FROM devices d) FROM events e WHERE e.account < 10;
-- name: hostile-inner-agg-mixed-sharded-avg
-- construct: aggregate, scalar-subquery
SELECT e.id, (SELECT avg(e.qty + d."order") FROM devices d WHERE d."order" > 2) FROM events e WHERE e.account = 3 OR e.account = 4;
-- name: hostile-distinct-collate-c
-- construct: distinct, collation
SELECT DISTINCT note COLLATE "C" FROM events;
-- name: hostile-distinct-collate-c-upper
-- construct: distinct, string
SELECT DISTINCT md5(note) FROM events;
-- name: hostile-distinct-numeric-text
-- construct: distinct, numeric, cast
SELECT DISTINCT huge::text FROM events WHERE huge < 20 AND huge >= 0;
-- name: hostile-distinct-float-text
-- construct: distinct, cast
SELECT DISTINCT ratio::text FROM events WHERE ratio = 0;
-- name: hostile-distinct-interval-text
-- construct: distinct, date-time
SELECT DISTINCT span::text FROM events;
-- name: hostile-distinct-bpchar-length
-- construct: distinct, string
SELECT DISTINCT octet_length(pad), pad FROM events;
-- name: hostile-distinct-where-left
-- construct: distinct, collation, exists
SELECT DISTINCT e.note COLLATE "C" AS n FROM events e WHERE EXISTS (SELECT FROM devices d WHERE d."order" = e.dim) AND e.note IS NOT NULL;
-- name: hostile-distinct-lower-group
-- construct: distinct, group-by, collation
SELECT DISTINCT lower(note COLLATE "C"), count(*) > 1 FROM events GROUP BY note COLLATE "C";
-- name: hostile-count-distinct-collate
-- construct: aggregate-distinct, collation
SELECT count(DISTINCT note), count(DISTINCT note COLLATE "C"), count(DISTINCT huge), count(DISTINCT huge::text), count(DISTINCT ratio::text), count(DISTINCT span) FROM events;
-- name: hostile-string-agg-distinct-c
-- construct: aggregate-distinct, collation
SELECT string_agg(DISTINCT note COLLATE "C", ',') FROM events;
-- name: hostile-count-distinct-filter
-- construct: aggregate-distinct, aggregate-filter, group-by
SELECT kind, count(DISTINCT note) FILTER (WHERE note COLLATE "C" = 'Alpha'), sum(qty), count(*) FROM events GROUP BY kind;
-- name: hostile-distinct-in-subquery
-- construct: distinct, in-subquery
SELECT count(*) FROM events WHERE huge::text IN (SELECT DISTINCT huge::text FROM events WHERE qty > 10);
-- name: hostile-rename-swapped-key
-- construct: key-predicate, identifier
SELECT t.account, t.id FROM sessions AS t(id, account) WHERE t.account = 1;
-- name: hostile-rename-swapped-group
-- construct: group-by, identifier
SELECT account, count(*) FROM sessions AS t(id, account) GROUP BY account;
-- name: hostile-rename-swapped-join
-- construct: colocated-join, identifier
SELECT count(*) FROM sessions AS t(session, account) JOIN events e ON e.account = t.account;
-- name: hostile-rename-swapped-join-key
-- construct: colocated-join, identifier
SELECT count(*) FROM sessions AS t(session, account) JOIN events e ON e.account = t.session AND e.session = t.account;
-- name: hostile-rename-key-only
-- construct: colocated-join, identifier
SELECT t.k, count(*) FROM sessions AS t(k) JOIN events e ON e.account = t.k GROUP BY t.k;
-- name: hostile-rename-key-predicate
-- construct: key-predicate, identifier
SELECT t.k, t.session FROM sessions AS t(k) WHERE k = 7;
-- name: hostile-rename-swapped-distinct
-- construct: distinct, identifier
SELECT DISTINCT account FROM sessions AS t(session, account);
-- name: hostile-rename-cte
-- construct: cte, identifier
WITH t(session, account) AS (SELECT account, session FROM sessions) SELECT account, count(*) FROM t GROUP BY account;
-- name: hostile-rename-cte-key
-- construct: cte, key-predicate
WITH t(session, account) AS (SELECT account, session FROM sessions) SELECT * FROM t WHERE account = 1;
-- name: hostile-rename-cte-twice
-- construct: cte, identifier
WITH t(session, account) AS (SELECT account, session FROM sessions) SELECT account, count(*) FROM t AS u(account, x) GROUP BY account;
-- name: hostile-rename-derived-swap
-- construct: from-subquery, key-predicate
SELECT account, count(*) FROM (SELECT account, session FROM sessions) AS t(session, account) WHERE account = 1 GROUP BY account;
-- name: hostile-literal-fragment-name
-- construct: string, aggregate-order
SELECT string_agg(kind, 'pgshard_f0' ORDER BY kind, account, id) FROM events WHERE qty > 17;
-- name: hostile-literal-fragment-name-split
-- construct: string, aggregate
SELECT 'pgshard_f0' AS x, max(qty) FROM events;
-- name: hostile-literal-fragment-name-pushed
-- construct: string
-- compare: ordered
SELECT 'from pgshard_f0, x' AS "pgshard_f0", id FROM events ORDER BY label NULLS FIRST, account, id LIMIT 3;
-- name: hostile-alias-fragment-name
-- construct: identifier, aggregate
SELECT count(*) AS "pgshard_f0" FROM events AS pgshard_f0;
-- name: hostile-alias-odd-quote
-- construct: identifier, aggregate
SELECT count(*) AS "a""b", max(qty) AS "select", min(qty) AS "É x" FROM events;
-- name: hostile-alias-fold
-- construct: identifier, aggregate
SELECT count(*) AS ÀB, max(qty) AS Ünit FROM events;
-- name: hostile-dollar-string
-- construct: string, aggregate
SELECT $$it's$$ AS a, count(*) FROM events WHERE plain = $x$a_b$x$;
-- name: hostile-escape-string
-- construct: string
SELECT count(*) FROM events WHERE plain = E'new\nline' OR plain = E'back\\slash' OR plain = E'\u00fcn\u00ef';
-- name: hostile-unicode-string
-- construct: string
-- unanswered: the parser may not take it
SELECT count(*) FROM events WHERE plain = U&'\00fcn\00ef';
-- name: hostile-foreign-nowhere
-- construct: scalar-subquery
-- refused: it reads a shard's tables
SELECT count_events();
-- name: hostile-foreign-reference
-- construct: reference-join
-- refused: it reads a shard's tables
SELECT id FROM dimensions WHERE count_events() > 5;
-- name: hostile-foreign-one-shard
-- construct: key-predicate
-- refused: it reads a shard's tables
SELECT id, count_events() FROM events WHERE account = 7;
-- name: hostile-foreign-in-from
-- construct: series
-- refused: it reads a shard's tables
SELECT * FROM count_events();
-- name: hostile-query-to-xml
-- construct: string
-- refused: it reads a shard's tables
SELECT query_to_xml('SELECT count(*) FROM events', true, true, '')::text;
-- name: hostile-query-to-xml-one-shard
-- construct: string
-- refused: it reads a shard's tables
SELECT query_to_xml('SELECT count(*) FROM events', true, true, '')::text FROM events WHERE account = 7;
-- name: hostile-relation-size
-- construct: string
-- refused: each shard has its own
SELECT pg_relation_size('events');
-- name: hostile-database-size
-- construct: string
-- refused: each shard has its own
SELECT pg_database_size(current_database());
-- name: hostile-moment-literal
-- construct: date-time, group-by
SELECT 'now'::timestamptz <= now() AS x, count(*) FROM events GROUP BY 'now'::timestamptz;
-- name: hostile-moment-today
-- construct: date-time, aggregate
SELECT count(*) FROM events WHERE day < 'today'::date AND day > date '-infinity' AND now() > 'yesterday'::timestamptz;
-- name: hostile-moment-days
-- construct: date-time
SELECT count(*), max('today'::date) = current_date AS a, min(date 'tomorrow') - current_date AS b, max('yesterday'::timestamp) < localtimestamp AS c, max(timestamptz 'now') <= now() AS d FROM events;
-- name: hostile-moment-text
-- construct: date-time, group-by
-- unanswered: each shard would read it at its own moment
SELECT count(*) FROM events GROUP BY 'today 12:00'::timestamp, 'allballs'::time;
-- name: hostile-moment-group
-- construct: date-time, group-by
SELECT now() = current_timestamp, count(*) FROM events GROUP BY now();
-- name: hostile-moment-arithmetic
-- construct: date-time, aggregate
SELECT count(*) FROM events WHERE seen < now() - interval '1 day' AND at < localtimestamp AND day < current_date - 30 AND (now() AT TIME ZONE 'UTC')::date > day;
-- name: hostile-sets-key-or-not
-- construct: grouping-sets
SELECT account, kind, count(*) FROM events GROUP BY GROUPING SETS ((account), (kind));
-- name: hostile-sets-key-beside
-- construct: grouping-sets
SELECT account, kind, count(*) FROM events GROUP BY account, GROUPING SETS ((kind), ());
-- name: hostile-sets-key-all
-- construct: grouping-sets
SELECT account, kind, count(*), grouping(kind) FROM events GROUP BY GROUPING SETS ((account, kind), (account));
-- name: hostile-sets-rollup-key
-- construct: grouping-sets
SELECT account, sum(qty) FROM events GROUP BY ROLLUP (account);
-- name: hostile-sets-rollup-output-in
-- construct: grouping-sets, in-subquery
SELECT count(*) FROM devices WHERE owner NOT IN (SELECT account FROM events GROUP BY ROLLUP (account));
-- name: hostile-sets-cube-having
-- construct: grouping-sets, having
SELECT kind, flag, avg(qty)::numeric(10,4), grouping(kind, flag) FROM events GROUP BY CUBE (kind, flag) HAVING count(*) > 40;
-- name: hostile-sets-empty
-- construct: grouping-sets, empty-input
SELECT kind, count(*), sum(qty), count(DISTINCT label) FROM events WHERE qty > 1000 GROUP BY GROUPING SETS ((kind), (), ());
-- name: hostile-sets-expression
-- construct: grouping-sets
SELECT qty % 2, qty % 2 + 1, count(*) FROM events GROUP BY ROLLUP (qty % 2);
-- name: hostile-sets-same-twice
-- construct: grouping-sets
SELECT kind, kind AS again, count(*) FROM events GROUP BY GROUPING SETS ((kind), (kind, kind), ());
-- name: hostile-sets-distinct
-- construct: grouping-sets, distinct
SELECT DISTINCT kind, count(*) > 0 FROM events GROUP BY GROUPING SETS ((kind), (kind), ());
-- name: hostile-sets-nested
-- construct: grouping-sets
-- unanswered: the parser does not take sets in sets
SELECT kind, flag, small, count(*) FROM events GROUP BY GROUPING SETS (ROLLUP (kind, flag), (small));
-- name: hostile-group-empty
-- construct: grouping-sets, empty-input
SELECT count(*), max(qty) FROM events WHERE qty > 1000 GROUP BY ();
-- name: hostile-having-alone
-- construct: having, empty-input
SELECT 1 AS one FROM events HAVING true;
-- name: hostile-having-alone-none
-- construct: having
SELECT 1 AS one FROM events WHERE qty > 1000 HAVING count(*) = 0;
-- name: hostile-having-false
-- construct: having
-- empty: there may be none
SELECT count(*) FROM events HAVING false;
-- name: hostile-group-constant
-- construct: group-by
SELECT 5 AS c, count(*) FROM events GROUP BY c;
-- name: hostile-group-constant-cast
-- construct: group-by
SELECT 'a'::text AS c, count(*) FROM events GROUP BY c;
-- name: hostile-group-parameter
-- construct: group-by, parameter
-- params: 3::int4
SELECT kind, qty + $1 AS q, count(*) FROM events GROUP BY kind, qty + $1;
-- name: hostile-group-by-null
-- construct: group-by, null
SELECT NULL AS n, count(*) FROM events GROUP BY n;
-- name: hostile-dependent-array
-- construct: array, group-by
SELECT e.account, e.id, e.tags IS NULL, e.nums, count(*) FROM events e GROUP BY e.account, e.id;
-- name: hostile-dependent-array-sets
-- construct: array, group-by
-- compare: ordered
SELECT e.id, e.account, cardinality(e.tags), to_jsonb(e.nums), e.raw::text, count(d.id) FROM events e JOIN dimensions d ON d.id > e.dim GROUP BY e.id, e.account ORDER BY count(d.id), 2, 1 LIMIT 20;
-- name: hostile-dependent-array-full
-- construct: array, outer-join, group-by
SELECT e.account, e.id, e.tags IS NULL AS n, e.nums::text, count(*) FROM events e FULL JOIN devices d ON d."order" = e.dim AND d.owner = e.id GROUP BY e.account, e.id;
-- name: hostile-dependent-reference-null
-- construct: group-by, outer-join
SELECT d.id, d.name, d.factor IS NULL, count(*) FROM events e LEFT JOIN dimensions d ON d.id = e.dim GROUP BY d.id;
-- name: hostile-offset-negative-parameter
-- construct: limit, parameter
-- params: -1::int8
-- error: 2201X
SELECT account, id FROM events ORDER BY account, id
LIMIT 5
OFFSET $1;
-- name: hostile-offset-negative-alone
-- construct: limit, parameter
-- params: -1::int8
-- error: 2201X
SELECT account, id FROM events ORDER BY account, id
OFFSET $1;
-- name: hostile-limit-negative-parameter
-- construct: limit, parameter
-- params: -1::int8
-- error: 2201W
SELECT account, id FROM events ORDER BY account, id
LIMIT $1
OFFSET 3;
-- name: hostile-limit-negative
-- construct: limit
-- error: 2201W
SELECT account, id FROM events ORDER BY account, id
LIMIT -1
OFFSET 3;
-- name: hostile-limit-null
-- construct: limit, null
-- compare: ordered
SELECT account, id FROM events ORDER BY account, id
LIMIT NULL
OFFSET 700;
-- name: hostile-limit-null-parameter
-- construct: limit, parameter
-- compare: ordered
-- params: NULL::int8; 690::int8
SELECT account, id FROM events ORDER BY account, id
LIMIT $1
OFFSET $2;
-- name: hostile-limit-huge
-- construct: limit
-- compare: ordered
SELECT account, id FROM events ORDER BY account, id
LIMIT 9223372036854775807
OFFSET 600;
-- name: hostile-limit-fraction
-- construct: limit
-- compare: ordered
SELECT account, id FROM events ORDER BY account, id
LIMIT 2.5
OFFSET 1.4;
-- name: hostile-limit-expression
-- construct: limit
-- compare: ordered
SELECT account, id FROM events ORDER BY account, id
LIMIT 1 + 2
OFFSET 2 * 3;
-- name: hostile-limit-parameter-numeric
-- construct: limit, parameter
-- compare: ordered
-- params: 3::numeric; 2::numeric
SELECT account, id FROM events ORDER BY account, id
LIMIT $1::numeric
OFFSET $2::numeric;
-- name: hostile-limit-parameter-text
-- construct: limit, parameter
-- compare: ordered
-- params: '3'::text
SELECT account, id FROM events ORDER BY account, id
LIMIT $1::text::int8;
-- name: hostile-limit-cast
-- construct: limit, cast
-- compare: ordered
SELECT account, id FROM events ORDER BY account, id
LIMIT 5::bit(2)::int;
-- name: hostile-limit-zero
-- construct: limit
-- empty: there may be none
SELECT account FROM events LIMIT 0;
-- name: hostile-ties-offset
-- construct: limit, order-by
-- compare: ordered
SELECT kind FROM events ORDER BY kind NULLS FIRST OFFSET 3 FETCH FIRST 2 ROWS WITH TIES;
-- name: hostile-ties-distinct-count
-- construct: limit, order-by, group-by
-- compare: ties(2)
-- reason: ties
SELECT account, count(*) FROM sessions GROUP BY account ORDER BY 2 DESC FETCH FIRST 1 ROWS WITH TIES;
-- name: hostile-distinct-limit
-- construct: distinct, limit, order-by
-- compare: ordered
SELECT DISTINCT kind, flag FROM events ORDER BY flag DESC, kind
LIMIT 4 OFFSET 2;
-- name: hostile-key-decimal
-- construct: key-predicate
SELECT id FROM events WHERE account = 7.0;
-- name: hostile-key-huge
-- construct: key-predicate
SELECT count(*) FROM events WHERE account = 99999999999999999999;
-- name: hostile-key-string-spaces
-- construct: key-predicate
SELECT count(*) FROM events WHERE account = ' 7 ';
-- name: hostile-key-plus
-- construct: key-predicate
SELECT count(*) FROM events WHERE account = +7 OR account = '+8';
-- name: hostile-key-double-minus
-- construct: key-predicate
SELECT count(*) FROM events WHERE account = - (-7) OR account = -(5);
-- name: hostile-key-float
-- construct: key-predicate
SELECT count(*) FROM events WHERE account = 9007199254740993::float8;
-- name: hostile-key-or-null
-- construct: key-predicate, null
SELECT count(*) FROM events WHERE account = NULL OR account = 7 OR (account = 8 AND NULL);
-- name: hostile-key-contradiction
-- construct: key-predicate
SELECT count(*), sum(qty) FROM events WHERE account = 7 AND account = 8;
-- name: hostile-key-contradiction-join
-- construct: key-predicate, colocated-join
SELECT count(*) FROM events e JOIN sessions s USING (account) WHERE e.account = 7 AND s.account = 8;
-- name: hostile-key-not
-- construct: key-predicate
SELECT count(*) FROM events WHERE NOT (account = 7) AND NOT account IN (8, 9);
-- name: hostile-key-is-true
-- construct: key-predicate
SELECT count(*) FROM events WHERE account = 7 IS NOT TRUE;
-- name: hostile-key-in-eq-false
-- construct: key-predicate
SELECT count(*) FROM events WHERE account IN (7, 8) = false;
-- name: hostile-key-case
-- construct: key-predicate, case
SELECT count(*) FROM events WHERE CASE WHEN account = 7 THEN false ELSE true END;
-- name: hostile-key-param-numeric
-- construct: key-predicate, parameter
-- params: 7::numeric
SELECT count(*) FROM events WHERE account = $1::numeric;
-- name: hostile-key-two-shards-union
-- construct: key-predicate, set-operation
SELECT count(*) FROM events WHERE account = 7 UNION ALL SELECT count(*) FROM sessions WHERE account = 8 UNION ALL SELECT count(*) FROM devices;
-- name: hostile-key-one-not-other
-- construct: key-predicate, cross-join
SELECT count(*) FROM events e, devices d WHERE e.account = 7;
-- name: hostile-key-exists-other
-- construct: key-predicate, exists
SELECT id FROM events e WHERE account = 7 AND NOT EXISTS (SELECT FROM devices d WHERE d."order" = e.dim);
-- name: hostile-key-scalar-other
-- construct: key-predicate, scalar-subquery
SELECT id, (SELECT count(*) FROM devices) FROM events e WHERE account = 7;
-- name: hostile-key-in-other
-- construct: key-predicate, in-subquery
SELECT count(*) FROM events WHERE account = 7 AND dim IN (SELECT "order" FROM devices);
-- name: hostile-key-in-own
-- construct: key-predicate, in-subquery
SELECT count(*) FROM events WHERE account = 7 AND account IN (SELECT owner FROM devices WHERE "order" IN (SELECT session FROM sessions));
-- name: hostile-key-cte-other
-- construct: key-predicate, cte
WITH x AS (SELECT max(qty) AS m FROM events) SELECT id FROM events, x WHERE account = 7 AND qty < m;
-- name: hostile-key-limit-subquery
-- construct: key-predicate, limit, scalar-subquery
-- compare: ordered
SELECT id FROM events WHERE account = 7 ORDER BY id
LIMIT (SELECT count(*) / 40 FROM devices);
-- name: hostile-key-order-subquery
-- construct: key-predicate, order-by, scalar-subquery
-- compare: ordered
SELECT id FROM events e WHERE account = 7 ORDER BY (SELECT count(*) FROM devices d WHERE d."order" < e.id % 5), id;
-- name: hostile-key-lateral-other
-- construct: key-predicate, lateral
SELECT e.id, x.n FROM events e, LATERAL (SELECT count(*) AS n FROM devices d WHERE d."order" = e.dim) x WHERE e.account = 7;
-- name: hostile-key-left-other
-- construct: key-predicate, outer-join
SELECT e.id, d.device FROM events e LEFT JOIN devices d ON d.device = e.id WHERE e.account = 7;
-- name: hostile-key-right-other
-- construct: key-predicate, outer-join
SELECT count(*) FROM (SELECT * FROM events WHERE account = 7) e RIGHT JOIN devices d ON d."order" = e.dim;
-- name: hostile-key-having-other
-- construct: key-predicate, having
SELECT kind, count(*) FROM events WHERE account = 7 GROUP BY kind HAVING count(*) < (SELECT count(*) FROM devices);
-- name: hostile-in-key-tuple
-- construct: in-subquery, row-comparison
SELECT account, id FROM events WHERE (account, session) NOT IN (SELECT owner, "order" FROM devices);
-- name: hostile-in-key-swapped
-- construct: in-subquery, row-comparison
SELECT count(*) FROM events WHERE (session, account) IN (SELECT owner, "order" FROM devices);
-- name: hostile-in-key-expression
-- construct: in-subquery
SELECT count(*) FROM events WHERE account IN (SELECT owner + 1 FROM devices);
-- name: hostile-in-key-limit
-- construct: in-subquery, limit
SELECT count(*) FROM events WHERE account IN (SELECT owner FROM devices ORDER BY owner LIMIT 5);
-- name: hostile-in-key-aggregate
-- construct: in-subquery
SELECT count(*) FROM events WHERE account IN (SELECT max(owner) FROM devices);
-- name: hostile-in-key-nullable
-- construct: in-subquery, outer-join
SELECT count(*) FROM events WHERE account NOT IN (SELECT d.owner FROM sessions s LEFT JOIN devices d ON d.owner = s.account);
-- name: hostile-any-subquery
-- construct: in-subquery
SELECT count(*) FROM events WHERE account = ANY (SELECT owner FROM devices WHERE "order" > 2);
-- name: hostile-all-subquery
-- construct: in-subquery
SELECT count(*) FROM devices WHERE price > ALL (SELECT weight FROM sessions WHERE weight < 100);
-- name: hostile-exists-correlated-deep
-- construct: exists
SELECT count(*) FROM sessions s WHERE EXISTS (SELECT FROM devices d WHERE d.owner = s.account AND EXISTS (SELECT FROM events e WHERE e.account = d.owner AND e.qty > s.session));
-- name: hostile-exists-correlated-deep-far
-- construct: exists
SELECT count(*) FROM sessions s WHERE EXISTS (SELECT FROM devices d WHERE d."order" = s.session AND EXISTS (SELECT FROM events e WHERE e.account = d.owner AND e.dim = s.session));
-- name: hostile-exists-union
-- construct: exists, set-operation
SELECT count(*) FROM sessions s WHERE EXISTS (SELECT 1 FROM devices d WHERE d.owner = s.account UNION ALL SELECT 2 FROM "Ledger Lines" l WHERE l.line = s.session);
-- name: hostile-scalar-lateral-mixed
-- construct: lateral, scalar-subquery
SELECT s.account, s.session, (SELECT count(*) FROM devices d, LATERAL (SELECT 1 FROM events e WHERE e.account = s.account LIMIT 2) x) FROM sessions s WHERE s.account < 6;
-- name: hostile-lateral-join-far
-- construct: lateral
SELECT s.account, s.session, x.c FROM sessions s CROSS JOIN LATERAL (SELECT count(*) AS c FROM devices d WHERE d.owner > s.account) x WHERE s.session = 1;
-- name: hostile-lateral-limit-near
-- construct: lateral, limit
SELECT s.account, s.session, x.id FROM sessions s CROSS JOIN LATERAL (SELECT id FROM events e WHERE e.account = s.account ORDER BY id LIMIT 2) x;
-- name: hostile-lateral-left-null
-- construct: lateral, outer-join
SELECT e.account, e.id, x.c FROM events e LEFT JOIN sessions s ON s.account = e.account AND s.session = e.session LEFT JOIN LATERAL (SELECT count(*) AS c FROM devices d WHERE d.owner = s.account) x ON true;
-- name: hostile-lateral-cte-correlated
-- construct: lateral, cte
-- unanswered: a CTE that names what is outside does not travel
SELECT s.account, s.session, x.m FROM sessions s, LATERAL (WITH c AS (SELECT qty FROM events e WHERE e.session = s.session) SELECT max(qty) AS m FROM c) x WHERE s.account < 5;
-- name: hostile-lateral-cte-twice
-- construct: lateral, cte
SELECT s.account, s.session, x.m FROM sessions s, LATERAL (WITH c AS (SELECT qty FROM events e WHERE e.account = s.account AND e.session = s.session) SELECT count(*) AS m FROM c, c d) x WHERE s.account < 5;
-- name: hostile-union-mixed-keys
-- construct: set-operation
SELECT account, session FROM sessions UNION SELECT "order", owner FROM devices;
-- name: hostile-union-reference
-- construct: set-operation
SELECT dim FROM events UNION ALL SELECT id FROM dimensions;
-- name: hostile-intersect-reference
-- construct: set-operation
SELECT account FROM events INTERSECT SELECT id FROM dimensions;
-- name: hostile-intersect-reference-nonkey
-- construct: set-operation
SELECT dim FROM events INTERSECT ALL SELECT id FROM dimensions;
-- name: hostile-except-reference-left
-- construct: set-operation
SELECT id FROM dimensions EXCEPT SELECT account FROM events WHERE account > 4;
-- name: hostile-except-all-key
-- construct: set-operation
SELECT account FROM events EXCEPT ALL SELECT account FROM sessions;
-- name: hostile-union-literals
-- construct: set-operation, null
SELECT account, NULL AS n FROM events UNION SELECT owner, "order" FROM devices;
-- name: hostile-set-precedence
-- construct: set-operation
SELECT dim FROM events UNION ALL SELECT "order" FROM devices INTERSECT SELECT id FROM dimensions EXCEPT SELECT 3;
-- name: hostile-set-nested-limit
-- construct: set-operation, limit
(SELECT account FROM events ORDER BY account LIMIT 3) UNION ALL (SELECT owner FROM devices ORDER BY owner DESC LIMIT 2);
-- name: hostile-window-on-key-and-not
-- construct: window
SELECT account, id, row_number() OVER (PARTITION BY account ORDER BY id), rank() OVER w FROM events WINDOW w AS (PARTITION BY kind ORDER BY account, id);
-- name: hostile-window-inherits
-- construct: window
SELECT account, id, sum(qty) OVER (w ORDER BY id ROWS 1 PRECEDING) FROM events WINDOW w AS (PARTITION BY account);
-- name: hostile-window-inherits-not
-- construct: window
SELECT account, id, sum(qty) OVER (w ORDER BY account, id) FROM events WINDOW w AS (PARTITION BY kind);
-- name: hostile-window-over-aggregate
-- construct: window, group-by
SELECT kind, sum(count(*)) OVER (ORDER BY kind), count(*) FROM events GROUP BY kind;
-- name: hostile-window-over-aggregate-key
-- construct: window, group-by
SELECT account, count(*), rank() OVER (ORDER BY count(*) DESC, account) FROM events GROUP BY account;
-- name: hostile-window-order-only
-- construct: window, order-by
-- compare: ordered
SELECT account, id FROM events ORDER BY row_number() OVER (ORDER BY id, account) LIMIT 5;
-- name: hostile-window-distinct
-- construct: window, distinct
SELECT DISTINCT kind, count(*) OVER (PARTITION BY kind) FROM events;
-- name: hostile-recursive-forward
-- construct: recursive-cte
-- unanswered: names what comes later
WITH RECURSIVE x AS (SELECT count(*) AS n FROM sessions), sessions AS (SELECT 1 AS one FROM events WHERE qty > 19) SELECT n FROM x;
-- name: hostile-cte-own-name
-- construct: cte
WITH events AS (SELECT account, id FROM events WHERE qty > 10) SELECT count(*) FROM events;
-- name: hostile-cte-shadow
-- construct: cte
WITH x AS (SELECT 1 AS v) SELECT (WITH x AS (SELECT count(*) AS v FROM events) SELECT v FROM x), v FROM x;
-- name: hostile-recursive-own-tables
-- construct: recursive-cte
WITH RECURSIVE t AS (SELECT account, session FROM sessions WHERE session = 1 UNION ALL SELECT s.account, s.session FROM sessions s JOIN t ON t.account = s.account AND s.session = t.session + 1) SELECT account, count(*) FROM t GROUP BY account;
-- name: hostile-recursive-pin
-- construct: recursive-cte, key-predicate
WITH RECURSIVE t AS (SELECT account, session FROM sessions WHERE account = 7 UNION SELECT s.account, s.session FROM sessions s JOIN t ON s.session = t.session + 1) SELECT count(*), count(DISTINCT account) FROM t;
-- name: hostile-cte-twice-scalar
-- construct: cte, scalar-subquery
WITH t AS (SELECT account, sum(qty) AS q FROM events GROUP BY account) SELECT account FROM t WHERE q > (SELECT avg(q) FROM t);
-- name: hostile-avg-filter-empty
-- construct: aggregate-filter
SELECT avg(qty) FILTER (WHERE qty > 1000), sum(big) FILTER (WHERE false), count(*) FILTER (WHERE flag), min(kind) FILTER (WHERE qty = 3) FROM events;
-- name: hostile-sum-smallint
-- construct: aggregate
SELECT sum(small), avg(small), sum(big), avg(big), sum(f4), sum(span), avg(span), avg(huge), sum(huge) FROM events WHERE at < 'infinity';
-- name: hostile-sum-domain
-- construct: aggregate
SELECT sum(score), avg(score), max(score), min(mood), max(mood), count(DISTINCT score) FROM events;
-- name: hostile-minmax-arrays
-- construct: aggregate, array
SELECT max(tags), min(nums), max(ip), min(tod), max(at), min(day), max(seen) FROM events;
-- name: hostile-count-row
-- construct: aggregate
SELECT count(e), count(e.*), count((e.qty, e.kind)) FROM events e;
-- name: hostile-bool-odd
-- construct: aggregate
SELECT every(flag), bool_or(qty > 19), bit_and(small), bit_or(qty), bit_xor(big) FROM events;
-- name: hostile-json-arrayagg
-- construct: aggregate, jsonb
SELECT json_array_length(json_agg(qty)) FROM events;
-- name: hostile-distinct-agg-two
-- construct: aggregate-distinct, group-by
SELECT flag, sum(DISTINCT qty), avg(DISTINCT qty), count(DISTINCT kind), count(*), sum(qty), max(qty) FROM events GROUP BY flag;
-- name: hostile-distinct-agg-constant
-- construct: aggregate-distinct
SELECT count(DISTINCT 1), sum(DISTINCT 2), string_agg(DISTINCT 'a', ','), count(DISTINCT kind) FROM events;
-- name: hostile-srf-select
-- construct: series, order-by
-- compare: ordered
SELECT account, generate_series(1, 2) AS g FROM sessions WHERE session = 1 ORDER BY account, g LIMIT 5;
-- name: hostile-srf-aggregate
-- construct: series, aggregate
SELECT count(*), generate_series(1, 2) FROM events;
-- name: hostile-srf-group
-- construct: series, group-by
SELECT unnest(tags) AS t, count(*) FROM events GROUP BY t;
-- name: hostile-srf-distinct
-- construct: series, distinct
SELECT DISTINCT unnest(nums) FROM events;
-- name: hostile-whole-row-json
-- construct: jsonb
SELECT sum((to_jsonb(e) ->> 'qty')::int) FROM events e;
-- name: hostile-whole-row-join
-- construct: jsonb, non-colocated-join
SELECT count(DISTINCT to_jsonb(d)), count(*) FROM devices d JOIN events e ON e.dim = d."order";
-- name: hostile-alias-like-column
-- construct: identifier
SELECT kind.kind, count(kind) FROM events AS kind GROUP BY kind.kind;
-- name: hostile-column-like-function
-- construct: identifier
SELECT count, max FROM (SELECT dim AS count, count(*) AS max FROM events GROUP BY dim) AS sum;
-- name: hostile-schema-qualified
-- construct: identifier
SELECT public.events.kind, count(*) FROM public.events GROUP BY public.events.kind;
-- name: hostile-case-fold
-- construct: identifier
SELECT E.KIND, "e".Qty FROM Events "e" WHERE e.Account = 7;
-- name: hostile-first-nested
-- construct: scalar-subquery, aggregate
SELECT count(*), sum(qty) FROM events WHERE qty > (SELECT avg(qty) FROM events WHERE qty > (SELECT avg(qty) FROM events));
-- name: hostile-first-in-or
-- construct: scalar-subquery, in-subquery, aggregate
SELECT kind, count(*) FROM events WHERE id = 3 OR qty >= (SELECT max(qty) FROM events) OR dim NOT IN (SELECT id FROM devices WHERE id > 5) GROUP BY kind;
-- name: hostile-first-not-in-null
-- construct: in-subquery, null
-- empty: NOT IN over a NULL lets nothing through
SELECT id FROM events WHERE dim NOT IN (SELECT dim FROM events);
-- name: hostile-first-in-empty
-- construct: in-subquery, empty-input
SELECT count(*) FROM events WHERE dim NOT IN (SELECT dim FROM events WHERE id < 0);
-- name: hostile-first-null
-- construct: scalar-subquery, null, empty-input
SELECT count(*) FROM events WHERE qty > (SELECT qty FROM events WHERE id < 0) OR (SELECT max(qty) FROM events WHERE id < 0) IS NULL;
-- name: hostile-first-exists-of-ordered
-- construct: exists, limit
SELECT count(*) FROM events WHERE EXISTS (SELECT kind, count(*) FROM events GROUP BY kind HAVING count(*) > 3 ORDER BY 2) AND NOT EXISTS (SELECT FROM devices WHERE id < 0);
-- name: hostile-first-text
-- construct: scalar-subquery, collation
SELECT count(*), min(label) FROM events WHERE label > (SELECT min(label) FROM events WHERE qty > 2) AND kind IN (SELECT kind FROM events GROUP BY kind HAVING count(*) > 10);
-- name: hostile-first-enum
-- construct: scalar-subquery, in-subquery
SELECT count(*) FROM events WHERE mood = (SELECT max(mood) FROM events) OR mood IN (SELECT mood FROM events WHERE id < 5);
-- name: hostile-first-cte-named-twice
-- construct: cte, scalar-subquery
WITH few AS (SELECT qty FROM events WHERE qty IS NOT NULL ORDER BY qty, id LIMIT 40) SELECT count(*) FROM events WHERE qty >= (SELECT min(qty) FROM few) AND qty <= (SELECT max(qty) FROM few);
