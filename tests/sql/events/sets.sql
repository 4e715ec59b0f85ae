-- UNION, INTERSECT, EXCEPT.

-- name: union-all
-- construct: set-operation
SELECT account, id FROM events UNION ALL SELECT owner, device FROM devices;
-- name: union
-- construct: set-operation
SELECT kind FROM events UNION SELECT model FROM devices;
-- name: union-same-table
-- construct: set-operation, aggregate
SELECT kind, mood::text FROM events WHERE flag UNION SELECT kind, 'x' FROM events WHERE NOT flag;
-- name: union-types
-- construct: set-operation, cast
SELECT small AS n FROM events WHERE id < 100 UNION SELECT amount FROM events WHERE id < 100 UNION SELECT 1.5;
-- name: union-null-type
-- construct: set-operation, null
SELECT NULL AS v, id FROM events WHERE account = 9 UNION ALL SELECT kind, id FROM events WHERE account = 10;
-- name: union-ordered
-- construct: set-operation, order-by
-- compare: ordered
SELECT account AS k, 'e' AS what FROM events UNION SELECT owner, 'd' FROM devices ORDER BY 1, 2 DESC;
-- name: union-ordered-limited
-- construct: set-operation, limit
-- compare: ordered
(SELECT id FROM events ORDER BY id DESC LIMIT 5) UNION ALL (SELECT device FROM devices ORDER BY device LIMIT 5) ORDER BY id;
-- name: union-collation
-- construct: set-operation, collation, order-by
-- compare: ordered
SELECT label AS l FROM events UNION SELECT name FROM dimensions ORDER BY l;
-- name: union-three
-- construct: set-operation
SELECT kind FROM events UNION ALL SELECT model FROM devices UNION ALL SELECT agent FROM sessions;
-- name: union-mixed-nesting
-- construct: set-operation
(SELECT kind FROM events UNION SELECT model FROM devices) UNION ALL SELECT tag FROM tags;
-- name: union-then-all
-- construct: set-operation
SELECT tag FROM tags UNION ALL (SELECT kind FROM events UNION SELECT agent FROM sessions);
-- name: intersect
-- construct: set-operation
SELECT account FROM events INTERSECT SELECT owner FROM devices;
-- name: intersect-all
-- construct: set-operation
SELECT small FROM events WHERE account < 20 INTERSECT ALL SELECT "order" FROM devices;
-- name: intersect-not-key
-- construct: set-operation, null
SELECT kind, flag FROM events WHERE account < 5 INTERSECT SELECT kind, flag FROM events WHERE account > 50;
-- name: except
-- construct: set-operation
SELECT account FROM events EXCEPT SELECT account FROM sessions;
-- name: except-all
-- construct: set-operation
SELECT kind FROM events EXCEPT ALL SELECT kind FROM events WHERE account = 7;
-- name: except-not-key
-- construct: set-operation
SELECT label FROM events EXCEPT SELECT label FROM events WHERE account = 7 ORDER BY 1;
-- name: except-reference
-- construct: set-operation, reference-join
SELECT id FROM dimensions EXCEPT SELECT dim FROM events WHERE qty > 18;
-- name: except-sharded-minus-reference
-- construct: set-operation, reference-join
SELECT dim FROM events EXCEPT SELECT id FROM dimensions;
-- name: set-precedence
-- construct: set-operation
SELECT kind FROM events UNION SELECT tag FROM tags INTERSECT SELECT agent FROM sessions EXCEPT SELECT 'buy';
-- name: set-nested-parentheses
-- construct: set-operation
(SELECT account FROM events EXCEPT SELECT owner FROM devices) UNION (SELECT "Account" FROM "Ledger Lines" INTERSECT SELECT account FROM sessions);
-- name: union-of-aggregates
-- construct: set-operation, aggregate
SELECT 'events' AS t, count(*) FROM events UNION ALL SELECT 'sessions', count(*) FROM sessions UNION ALL SELECT 'devices', count(*) FROM devices;
-- name: union-of-groups
-- construct: set-operation, group-by
SELECT kind AS g, count(*) AS n FROM events GROUP BY kind UNION ALL SELECT mood::text, count(*) FROM events GROUP BY mood;
-- name: union-in-subquery
-- construct: set-operation, from-subquery, aggregate
SELECT u.k, count(*) FROM (SELECT account AS k FROM events UNION ALL SELECT account FROM sessions UNION ALL SELECT owner FROM devices) AS u GROUP BY u.k;
-- name: union-in-subquery-distinct
-- construct: set-operation, from-subquery, aggregate
SELECT count(*) FROM (SELECT account, kind FROM events UNION SELECT account, agent FROM sessions) AS u;
-- name: union-in-in-subquery
-- construct: set-operation, in-subquery
SELECT count(*) FROM events WHERE account IN (SELECT owner FROM devices UNION SELECT 7);
-- name: union-in-cte
-- construct: set-operation, cte
WITH u AS (SELECT account FROM sessions UNION SELECT owner FROM devices) SELECT count(*), min(account), max(account) FROM u;
-- name: union-with-values
-- construct: set-operation, values
SELECT kind FROM events WHERE account = 9 UNION VALUES ('extra'), ('view');
-- name: union-nondeterministic
-- construct: set-operation, collation, from-subquery
SELECT count(*) FROM (SELECT note FROM events UNION SELECT note FROM events WHERE flag) AS q;
-- name: union-star
-- construct: set-operation
SELECT * FROM devices WHERE owner < 5 UNION ALL SELECT * FROM devices WHERE owner > 55;
-- name: union-of-constants
-- construct: set-operation
SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, NULL;
-- name: values-alone
-- construct: values
VALUES (1, 'a'), (2, NULL), (3, 'c');
-- name: values-ordered
-- construct: values, order-by
-- compare: ordered
VALUES (3, 'a'), (1, 'b'), (2, 'c') ORDER BY column1 DESC LIMIT 2;
-- name: values-from
-- construct: values, aggregate
SELECT count(*), sum(v.a), max(v.b) FROM (VALUES (1, 'x'), (2, 'y')) AS v(a, b);
-- name: values-left-join
-- construct: values, outer-join
SELECT v.k, count(e.id) FROM (VALUES (7), (999), (NULL)) AS v(k) LEFT JOIN events e ON e.account = v.k GROUP BY v.k;
-- name: values-in
-- construct: values, in-subquery
SELECT id FROM events WHERE (account, session) IN (VALUES (7, 1), (8, 2)) AND qty > 0;
-- name: values-cte
-- construct: values, cte
WITH w(kind, weight) AS (VALUES ('Buy', 3), ('buy', 2), ('view', 1)) SELECT w.weight, count(*), sum(e.qty * w.weight) FROM events e JOIN w USING (kind) GROUP BY w.weight;
-- name: values-parameters
-- construct: values, parameter
-- params: 7::int8; 'mine'::text
SELECT e.id, v.t FROM events e JOIN (VALUES ($1::bigint, $2::text)) AS v(k, t) ON v.k = e.account WHERE e.qty > 10;
-- name: series-alone
-- construct: series
SELECT g, g * g AS square FROM generate_series(1, 5) AS g;
-- name: series-left-join
-- construct: series, outer-join, group-by
SELECT g, count(e.id) FROM generate_series(-5, 5) AS g LEFT JOIN events e ON e.small = g GROUP BY g;
-- name: series-dates
-- construct: series, date-time, outer-join
SELECT d::date, count(e.id) FROM generate_series(timestamp '2024-01-01', '2024-01-20', '1 day') AS d LEFT JOIN events e ON e.day = d::date GROUP BY d;
-- name: series-in-select
-- construct: series
SELECT account, session, generate_series(1, 2) AS n FROM sessions WHERE account < 5;
-- name: series-in-subquery
-- construct: series, in-subquery, aggregate
SELECT count(*) FROM events WHERE account IN (SELECT generate_series(5, 9));
-- name: series-cte
-- construct: series, cte
WITH g AS (SELECT generate_series(0, 9) AS n) SELECT g.n, sum(e.qty) FROM g LEFT JOIN events e ON e.account % 10 = g.n GROUP BY g.n;
-- name: series-lateral-depends
-- construct: series, lateral
SELECT s.account, s.session, g FROM sessions s, generate_series(s.session, 3) AS g WHERE s.account BETWEEN 1 AND 9;
-- name: series-named-column
-- construct: series, order-by
-- compare: ordered
SELECT t.n FROM generate_series(3, 1, -1) AS t(n) ORDER BY t.n;
