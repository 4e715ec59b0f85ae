-- Subqueries in every place.

-- name: from-plain
-- construct: from-subquery
SELECT q.id, q.twice FROM (SELECT id, qty * 2 AS twice FROM events) AS q WHERE q.twice > 30;
-- name: from-nested
-- construct: from-subquery, aggregate
SELECT max(m) FROM (SELECT kind, min(n) AS m FROM (SELECT kind, account, count(*) AS n FROM events GROUP BY kind, account) AS a GROUP BY kind) AS b;
-- name: from-grouped-by-key
-- construct: from-subquery, group-by
SELECT n, count(*) FROM (SELECT account, count(*) AS n FROM events GROUP BY account) AS q GROUP BY n;
-- name: from-column-aliases
-- construct: from-subquery, identifier
SELECT t.x, t."Y" FROM (SELECT account, sum(qty) FROM events GROUP BY account) AS t(x, "Y") WHERE t.x < 10;
-- name: from-distinct-limit
-- construct: from-subquery, limit
SELECT count(*), max(kind) FROM (SELECT DISTINCT kind FROM events ORDER BY kind NULLS FIRST LIMIT 3) AS q;
-- name: from-whole-row
-- construct: from-subquery, null
SELECT count(q) , count(*) FROM (SELECT qty, small FROM events) AS q;
-- name: scalar-uncorrelated
-- construct: scalar-subquery
SELECT id, qty FROM events WHERE qty = (SELECT max(qty) FROM events);
-- name: scalar-uncorrelated-select
-- construct: scalar-subquery, aggregate
SELECT kind, count(*), (SELECT count(*) FROM events) AS whole FROM events GROUP BY kind;
-- name: scalar-no-from
-- construct: scalar-subquery
SELECT (SELECT count(*) FROM events) AS e, (SELECT sum(price) FROM devices) AS p, (SELECT max(name) FROM dimensions) AS d;
-- name: scalar-correlated-key
-- construct: scalar-subquery
SELECT s.account, s.session, (SELECT count(*) FROM events e WHERE e.account = s.account AND e.session = s.session) AS n FROM sessions s;
-- name: scalar-correlated-where
-- construct: scalar-subquery
SELECT e.account, e.id FROM events e WHERE e.amount > (SELECT avg(x.amount) FROM events x WHERE x.account = e.account) + 5000;
-- name: scalar-correlated-not-key
-- construct: scalar-subquery
SELECT d.device, (SELECT min(s.account) FROM sessions s WHERE s.device = d.device) AS user_of FROM devices d;
-- name: scalar-correlated-kind
-- construct: scalar-subquery, group-by
SELECT e.kind, count(*) FROM events e WHERE e.qty >= (SELECT max(x.qty) - 3 FROM events x WHERE x.kind = e.kind) GROUP BY e.kind;
-- name: scalar-empty
-- construct: scalar-subquery, null
SELECT s.account, s.session, (SELECT e.kind FROM events e WHERE e.account = s.account AND e.id < 0) AS none FROM sessions s WHERE s.session = 1;
-- name: scalar-in-order-by
-- construct: scalar-subquery, order-by
-- compare: ordered
SELECT s.account, s.session FROM sessions s ORDER BY (SELECT count(*) FROM events e WHERE e.account = s.account) DESC, s.account, s.session;
-- name: scalar-too-many-rows
-- construct: scalar-subquery
-- error: 21000
SELECT (SELECT qty FROM events) FROM dimensions;
-- name: scalar-array
-- construct: scalar-subquery, array
SELECT s.account, s.session, ARRAY(SELECT e.id FROM events e WHERE e.account = s.account AND e.session = s.session ORDER BY e.id) AS ids FROM sessions s;
-- name: scalar-array-uncorrelated
-- construct: scalar-subquery, array
SELECT ARRAY(SELECT DISTINCT kind FROM events ORDER BY kind NULLS FIRST) AS kinds;
-- name: scalar-row
-- construct: scalar-subquery, row-comparison
SELECT id FROM events WHERE (qty, small) = (SELECT max(qty), max(small) FROM events);
-- name: exists-correlated-key
-- construct: exists
SELECT s.account, s.session FROM sessions s WHERE EXISTS (SELECT 1 FROM events e WHERE e.account = s.account AND e.session = s.session AND e.flag);
-- name: not-exists-correlated-key
-- construct: exists, null
SELECT d.owner, d.device FROM devices d WHERE NOT EXISTS (SELECT FROM sessions s WHERE s.account = d.owner AND s.device = d.device);
-- name: exists-uncorrelated
-- construct: exists, aggregate
SELECT count(*) FROM events WHERE EXISTS (SELECT FROM sessions WHERE agent = 'safari');
-- name: exists-uncorrelated-on-one-shard
-- construct: exists, aggregate
SELECT count(*) FROM events WHERE EXISTS (SELECT FROM sessions WHERE account = 7 AND session = 1);
-- name: not-exists-uncorrelated
-- construct: exists, aggregate
SELECT count(*) FROM events WHERE NOT EXISTS (SELECT FROM devices WHERE price > 1e6);
-- name: exists-not-colocated
-- construct: exists, non-colocated-join
SELECT d.device FROM devices d WHERE EXISTS (SELECT FROM sessions s WHERE s.device = d.device);
-- name: not-exists-not-colocated
-- construct: exists, non-colocated-join
SELECT e.kind, count(*) FROM events e WHERE NOT EXISTS (SELECT FROM devices d WHERE d."order" = e.small) GROUP BY e.kind;
-- name: exists-in-select
-- construct: exists, case
SELECT s.account, s.session, EXISTS (SELECT FROM events e WHERE e.account = s.account AND e.qty = 20) AS has, CASE WHEN EXISTS (SELECT FROM devices d WHERE d.owner = s.account) THEN 'd' ELSE '-' END FROM sessions s;
-- name: exists-nested
-- construct: exists
SELECT count(*) FROM sessions s WHERE EXISTS (SELECT FROM events e WHERE e.account = s.account AND EXISTS (SELECT FROM devices d WHERE d.owner = e.account AND d."order" = e.small));
-- name: exists-or
-- construct: exists, null
SELECT s.account, s.session FROM sessions s WHERE s.device IS NULL OR EXISTS (SELECT FROM devices d WHERE d.owner = s.account AND d.device = s.device);
-- name: in-key
-- construct: in-subquery
SELECT s.account, s.session FROM sessions s WHERE s.account IN (SELECT e.account FROM events e WHERE e.qty = 20);
-- name: in-not-key
-- construct: in-subquery
SELECT d.device FROM devices d WHERE d.device IN (SELECT s.device FROM sessions s WHERE s.ended IS NOT NULL);
-- name: in-correlated
-- construct: in-subquery
SELECT s.account, s.session FROM sessions s WHERE s.session IN (SELECT e.session FROM events e WHERE e.account = s.account AND e.flag);
-- name: not-in-without-nulls
-- construct: in-subquery
SELECT account, session FROM sessions WHERE account NOT IN (SELECT owner FROM devices WHERE price > 500);
-- name: not-in-with-nulls
-- construct: in-subquery, null
-- empty: yes
SELECT device FROM devices WHERE device NOT IN (SELECT device FROM sessions);
-- name: not-in-with-nulls-on-one-shard
-- construct: in-subquery, null, aggregate
SELECT count(*) FROM devices WHERE device NOT IN (SELECT device FROM sessions WHERE account = 7);
-- name: not-in-empty
-- construct: in-subquery, empty-input
SELECT count(*) FROM devices WHERE device NOT IN (SELECT device FROM sessions WHERE false);
-- name: not-in-null-left
-- construct: in-subquery, null
SELECT id, small FROM events WHERE (small NOT IN (SELECT "order" FROM devices WHERE owner < 3)) IS NULL;
-- name: in-as-value
-- construct: in-subquery, null, group-by
SELECT small IN (SELECT "order" FROM devices) AS x, count(*) FROM events GROUP BY 1;
-- name: in-two-columns
-- construct: in-subquery, row-comparison
SELECT account, id FROM events WHERE (account, session) IN (SELECT account, session FROM sessions WHERE agent = 'chrome');
-- name: any-subquery
-- construct: in-subquery
SELECT count(*) FROM events WHERE qty = ANY (SELECT "select" FROM "Ledger Lines");
-- name: all-subquery
-- construct: in-subquery, null
SELECT id, qty FROM events WHERE qty >= ALL (SELECT "select" * 2 FROM "Ledger Lines" WHERE "select" IS NOT NULL);
-- name: greater-than-any-subquery
-- construct: in-subquery, aggregate
SELECT count(*) FROM events WHERE amount > ANY (SELECT price * 10 FROM devices);
-- name: all-empty-subquery
-- construct: in-subquery, empty-input
SELECT count(*) FROM events WHERE qty > ALL (SELECT qty FROM events WHERE qty > 100);
-- name: in-limited
-- construct: in-subquery, limit
SELECT account, count(*) FROM events WHERE account IN (SELECT account FROM sessions ORDER BY started, account LIMIT 5) GROUP BY account;
-- name: in-grouped
-- construct: in-subquery, having
SELECT s.account, s.session FROM sessions s WHERE s.account IN (SELECT account FROM events GROUP BY account HAVING count(*) > 15);
-- name: in-having-not-key
-- construct: in-subquery, having
SELECT id, label FROM events WHERE label IN (SELECT label FROM events GROUP BY label HAVING count(*) < 25);
-- name: subquery-in-case
-- construct: scalar-subquery, case
SELECT CASE WHEN qty > (SELECT avg(qty) FROM events) THEN 'above' WHEN qty IS NULL THEN NULL ELSE 'below' END AS side, count(*) FROM events GROUP BY 1;
-- name: subquery-two-levels-up
-- construct: exists, scalar-subquery
SELECT s.account, s.session FROM sessions s WHERE EXISTS (SELECT FROM events e WHERE e.account = s.account AND e.qty > (SELECT avg(x.qty) + 15 FROM events x WHERE x.account = s.account));
-- name: subquery-parameter
-- construct: in-subquery, parameter
-- params: 'phone'::text
SELECT account, count(*) FROM events WHERE account IN (SELECT owner FROM devices WHERE model = $1) GROUP BY account;
-- name: subquery-join-in-subquery
-- construct: in-subquery, colocated-join
SELECT account, id FROM events WHERE account IN (SELECT s.account FROM sessions s JOIN devices d ON d.owner = s.account AND d.device = s.device WHERE d.model = 'tablet');
