-- Joins: on the key, on other columns, with reference tables, and none.

-- name: join-inner
-- construct: colocated-join
SELECT e.account, e.id, s.agent FROM events e JOIN sessions s ON e.account = s.account AND e.session = s.session;
-- name: join-inner-key-only
-- construct: colocated-join, aggregate
SELECT count(*), sum(e.qty), max(s.session) FROM events e JOIN sessions s ON e.account = s.account;
-- name: join-using
-- construct: colocated-join
SELECT account, session, id, agent FROM events JOIN sessions USING (account, session);
-- name: join-using-star
-- construct: colocated-join
SELECT * FROM sessions JOIN (SELECT account, session, id, kind FROM events) AS e USING (account, session);
-- name: join-natural
-- construct: colocated-join
SELECT * FROM sessions NATURAL JOIN (SELECT account, session, id FROM events) AS e;
-- name: join-left
-- construct: outer-join
SELECT e.account, e.id, s.agent, s.weight FROM events e LEFT JOIN sessions s ON e.account = s.account AND e.session = s.session;
-- name: join-left-using
-- construct: outer-join, order-by
-- compare: ordered
SELECT account, e.id, s.device FROM events e LEFT JOIN sessions s USING (account, session) ORDER BY account DESC, e.id;
-- name: join-left-unmatched
-- construct: outer-join, null
SELECT e.account, e.id FROM events e LEFT JOIN sessions s USING (account, session) WHERE s.account IS NULL;
-- name: join-left-filter-in-on
-- construct: outer-join
SELECT e.account, e.id, s.session FROM events e LEFT JOIN sessions s ON e.account = s.account AND e.session = s.session AND s.ended IS NOT NULL AND e.qty > 0;
-- name: join-right
-- construct: outer-join
SELECT s.account, s.session, e.id FROM events e RIGHT JOIN sessions s ON e.account = s.account AND e.session = s.session;
-- name: join-full
-- construct: outer-join
SELECT s.account, s.session, d.owner, d.device FROM sessions s FULL JOIN devices d ON s.account = d.owner AND s.device = d.device;
-- name: join-full-using
-- construct: outer-join, from-subquery
SELECT account, a, b FROM (SELECT account, count(*) AS a FROM events GROUP BY 1) x FULL JOIN (SELECT "Account" AS account, count(*) AS b FROM "Ledger Lines" GROUP BY 1) y USING (account);
-- name: join-full-grouped
-- construct: outer-join, group-by, null
SELECT s.account IS NULL AS no_session, d.owner IS NULL AS no_device, count(*) FROM sessions s FULL JOIN devices d ON s.account = d.owner AND s.device = d.device GROUP BY 1, 2;
-- name: join-self-key
-- construct: self-join, colocated-join
SELECT a.account, a.id, b.id FROM events a JOIN events b ON a.account = b.account AND a.id = b.id - 1;
-- name: join-self-less
-- construct: self-join, colocated-join, group-by
SELECT a.account, count(*) FROM sessions a JOIN sessions b ON a.account = b.account AND a.session < b.session GROUP BY a.account;
-- name: join-self-not-key
-- construct: self-join, non-colocated-join
SELECT a.owner, b.owner, a.model FROM devices a JOIN devices b ON a.price < b.price AND a.model = b.model AND b."order" = a."order" WHERE a.owner < 20 AND b.owner > 20;
-- name: join-self-three
-- construct: self-join, colocated-join, aggregate
SELECT count(*) FROM sessions a JOIN sessions b USING (account) JOIN sessions c USING (account) WHERE a.session < b.session AND b.session < c.session;
-- name: join-self-shifted-key
-- construct: self-join, non-colocated-join
SELECT a.owner, b.owner, a.device, b.device FROM devices a JOIN devices b ON a.owner = b.owner + 1;
-- name: join-self-left-shifted
-- construct: self-join, outer-join, non-colocated-join
SELECT a.owner, a.device, b.owner AS next FROM devices a LEFT JOIN devices b ON b.owner = a.owner + 1 AND b.model = a.model;
-- name: join-self-distinct-pairs
-- construct: self-join, distinct
SELECT DISTINCT a.agent, b.agent FROM sessions a JOIN sessions b ON a.account = b.account AND a.agent < b.agent;
-- name: join-self-same-alias-in-subquery
-- construct: self-join, from-subquery
SELECT s.account, s.session, q.n FROM sessions s JOIN (SELECT s.account, count(*) AS n FROM sessions s GROUP BY s.account) AS q ON q.account = s.account;
-- name: join-self-full
-- construct: self-join, outer-join
SELECT a.account, a.session, b.session FROM sessions a FULL JOIN sessions b ON a.account = b.account AND a.session = b.session + 1;
-- name: join-self-aggregated
-- construct: self-join, aggregate, group-by
SELECT a.kind, count(*), count(b.id) FROM events a LEFT JOIN events b ON a.account = b.account AND b.id = a.id + 1 AND b.kind = a.kind GROUP BY a.kind;
-- name: join-other-names
-- construct: colocated-join
SELECT e.id, d.model, l."Amount" FROM events e JOIN devices d ON d.owner = e.account JOIN "Ledger Lines" l ON l."Account" = d.owner WHERE e.id % 5 = 0;
-- name: join-chain-transitive
-- construct: colocated-join, aggregate
SELECT count(*), sum(l."Amount") FROM "Ledger Lines" l, devices d, sessions s WHERE l."Account" = d.owner AND s.account = l."Account";
-- name: join-comma
-- construct: colocated-join
SELECT e.id, s.session FROM events e, sessions s WHERE e.account = s.account AND e.session = s.session AND s.agent = 'chrome';
-- name: join-parenthesised
-- construct: colocated-join, outer-join
SELECT e.id, s.session, d.device FROM events e LEFT JOIN (sessions s JOIN devices d ON d.owner = s.account AND d.device = s.device) ON e.account = s.account AND e.session = s.session;
-- name: join-through-subqueries
-- construct: colocated-join, from-subquery
SELECT a.account, a.n, b.m FROM (SELECT account, count(*) AS n FROM events GROUP BY account) a JOIN (SELECT account, count(*) AS m FROM sessions GROUP BY account) b ON a.account = b.account;
-- name: join-grouped
-- construct: colocated-join, group-by, having
SELECT s.agent, count(*), avg(e.amount) FROM events e JOIN sessions s USING (account, session) GROUP BY s.agent HAVING count(*) > 3;
-- name: join-ordered-limited
-- construct: colocated-join, order-by, limit
-- compare: ordered
SELECT e.account, e.id, s.agent FROM events e JOIN sessions s USING (account, session) ORDER BY e.id DESC LIMIT 20 OFFSET 5;
-- name: join-key-with-expression
-- construct: non-colocated-join
SELECT e.id, s.session FROM events e JOIN sessions s ON e.account = s.account + 0 AND e.session = s.session;
-- name: join-key-against-non-key
-- construct: non-colocated-join
SELECT e.id, d.device FROM events e JOIN devices d ON e.account = d.device;
-- name: join-sessions-devices-by-device
-- construct: non-colocated-join
SELECT s.account, s.session, d.model FROM sessions s JOIN devices d ON s.device = d.device;
-- name: join-by-text
-- construct: non-colocated-join, aggregate
SELECT count(*), min(e.id), max(d.device) FROM events e JOIN devices d ON e.kind = d.model OR d.model = e.plain;
-- name: join-by-inequality
-- construct: non-colocated-join, aggregate
SELECT count(*) FROM sessions a JOIN devices b ON a.weight > b.price;
-- name: join-by-small-number
-- construct: non-colocated-join, group-by
SELECT d."order", count(*), sum(e.qty) FROM devices d JOIN events e ON e.small = d."order" GROUP BY d."order";
-- name: join-left-by-other-column
-- construct: non-colocated-join, outer-join
SELECT d.owner, d.device, s.account, s.session FROM devices d LEFT JOIN sessions s ON s.device = d.device;
-- name: join-full-by-other-column
-- construct: non-colocated-join, outer-join, aggregate
SELECT count(*), count(d.device), count(s.account) FROM devices d FULL JOIN sessions s ON s.device = d.device + 1;
-- name: join-anti-by-other-column
-- construct: non-colocated-join, outer-join, null
SELECT d.device FROM devices d LEFT JOIN sessions s ON s.device = d.device WHERE s.account IS NULL;
-- name: join-reference
-- construct: reference-join
SELECT e.id, d.name FROM events e JOIN dimensions d ON d.id = e.dim;
-- name: join-reference-left
-- construct: reference-join, outer-join
SELECT e.id, e.dim, d.name FROM events e LEFT JOIN dimensions d ON d.id = e.dim;
-- name: join-reference-right
-- construct: reference-join, outer-join
SELECT d.id, d.name, e.id FROM events e RIGHT JOIN dimensions d ON d.id = e.dim;
-- name: join-reference-first-left
-- construct: reference-join, outer-join
SELECT d.id, e.account, e.id FROM dimensions d LEFT JOIN events e ON d.id = e.dim AND e.qty > 15;
-- name: join-reference-first-left-unmatched
-- construct: reference-join, outer-join, null
SELECT d.id, d.name FROM dimensions d LEFT JOIN events e ON d.id = e.dim AND e.qty = 20 WHERE e.id IS NULL;
-- name: join-reference-full
-- construct: reference-join, outer-join, aggregate
SELECT count(*), count(d.id), count(e.id) FROM dimensions d FULL JOIN events e ON d.id = e.dim;
-- name: join-reference-cross
-- construct: reference-join, cross-join, aggregate
SELECT count(*) FROM events CROSS JOIN dimensions;
-- name: join-reference-grouped-left
-- construct: reference-join, outer-join, group-by
SELECT d.id, d.name, count(e.id), sum(e.amount) FROM dimensions d LEFT JOIN events e ON d.id = e.dim GROUP BY d.id;
-- name: join-reference-alone
-- construct: reference-join, order-by
-- compare: ordered
SELECT id, name, factor FROM dimensions ORDER BY id;
-- name: join-reference-alone-counted
-- construct: reference-join, aggregate
SELECT count(*), sum(factor) FROM dimensions;
-- name: join-references-only
-- construct: reference-join, outer-join
SELECT d.name, t.tag FROM dimensions d LEFT JOIN tags t ON t.dim = d.id;
-- name: join-reference-by-text
-- construct: reference-join
SELECT e.id, t.weight FROM events e JOIN tags t ON t.tag = e.tags[1];
-- name: join-reference-any-array
-- construct: reference-join, array
SELECT e.id, t.tag FROM events e JOIN tags t ON t.tag = ANY (e.tags);
-- name: join-reference-two-levels
-- construct: reference-join, self-join
SELECT e.id, p.name AS parent FROM events e JOIN dimensions d ON d.id = e.dim JOIN dimensions p ON p.id = d.parent;
-- name: join-reference-union-with-sharded
-- construct: reference-join, set-operation
SELECT id::bigint FROM dimensions UNION ALL SELECT id FROM events WHERE id < 20;
-- name: join-reference-in-subquery
-- construct: reference-join, in-subquery
SELECT count(*) FROM events WHERE dim IN (SELECT id FROM dimensions WHERE kind = 'a');
-- name: join-reference-outer-exists
-- construct: reference-join, exists
SELECT d.id FROM dimensions d WHERE EXISTS (SELECT FROM events e WHERE e.dim = d.id AND e.amount > 9000);
-- name: join-reference-outer-not-exists
-- construct: reference-join, exists
SELECT d.id FROM dimensions d WHERE NOT EXISTS (SELECT FROM events e WHERE e.dim = d.id AND e.qty = 20);
-- name: join-reference-scalar
-- construct: reference-join, scalar-subquery
SELECT d.id, (SELECT count(*) FROM events e WHERE e.dim = d.id) AS n FROM dimensions d;
-- name: join-reference-left-then-colocated
-- construct: reference-join, outer-join, colocated-join
SELECT d.id, e.id, s.session FROM dimensions d LEFT JOIN events e ON e.dim = d.id LEFT JOIN sessions s ON s.account = e.account AND s.session = e.session WHERE d.id < 4;
-- name: join-reference-factor
-- construct: reference-join, aggregate-expression
SELECT d.kind, sum(e.amount * d.factor), sum(e.amount * d.factor) / nullif(count(*), 0) FROM events e JOIN dimensions d ON d.id = e.dim GROUP BY d.kind;
-- name: join-cross
-- construct: cross-join, aggregate
SELECT count(*), sum(a.session * b."order") FROM sessions a CROSS JOIN devices b;
-- name: join-cross-rows
-- construct: cross-join
SELECT a.account, a.session, b.device FROM sessions a CROSS JOIN devices b WHERE a.session = 5 AND b."order" = 1;
-- name: join-cross-comma
-- construct: cross-join
SELECT a.device, b.line FROM devices a, "Ledger Lines" b WHERE a.device < 60 AND b."Account" = 50;
-- name: join-cross-self
-- construct: cross-join, self-join, aggregate
SELECT count(*) FROM devices a, devices b;
-- name: join-cross-values
-- construct: cross-join, values
SELECT e.id, v.x FROM events e, (VALUES (1), (2)) AS v(x) WHERE e.account = 7 OR v.x = 2 AND e.id < 50;
-- name: join-cross-series
-- construct: cross-join, series, group-by
SELECT g, count(*) FROM events e CROSS JOIN generate_series(1, 3) AS g WHERE e.small = g GROUP BY g;
-- name: join-cross-grouped
-- construct: cross-join, group-by
SELECT a.model, b.tag, count(*) FROM devices a CROSS JOIN tags b GROUP BY a.model, b.tag;
-- name: join-cross-one-row
-- construct: cross-join, from-subquery
SELECT e.account, e.id, e.amount - m.avg AS off FROM events e, (SELECT round(avg(amount), 4) AS avg FROM events) AS m WHERE e.qty > 10;
-- name: lateral-top
-- construct: lateral
SELECT s.account, s.session, l.id, l.qty FROM sessions s CROSS JOIN LATERAL (SELECT e.id, e.qty FROM events e WHERE e.account = s.account AND e.session = s.session ORDER BY e.id DESC LIMIT 1) AS l;
-- name: lateral-left
-- construct: lateral, outer-join
SELECT s.account, s.session, l.n FROM sessions s LEFT JOIN LATERAL (SELECT count(*) AS n, max(qty) AS q FROM events e WHERE e.account = s.account AND e.session = s.session) AS l ON l.q > 0;
-- name: lateral-not-colocated
-- construct: lateral, non-colocated-join
SELECT d.device, l.account, l.session FROM devices d CROSS JOIN LATERAL (SELECT s.account, s.session FROM sessions s WHERE s.device = d.device ORDER BY s.account, s.session LIMIT 1) AS l;
-- name: lateral-reference-first
-- construct: lateral, reference-join
SELECT d.id, l.account, l.id FROM dimensions d CROSS JOIN LATERAL (SELECT e.account, e.id FROM events e WHERE e.dim = d.id ORDER BY e.id LIMIT 2) AS l;
-- name: lateral-reference-aggregate
-- construct: lateral, reference-join, aggregate
SELECT d.id, l.n, l.total FROM dimensions d, LATERAL (SELECT count(*) AS n, sum(e.qty) AS total FROM events e WHERE e.dim = d.id) AS l;
-- name: lateral-unnest
-- construct: lateral, array
SELECT e.id, t FROM events e, unnest(e.tags) AS t WHERE e.account IN (7, 8);
-- name: lateral-unnest-grouped
-- construct: lateral, array, group-by
SELECT t, count(*) FROM events e CROSS JOIN LATERAL unnest(e.tags) AS t GROUP BY t;
-- name: lateral-unnest-ordinality
-- construct: lateral, array
SELECT e.id, t.v, t.n FROM events e, unnest(e.nums) WITH ORDINALITY AS t(v, n) WHERE e.id % 7 = 0;
-- name: lateral-series
-- construct: lateral, series, aggregate
SELECT count(*), sum(g) FROM events e, generate_series(1, e.small) AS g;
-- name: lateral-jsonb-each
-- construct: lateral, jsonb, group-by
SELECT k, count(*) FROM events e, jsonb_each(CASE WHEN jsonb_typeof(e.doc) = 'object' THEN e.doc END) AS j(k, v) GROUP BY k;
-- name: lateral-expression
-- construct: lateral
SELECT e.id, x.twice, y.more FROM events e, LATERAL (SELECT e.qty * 2 AS twice) AS x, LATERAL (SELECT x.twice + 1 AS more) AS y WHERE e.qty > 15;
