-- Order, and cuts through it.

-- name: order-column
-- construct: order-by
-- compare: ordered
SELECT id, qty FROM events ORDER BY qty, id;
-- name: order-descending
-- construct: order-by
-- compare: ordered
SELECT account, id FROM events ORDER BY account DESC, id DESC;
-- name: peer-shardingsphere-22826-nulls-first
-- construct: order-by, null
-- compare: ordered
SELECT id, qty FROM events ORDER BY qty NULLS FIRST, id;
-- name: order-desc-nulls-last
-- construct: order-by, null
-- compare: ordered
SELECT id, amount FROM events ORDER BY amount DESC NULLS LAST, id;
-- name: order-position
-- construct: order-by
-- compare: ordered
SELECT kind, id FROM events ORDER BY 1 DESC, 2;
-- name: order-alias
-- construct: order-by
-- compare: ordered
SELECT id, abs(qty) AS size FROM events ORDER BY size, id;
-- name: order-alias-shadows-column
-- construct: order-by, identifier
-- compare: ordered
SELECT id, -qty AS qty FROM events ORDER BY qty, id;
-- name: order-expression-ignores-alias
-- construct: order-by, identifier
-- compare: ordered
SELECT id, -qty AS qty FROM events ORDER BY qty + 0, id;
-- name: order-expression
-- construct: order-by
-- compare: ordered
SELECT id FROM events ORDER BY qty % 5, small * -1, id;
-- name: order-not-selected
-- construct: order-by
-- compare: ordered
SELECT kind FROM events ORDER BY id;
-- name: order-ties
-- construct: order-by
-- compare: ties(1)
-- reason: rows of one kind come in any order
SELECT kind, id FROM events ORDER BY kind;
-- name: peer-pgdog-text-order-not-by-bytes
-- construct: order-by, collation
-- compare: ordered
SELECT label, id FROM events ORDER BY label, id;
-- name: order-collate-c
-- construct: order-by, collation
-- compare: ordered
SELECT label, id FROM events ORDER BY label COLLATE "C", id;
-- name: order-collate-other
-- construct: order-by, collation
-- compare: ordered
SELECT kind, id FROM events ORDER BY kind COLLATE lexical DESC, id;
-- name: order-nondeterministic
-- construct: order-by, collation
-- compare: ordered
SELECT note, id FROM events ORDER BY note, id;
-- name: order-collation-of-expression
-- construct: order-by, collation, string
-- compare: ordered
SELECT id, label || 'x' AS l FROM events ORDER BY l, id;
-- name: order-default-collation
-- construct: order-by, collation
-- compare: ordered
SELECT plain, id FROM events ORDER BY plain NULLS FIRST, id DESC;
-- name: order-collated-limited
-- construct: order-by, collation, limit
-- compare: ordered
SELECT label, id FROM events ORDER BY label DESC, id LIMIT 25 OFFSET 10;
-- name: order-float
-- construct: order-by, numeric
-- compare: ties(1)
-- reason: 0 and -0 tie
SELECT ratio, id FROM events ORDER BY ratio;
-- name: order-float-descending
-- construct: order-by, numeric, limit
-- compare: ties(1)
-- reason: 0 and -0 tie, as do NaNs
SELECT ratio, id FROM events ORDER BY ratio DESC
LIMIT 150;
-- name: order-numeric
-- construct: order-by, numeric
-- compare: ordered
SELECT huge, id FROM events ORDER BY huge, id;
-- name: order-timestamps
-- construct: order-by, date-time
-- compare: ordered
SELECT at, seen, day, tod, id FROM events ORDER BY day DESC, at, seen NULLS FIRST, tod, id;
-- name: order-interval
-- construct: order-by, date-time
-- compare: ordered
SELECT span, id FROM events ORDER BY span, id;
-- name: order-enum
-- construct: order-by
-- compare: ordered
SELECT mood, id FROM events ORDER BY mood DESC, id;
-- name: order-bool-uuid-bytea
-- construct: order-by
-- compare: ordered
SELECT flag, uid, bytes, id FROM events ORDER BY flag, uid DESC, bytes, id;
-- name: order-inet
-- construct: order-by
-- compare: ordered
SELECT ip, id FROM events ORDER BY ip, id;
-- name: order-array
-- construct: order-by, array
-- compare: ordered
SELECT nums, tags, id FROM events ORDER BY nums, tags DESC, id;
-- name: order-jsonb
-- construct: order-by, jsonb
-- compare: ordered
SELECT doc, id FROM events ORDER BY doc, id;
-- name: order-char
-- construct: order-by
-- compare: ordered
SELECT pad, code, id FROM events ORDER BY pad, code, id;
-- name: order-using
-- construct: order-by
-- compare: ordered
SELECT id, qty FROM events ORDER BY qty USING >, id USING <;
-- name: order-case
-- construct: order-by, case
-- compare: ordered
SELECT id, kind FROM events ORDER BY CASE kind WHEN 'Buy' THEN 0 WHEN 'buy' THEN 1 ELSE 2 END, id;
-- name: order-by-subquery
-- construct: order-by, scalar-subquery
-- compare: ordered
SELECT id, dim FROM events WHERE account < 10 ORDER BY (SELECT name FROM dimensions d WHERE d.id = dim) NULLS FIRST, id;
-- name: order-constant
-- construct: order-by
-- compare: ordered
SELECT id FROM events ORDER BY 'x'::text, id;
-- name: order-row
-- unanswered: a record as a value
-- construct: order-by, row-comparison
-- compare: ordered
SELECT id, qty, small FROM events ORDER BY (qty, small), id;
-- name: order-in-subquery-lost
-- construct: order-by, from-subquery, aggregate
SELECT count(*) FROM (SELECT id FROM events ORDER BY qty) AS q;
-- name: limit-only
-- construct: limit, from-subquery, aggregate
SELECT count(*) FROM (SELECT id FROM events LIMIT 17) AS q;
-- name: limit-without-order
-- construct: limit
-- compare: ties()
-- reason: any seven rows will do
SELECT account, id, kind FROM events
LIMIT 7;
-- name: limit-ordered
-- construct: limit, order-by
-- compare: ordered
SELECT account, id FROM events ORDER BY id LIMIT 10;
-- name: limit-ties
-- construct: limit, order-by
-- compare: ties(1)
-- reason: which of the rows that tie at the cut are inside is open
SELECT small, id FROM events ORDER BY small
LIMIT 100;
-- name: limit-ties-offset
-- construct: limit, order-by
-- compare: ties(1)
-- reason: which of the rows that tie at the cuts are inside is open
SELECT kind, id FROM events ORDER BY kind DESC NULLS LAST
LIMIT 50 OFFSET 75;
-- name: limit-zero
-- construct: limit
-- empty: yes
SELECT id, kind, doc FROM events ORDER BY id LIMIT 0;
-- name: limit-null
-- construct: limit, null
-- compare: ordered
SELECT id FROM events ORDER BY id LIMIT NULL OFFSET 900;
-- name: limit-all
-- unanswered: not parsed
-- construct: limit
-- compare: ordered
SELECT id FROM events ORDER BY id LIMIT ALL OFFSET 3;
-- name: limit-beyond
-- construct: limit
-- empty: yes
SELECT id FROM events ORDER BY id LIMIT 5 OFFSET 100000;
-- name: peer-shardingsphere-17628-offset-pages
-- construct: limit, order-by
-- compare: ordered
SELECT account, id FROM events ORDER BY account, id LIMIT 10 OFFSET 700;
-- name: offset-only
-- construct: limit
-- compare: ordered
SELECT id FROM events ORDER BY id DESC OFFSET 890;
-- name: offset-rows-fetch
-- construct: limit
-- compare: ordered
SELECT id FROM events ORDER BY id OFFSET 5 ROWS FETCH NEXT 5 ROWS ONLY;
-- name: fetch-first
-- construct: limit, order-by
-- compare: ordered
SELECT id, amount FROM events ORDER BY amount DESC NULLS LAST, id FETCH FIRST 8 ROWS ONLY;
-- name: fetch-first-row
-- construct: limit
-- compare: ordered
SELECT id FROM events ORDER BY id DESC FETCH FIRST ROW ONLY;
-- name: fetch-with-ties
-- construct: limit, order-by
-- compare: ties(1)
-- reason: rows that tie come in any order
SELECT small, id FROM events ORDER BY small NULLS FIRST
FETCH FIRST 3 ROWS WITH TIES;
-- name: fetch-with-ties-offset
-- construct: limit, order-by
-- compare: ties(1)
-- reason: which of those that tie the offset leaves out is open
SELECT small, id FROM events ORDER BY small DESC
OFFSET 10 FETCH FIRST 5 ROWS WITH TIES;
-- name: limit-expression
-- construct: limit
-- compare: ordered
SELECT id FROM events ORDER BY id LIMIT 2 + 3;
-- name: limit-parameter
-- construct: limit, parameter
-- params: 6::int8; 4::int8
-- compare: ordered
SELECT id FROM events ORDER BY id LIMIT $1 OFFSET $2;
-- name: limit-subquery
-- construct: limit, scalar-subquery
-- compare: ordered
SELECT id FROM events ORDER BY id LIMIT (SELECT count(*) FROM tags);
-- name: limit-grouped
-- construct: limit, group-by
-- compare: ordered
SELECT label, count(*) AS n FROM events GROUP BY label ORDER BY n DESC, label LIMIT 5;
-- name: limit-grouped-ties
-- construct: limit, group-by
-- compare: ties(2)
-- reason: which of the groups that tie at the cut is inside is open
SELECT account, count(*) AS n FROM events GROUP BY account ORDER BY n DESC
LIMIT 12;
-- name: limit-in-subquery
-- construct: limit, from-subquery, aggregate
SELECT sum(qty), min(id) FROM (SELECT id, qty FROM events ORDER BY id DESC LIMIT 100) AS q;
-- name: limit-in-subquery-joined
-- construct: limit, from-subquery, colocated-join
SELECT q.id, s.agent FROM (SELECT account, session, id FROM events ORDER BY id LIMIT 60) AS q JOIN sessions s USING (account, session);
-- name: limit-one-of-key
-- construct: limit, key-predicate
-- compare: ordered
SELECT id, kind FROM events WHERE account = 7 ORDER BY id DESC LIMIT 5;
