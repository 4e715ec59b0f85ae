-- Common table expressions.

-- name: cte-plain
-- construct: cte
WITH big AS (SELECT account, id, amount FROM events WHERE amount > 5000) SELECT * FROM big;
-- name: cte-aggregated
-- construct: cte, group-by
WITH t AS (SELECT account, sum(amount) AS total FROM events GROUP BY account) SELECT count(*), max(total), min(total) FROM t;
-- name: cte-used-twice
-- construct: cte, self-join
WITH t AS (SELECT account, count(*) AS n FROM events GROUP BY account) SELECT a.account, b.account FROM t a JOIN t b ON a.n = b.n AND a.account < b.account;
-- name: cte-used-twice-scalar
-- construct: cte, scalar-subquery
WITH t AS (SELECT account, sum(qty) AS q FROM events GROUP BY account) SELECT account, q FROM t WHERE q > (SELECT avg(q) FROM t);
-- name: cte-of-cte
-- construct: cte, group-by
WITH a AS (SELECT account, kind, count(*) AS n FROM events GROUP BY account, kind), b AS (SELECT kind, sum(n) AS n, count(*) AS accounts FROM a GROUP BY kind) SELECT * FROM b;
-- name: cte-nested
-- construct: cte
WITH o AS (WITH i AS (SELECT account, qty FROM events WHERE flag) SELECT account, max(qty) AS m FROM i GROUP BY account) SELECT m, count(*) FROM o GROUP BY m;
-- name: cte-joined
-- construct: cte, colocated-join
WITH e AS (SELECT account, session, count(*) AS n FROM events GROUP BY account, session) SELECT s.account, s.session, s.agent, e.n FROM sessions s JOIN e USING (account, session);
-- name: cte-left-joined
-- construct: cte, outer-join
WITH e AS (SELECT account, session, sum(amount) AS a FROM events WHERE flag GROUP BY 1, 2) SELECT s.account, s.session, coalesce(e.a, 0) FROM sessions s LEFT JOIN e USING (account, session);
-- name: cte-not-key
-- construct: cte, non-colocated-join
WITH k AS (SELECT kind, avg(qty) AS a FROM events GROUP BY kind) SELECT e.account, e.id, e.qty, round(k.a, 3) FROM events e JOIN k ON k.kind = e.kind WHERE e.qty > k.a + 10;
-- name: cte-materialized
-- construct: cte
WITH m AS MATERIALIZED (SELECT account, id, qty FROM events WHERE qty > 5) SELECT account, count(*) FROM m WHERE account > 20 GROUP BY account;
-- name: cte-not-materialized
-- construct: cte
WITH m AS NOT MATERIALIZED (SELECT * FROM events) SELECT id, label FROM m WHERE account = 7 AND qty > 0;
-- name: cte-unused
-- construct: cte
WITH unused AS (SELECT * FROM sessions) SELECT count(*) FROM events;
-- name: cte-column-names
-- construct: cte, identifier
WITH t(a, "B b") AS (SELECT account, sum(qty) FROM events GROUP BY account) SELECT a, "B b" + 1 AS "B b" FROM t;
-- name: cte-shadows-table
-- construct: cte, identifier
WITH events AS (SELECT owner AS account, device AS id FROM devices) SELECT account, count(*) FROM events GROUP BY account;
-- name: cte-shadows-table-and-reads-it
-- construct: cte, identifier
WITH events AS (SELECT account, id FROM events WHERE qty = 20) SELECT * FROM events;
-- name: cte-shadows-reference
-- construct: cte, identifier, reference-join
WITH dimensions AS (SELECT id, upper(name) AS name FROM dimensions WHERE id < 4) SELECT e.id, d.name FROM events e JOIN dimensions d ON d.id = e.dim;
-- name: cte-shadowed-with-schema
-- construct: cte, identifier
WITH events AS (SELECT 1 AS one) SELECT count(*), max(e.one) FROM public.events p CROSS JOIN events e;
-- name: cte-inside-subquery
-- construct: cte, from-subquery
SELECT q.kind, q.n FROM (WITH t AS (SELECT kind FROM events WHERE flag) SELECT kind, count(*) AS n FROM t GROUP BY kind) AS q;
-- name: cte-in-scalar-subquery
-- construct: cte, scalar-subquery
SELECT account, session, (WITH t AS (SELECT max(e.id) AS m FROM events e WHERE e.account = s.account AND e.session = s.session) SELECT m FROM t) FROM sessions s;
-- name: cte-in-exists
-- construct: cte, exists
WITH rich AS (SELECT account FROM events GROUP BY account HAVING sum(amount) > 5000) SELECT s.account, s.session FROM sessions s WHERE EXISTS (SELECT FROM rich r WHERE r.account = s.account);
-- name: cte-in-in
-- construct: cte, in-subquery
WITH phones AS (SELECT owner FROM devices WHERE model = 'phone') SELECT account, count(*) FROM events WHERE account IN (SELECT owner FROM phones) GROUP BY account;
-- name: cte-limited
-- construct: cte, limit
WITH top AS (SELECT account, sum(amount) AS s FROM events GROUP BY account ORDER BY s DESC NULLS LAST, account LIMIT 5) SELECT t.account, t.s, count(*) FROM top t JOIN events e USING (account) GROUP BY t.account, t.s;
-- name: cte-ordered
-- construct: cte, order-by
-- compare: ordered
WITH t AS (SELECT id, qty FROM events) SELECT * FROM t WHERE qty IS NOT NULL ORDER BY qty DESC, id LIMIT 9;
-- name: cte-window
-- construct: cte, window
WITH r AS (SELECT account, id, row_number() OVER (PARTITION BY account ORDER BY id DESC) AS n FROM events) SELECT account, id FROM r WHERE n <= 2;
-- name: cte-union-of-two
-- construct: cte, set-operation
WITH a AS (SELECT account FROM events WHERE qty = 20), b AS (SELECT owner FROM devices WHERE price > 900) SELECT * FROM a UNION SELECT * FROM b;
-- name: cte-with-parameter
-- construct: cte, parameter
-- params: 10::int4
WITH t AS (SELECT account, id FROM events WHERE qty >= $1) SELECT account, count(*) FROM t GROUP BY account;
-- name: cte-reference-only
-- construct: cte, reference-join
WITH d AS (SELECT * FROM dimensions WHERE factor > 1) SELECT name FROM d;
-- name: recursive-numbers
-- construct: recursive-cte
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6) SELECT i FROM n;
-- name: recursive-numbers-joined
-- construct: recursive-cte, outer-join
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT i, count(e.id) FROM n LEFT JOIN events e ON e.account = n.i GROUP BY i;
-- name: recursive-reference-tree
-- construct: recursive-cte, reference-join
WITH RECURSIVE tree AS (SELECT id, 0 AS depth FROM dimensions WHERE parent IS NULL UNION ALL SELECT d.id, t.depth + 1 FROM dimensions d JOIN tree t ON d.parent = t.id) SELECT t.depth, count(e.id) FROM tree t JOIN events e ON e.dim = t.id GROUP BY t.depth;
-- name: recursive-reference-path
-- construct: recursive-cte, string
WITH RECURSIVE p AS (SELECT id, name::text COLLATE "C" AS path FROM dimensions WHERE parent IS NULL UNION ALL SELECT d.id, p.path || '/' || d.name FROM dimensions d JOIN p ON d.parent = p.id) SELECT path FROM p;
-- name: recursive-over-sharded
-- construct: recursive-cte, aggregate
WITH RECURSIVE walk AS (SELECT account, id, 1 AS step FROM events WHERE id = 1 UNION ALL SELECT e.account, e.id, w.step + 1 FROM walk w JOIN events e ON e.id = w.id + 7 WHERE w.step < 20) SELECT count(*), max(step), max(account) FROM walk;
-- name: recursive-over-sharded-by-key
-- construct: recursive-cte, key-predicate
WITH RECURSIVE walk AS (SELECT id, 1 AS step FROM events WHERE account = 7 AND id % 50 = 0 UNION ALL SELECT e.id, w.step + 1 FROM walk w JOIN events e ON e.account = 7 AND e.id = w.id + 1 WHERE w.step < 5) SELECT step, count(*) FROM walk GROUP BY step;
-- name: recursive-union-distinct
-- construct: recursive-cte, set-operation
WITH RECURSIVE r AS (SELECT dim FROM events WHERE account = 1 UNION SELECT d.parent FROM r JOIN dimensions d ON d.id = r.dim) SELECT * FROM r;
-- name: recursive-unused-keyword
-- construct: recursive-cte, cte
WITH RECURSIVE t AS (SELECT account, count(*) AS n FROM events GROUP BY account) SELECT max(n) FROM t;
-- name: recursive-in-subquery
-- construct: recursive-cte, in-subquery
SELECT count(*) FROM events WHERE dim IN (WITH RECURSIVE t AS (SELECT 2 AS id UNION ALL SELECT d.id FROM dimensions d JOIN t ON d.parent = t.id) SELECT id FROM t);
-- name: recursive-ordered-limited
-- construct: recursive-cte, limit
-- compare: ordered
WITH RECURSIVE n AS (SELECT min(id) AS id FROM events UNION ALL SELECT id + 10 FROM n WHERE id < 200) SELECT n.id, e.kind FROM n LEFT JOIN events e ON e.id = n.id ORDER BY n.id DESC LIMIT 8;
