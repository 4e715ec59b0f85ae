-- Windows: by the key, by other columns, over everything.

-- name: window-by-key
-- construct: window
SELECT account, id, row_number() OVER (PARTITION BY account ORDER BY id) AS n FROM events;
-- name: window-by-key-running-sum
-- construct: window
SELECT account, id, sum(qty) OVER (PARTITION BY account ORDER BY id) AS s FROM events;
-- name: window-by-key-and-more
-- construct: window, order-by
-- compare: ordered
SELECT account, kind, id, rank() OVER (PARTITION BY account, kind ORDER BY qty DESC NULLS LAST, id) AS r FROM events ORDER BY account, kind NULLS FIRST, r;
-- name: window-by-other-column
-- construct: window
SELECT kind, id, row_number() OVER (PARTITION BY kind ORDER BY id) AS n FROM events;
-- name: window-by-expression-of-key
-- construct: window
SELECT account, id, count(*) OVER (PARTITION BY account % 2) AS n FROM events WHERE qty > 10;
-- name: window-whole
-- construct: window
SELECT id, qty, sum(qty) OVER () AS total, count(*) OVER () AS n FROM events WHERE account < 12;
-- name: window-whole-ordered
-- construct: window, limit
-- compare: ordered
SELECT id, sum(qty) OVER (ORDER BY id) AS running FROM events ORDER BY id LIMIT 40 OFFSET 100;
-- name: window-rank-functions
-- construct: window, order-by
-- compare: ordered
SELECT id, rank() OVER w, dense_rank() OVER w, percent_rank() OVER w, cume_dist() OVER w, ntile(4) OVER (ORDER BY small, id) FROM events WINDOW w AS (ORDER BY small) ORDER BY id;
-- name: window-lag-lead
-- construct: window
SELECT account, id, lag(qty) OVER w, lead(qty, 2, -99) OVER w, first_value(id) OVER w, last_value(id) OVER w, nth_value(id, 2) OVER w FROM events WINDOW w AS (PARTITION BY account ORDER BY id);
-- name: window-frame-rows
-- construct: window
SELECT account, id, sum(qty) OVER (PARTITION BY account ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING), max(qty) OVER (PARTITION BY account ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) FROM events;
-- name: window-frame-range
-- unanswered: read as something else
-- construct: window, date-time
SELECT id, count(*) OVER (ORDER BY day RANGE BETWEEN '3 days' PRECEDING AND CURRENT ROW) FROM events WHERE day > '-infinity';
-- name: window-frame-groups-exclude
-- unanswered: not parsed
-- construct: window
SELECT account, id, count(*) OVER (PARTITION BY account ORDER BY small GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW) FROM events;
-- name: window-two-different
-- construct: window
SELECT account, kind, id, row_number() OVER (PARTITION BY account ORDER BY id), row_number() OVER (PARTITION BY kind ORDER BY id) FROM events;
-- name: window-filter
-- construct: window, aggregate-filter
SELECT account, id, count(*) FILTER (WHERE flag) OVER (PARTITION BY account ORDER BY id) FROM events;
-- name: window-over-aggregate
-- construct: window, group-by
SELECT kind, count(*), sum(count(*)) OVER (), rank() OVER (ORDER BY count(*) DESC, kind) FROM events GROUP BY kind;
-- name: window-over-aggregate-by-key
-- construct: window, group-by
SELECT account, kind, count(*), sum(count(*)) OVER (PARTITION BY account) FROM events GROUP BY account, kind;
-- name: window-share
-- construct: window, aggregate-expression
SELECT dim, round(100 * sum(amount) / nullif(sum(sum(amount)) OVER (), 0), 4) AS percent FROM events GROUP BY dim;
-- name: window-in-order-by
-- construct: window, order-by
-- compare: ordered
SELECT id FROM events ORDER BY count(*) OVER (PARTITION BY label), id;
-- name: window-in-subquery-filtered
-- construct: window, from-subquery
SELECT kind, id FROM (SELECT kind, id, row_number() OVER (PARTITION BY kind ORDER BY amount DESC NULLS LAST, id) AS n FROM events) AS q WHERE n <= 3;
-- name: window-top-per-key
-- construct: window, from-subquery
SELECT account, id, amount FROM (SELECT *, dense_rank() OVER (PARTITION BY account ORDER BY amount DESC NULLS LAST, id) AS n FROM events) AS q WHERE n = 1;
-- name: window-joined
-- construct: window, colocated-join
SELECT s.account, s.session, e.id, row_number() OVER (PARTITION BY s.account, s.session ORDER BY e.id) FROM sessions s JOIN events e USING (account, session);
-- name: window-key-under-other-name
-- construct: window, colocated-join
SELECT d.owner, s.session, d.device, count(*) OVER (PARTITION BY d.owner) FROM devices d JOIN sessions s ON s.account = d.owner;
-- name: window-outer-join-nullable-key
-- construct: window, outer-join
SELECT s.account, d.owner, count(*) OVER (PARTITION BY d.owner) AS n FROM sessions s LEFT JOIN devices d ON d.owner = s.account AND d.device = s.device;
-- name: window-distinct-text-collation
-- construct: window, collation, order-by
-- compare: ordered
SELECT id, rank() OVER (ORDER BY label, id) FROM events ORDER BY id;
-- name: window-after-distinct-on
-- construct: window, distinct-on, from-subquery
SELECT kind, id, sum(id) OVER (ORDER BY id) FROM (SELECT DISTINCT ON (kind) kind, id FROM events ORDER BY kind, id) AS q;
-- name: window-named-inherits
-- construct: window
SELECT account, id, sum(qty) OVER (w ROWS 2 PRECEDING), count(*) OVER w FROM events WINDOW p AS (PARTITION BY account), w AS (p ORDER BY id);
-- name: window-array-agg
-- construct: window, array
SELECT account, session, array_agg(session) OVER (PARTITION BY account ORDER BY session) FROM sessions;
-- name: window-over-union
-- construct: window, set-operation, from-subquery
SELECT k, row_number() OVER (ORDER BY k, what) FROM (SELECT account AS k, 'e' AS what FROM events WHERE qty = 20 UNION ALL SELECT owner, 'd' FROM devices WHERE owner < 9) AS u;
