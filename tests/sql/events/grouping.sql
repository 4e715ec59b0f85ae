-- Groups and what is asked of them.

-- name: group-column
-- construct: group-by
SELECT kind, count(*) FROM events GROUP BY kind;
-- name: peer-shardingsphere-22170-null-groups
-- construct: group-by, null
SELECT kind, flag, count(*), sum(qty) FROM events GROUP BY kind, flag;
-- name: group-key
-- construct: group-by, key-predicate
SELECT account, count(*), min(at) FROM events GROUP BY account;
-- name: group-key-and-more
-- construct: group-by, order-by
-- compare: ordered
SELECT account, kind, count(*) FROM events GROUP BY account, kind ORDER BY account, kind NULLS FIRST;
-- name: group-position
-- construct: group-by, aggregate
SELECT mood, small, sum(amount) FROM events GROUP BY 1, 2;
-- name: group-alias
-- construct: group-by, aggregate-order
SELECT upper(kind) AS k, count(*), string_agg(code, ',' ORDER BY id) FROM events GROUP BY k;
-- name: group-alias-that-is-a-column
-- construct: group-by, identifier
SELECT abs(qty) AS small, count(*) FROM events GROUP BY small, qty;
-- name: group-expression
-- construct: group-by
SELECT qty % 5, count(*) FROM events GROUP BY qty % 5;
-- name: group-expression-reused
-- construct: group-by, order-by
-- compare: ordered
SELECT (qty % 5) * 10 AS x, count(*) FROM events GROUP BY qty % 5 ORDER BY qty % 5 NULLS FIRST;
-- name: group-by-without-aggregate
-- construct: group-by
SELECT kind FROM events GROUP BY kind;
-- name: group-not-selected
-- construct: group-by
SELECT count(*), max(id) FROM events GROUP BY kind, mood;
-- name: group-text-other-collation
-- construct: group-by, collation
SELECT label, count(*) FROM events GROUP BY label;
-- name: group-text-nondeterministic
-- construct: group-by, collation
SELECT lower(min(note COLLATE "C")), count(*) FROM events GROUP BY note;
-- name: group-text-nondeterministic-as-c
-- construct: group-by, collation
SELECT note COLLATE "C" AS n, count(*) FROM events GROUP BY 1;
-- name: group-numeric
-- construct: group-by, numeric
-- compare: multiset value(1)
-- reason: 1.5 and 1.50 are one group, and either may stand for it
SELECT huge, count(*) FROM events GROUP BY huge;
-- name: group-float
-- construct: group-by, numeric
-- compare: multiset value(1)
-- reason: 0 and -0 are one group
SELECT ratio, count(*) FROM events GROUP BY ratio;
-- name: group-float-plus-zero
-- construct: group-by, numeric
SELECT ratio + 0, count(*) FROM events GROUP BY 1;
-- name: group-interval
-- construct: group-by, date-time
SELECT extract(epoch FROM span), count(*) FROM events GROUP BY span;
-- name: group-enum
-- construct: group-by, order-by
-- compare: ordered
SELECT mood, count(*) FROM events GROUP BY mood ORDER BY mood;
-- name: group-domain
-- construct: group-by, having
SELECT score, count(*) FROM events GROUP BY score HAVING count(*) > 5;
-- name: group-bool
-- construct: group-by, aggregate
SELECT flag, count(*), bool_or(qty > 0), bool_and(qty > -20) FROM events GROUP BY flag;
-- name: group-uuid
-- construct: group-by, having
SELECT uid, count(*) FROM events GROUP BY uid HAVING count(*) > 4;
-- name: group-inet
-- construct: group-by, distinct
SELECT ip, count(DISTINCT account) FROM events GROUP BY ip;
-- name: group-bytea
-- construct: group-by, order-by
-- compare: ordered
SELECT bytes, count(*) FROM events GROUP BY bytes ORDER BY bytes NULLS FIRST;
-- name: group-array
-- construct: group-by, array
SELECT nums, count(*) FROM events GROUP BY nums;
-- name: group-jsonb
-- construct: group-by, jsonb
SELECT doc, count(*) FROM events GROUP BY doc;
-- name: group-char
-- construct: group-by
SELECT pad, count(*), max(length(pad)) FROM events GROUP BY pad;
-- name: group-varchar
-- construct: group-by
SELECT code, count(*), max(length(code)) FROM events GROUP BY code;
-- name: group-date
-- construct: group-by, date-time
SELECT day, count(*) FROM events GROUP BY day;
-- name: group-date-trunc
-- construct: group-by, date-time, order-by
-- compare: ordered
SELECT date_trunc('day', seen) AS d, count(*), sum(amount) FROM events GROUP BY 1 ORDER BY 1 DESC NULLS LAST;
-- name: group-primary-key
-- construct: group-by
SELECT account, id, kind, count(*) FROM events WHERE id < 60 GROUP BY account, id;
-- name: group-primary-key-joined
-- construct: group-by, outer-join
SELECT s.account, s.session, s.agent, s.weight, count(e.id) FROM sessions s LEFT JOIN events e USING (account, session) GROUP BY s.account, s.session;
-- name: group-reference-primary-key
-- construct: group-by, reference-join
SELECT d.name, d.factor, count(*) FROM events e JOIN dimensions d ON d.id = e.dim GROUP BY d.id;
-- name: group-constant
-- construct: group-by
SELECT 'all' AS what, count(*) FROM events GROUP BY 1;
-- name: group-empty-set
-- construct: group-by, grouping-sets
SELECT count(*), sum(qty) FROM events GROUP BY ();
-- name: group-row-expression
-- construct: group-by, cast
SELECT (kind || '/' || coalesce(mood::text, '-')) AS x, count(*) FROM events GROUP BY x;
-- name: rollup
-- construct: grouping-sets
SELECT kind, mood, count(*) FROM events GROUP BY ROLLUP (kind, mood);
-- name: rollup-grouping
-- construct: grouping-sets, null
SELECT kind, flag, grouping(kind, flag) AS g, count(*), sum(amount) FROM events GROUP BY ROLLUP (kind, flag);
-- name: cube
-- construct: grouping-sets, order-by
-- compare: ordered
SELECT flag, mood, count(*), grouping(flag), grouping(mood) FROM events GROUP BY CUBE (flag, mood) ORDER BY grouping(flag), grouping(mood), flag NULLS FIRST, mood NULLS FIRST;
-- name: grouping-sets-explicit
-- construct: grouping-sets, aggregate
SELECT kind, dim, count(*), avg(qty) FROM events GROUP BY GROUPING SETS ((kind), (dim), ());
-- name: grouping-sets-with-key
-- construct: grouping-sets, having
SELECT account, kind, count(*) FROM events GROUP BY GROUPING SETS ((account), (kind), (account, kind)) HAVING count(*) > 10;
-- name: grouping-sets-duplicate
-- construct: grouping-sets, aggregate
SELECT mood, count(*), count(DISTINCT kind) FROM events GROUP BY GROUPING SETS ((mood), (mood), ());
-- name: grouping-sets-empty-input
-- construct: grouping-sets, empty-input
SELECT kind, count(*) FROM events WHERE qty > 1000 GROUP BY GROUPING SETS ((kind), ());
-- name: grouping-sets-mixed
-- construct: grouping-sets, group-by
SELECT flag, kind, mood, count(*) FROM events GROUP BY flag, ROLLUP (kind, mood);
-- name: rollup-expression
-- construct: grouping-sets, date-time
SELECT date_trunc('month', at) AS m, kind, count(*) FROM events GROUP BY ROLLUP (date_trunc('month', at), kind);
-- name: rollup-joined
-- construct: grouping-sets, colocated-join
SELECT s.agent, e.flag, count(*), sum(e.qty) FROM events e JOIN sessions s USING (account, session) GROUP BY ROLLUP (s.agent, e.flag);
-- name: rollup-limited
-- construct: grouping-sets, limit
-- compare: ordered
SELECT mood, count(*) AS n FROM events GROUP BY ROLLUP (mood) ORDER BY n DESC, mood NULLS FIRST LIMIT 3;
-- name: having-count
-- construct: having
SELECT kind, count(*) FROM events GROUP BY kind HAVING count(*) > 100;
-- name: having-not-selected
-- construct: having
SELECT label FROM events GROUP BY label HAVING sum(amount) > 0 AND count(DISTINCT account) > 2;
-- name: having-expression
-- construct: having, aggregate-expression
SELECT dim, sum(amount) FROM events GROUP BY dim HAVING sum(amount) / count(*) > 100;
-- name: having-without-group
-- construct: having, aggregate
SELECT count(*), sum(qty) FROM events HAVING count(*) > 100;
-- name: having-without-group-false
-- construct: having, aggregate
-- empty: yes
SELECT count(*) FROM events HAVING count(*) < 10;
-- name: having-without-aggregate-in-select
-- construct: having
SELECT 1 AS one FROM events HAVING max(qty) = 20;
-- name: having-false
-- construct: having, empty-input
-- empty: yes
SELECT kind FROM events GROUP BY kind HAVING false;
-- name: having-subquery
-- construct: having, scalar-subquery
SELECT kind, count(*) FROM events GROUP BY kind HAVING count(*) > (SELECT count(*) / 10 FROM events);
-- name: having-in-subquery
-- construct: having, in-subquery
SELECT dim, count(*) FROM events GROUP BY dim HAVING dim IN (SELECT id FROM dimensions WHERE factor > 1);
-- name: having-null
-- construct: having, null
SELECT kind, max(score) FROM events GROUP BY kind HAVING max(nullif(score, 100)) IS NOT NULL AND every(qty IS NOT NULL) IS FALSE;
-- name: having-filter
-- construct: having, aggregate-filter
SELECT account, count(*) FILTER (WHERE flag) AS t FROM events GROUP BY account HAVING count(*) FILTER (WHERE flag) > count(*) FILTER (WHERE NOT flag);
-- name: having-group-column
-- construct: having, group-by
SELECT mood, small, count(*) FROM events GROUP BY mood, small HAVING small BETWEEN -1 AND 1 AND mood IS NOT NULL;
-- name: having-joined
-- construct: having, colocated-join
SELECT s.account, count(*), max(e.qty) FROM sessions s JOIN events e USING (account) GROUP BY s.account HAVING max(e.qty) > min(s.session) * 10;
-- name: distinct-column
-- construct: distinct
SELECT DISTINCT kind FROM events;
-- name: distinct-columns
-- construct: distinct, null
SELECT DISTINCT kind, flag, mood FROM events;
-- name: distinct-expression
-- construct: distinct
SELECT DISTINCT qty % 4 AS r FROM events;
-- name: distinct-ordered
-- construct: distinct, order-by, collation
-- compare: ordered
SELECT DISTINCT label FROM events ORDER BY label;
-- name: distinct-ordered-limited
-- construct: distinct, order-by, limit
-- compare: ordered
SELECT DISTINCT dim, flag FROM events ORDER BY dim DESC NULLS LAST, flag LIMIT 7 OFFSET 2;
-- name: distinct-key
-- construct: distinct, key-predicate
SELECT DISTINCT account FROM events WHERE qty > 0;
-- name: distinct-key-and-more
-- construct: distinct
SELECT DISTINCT account, kind FROM events;
-- name: distinct-numeric
-- construct: distinct, numeric
-- compare: multiset value(1)
-- reason: 1.5 and 1.50 are the same
SELECT DISTINCT huge FROM events;
-- name: distinct-nondeterministic
-- construct: distinct, collation, from-subquery
SELECT lower(n) FROM (SELECT DISTINCT note AS n FROM events) AS q;
-- name: distinct-star-joined
-- construct: distinct, colocated-join
SELECT DISTINCT s.agent, d.model FROM sessions s JOIN devices d ON d.owner = s.account;
-- name: distinct-aggregates
-- construct: distinct, group-by
SELECT DISTINCT count(*) FROM events GROUP BY account, kind;
-- name: distinct-array
-- construct: distinct, array
SELECT DISTINCT tags FROM events;
-- name: distinct-window
-- construct: distinct, window
SELECT DISTINCT kind, count(*) OVER (PARTITION BY kind) FROM events;
-- name: distinct-in-subquery-counted
-- construct: distinct, from-subquery, aggregate
SELECT count(*) FROM (SELECT DISTINCT kind, label FROM events) AS q;
-- name: distinct-on
-- construct: distinct-on, order-by
-- compare: ordered
SELECT DISTINCT ON (kind) kind, id, qty FROM events ORDER BY kind, id;
-- name: distinct-on-descending
-- construct: distinct-on, order-by
-- compare: ordered
SELECT DISTINCT ON (mood, flag) mood, flag, account, id FROM events ORDER BY mood DESC NULLS LAST, flag, at DESC NULLS LAST, id;
-- name: distinct-on-key
-- construct: distinct-on, key-predicate
SELECT DISTINCT ON (account) account, id, kind FROM events ORDER BY account, qty DESC NULLS LAST, id;
-- name: distinct-on-expression
-- construct: distinct-on
SELECT DISTINCT ON (qty % 3) qty % 3 AS r, id FROM events ORDER BY qty % 3, id DESC;
-- name: distinct-on-not-selected
-- construct: distinct-on
SELECT DISTINCT ON (dim) id, amount FROM events ORDER BY dim, amount DESC NULLS LAST, id;
-- name: distinct-on-limited
-- construct: distinct-on, limit
-- compare: ordered
SELECT DISTINCT ON (label) label, id FROM events ORDER BY label, id LIMIT 4 OFFSET 1;
-- name: distinct-on-unordered
-- construct: distinct-on, from-subquery
SELECT count(*) FROM (SELECT DISTINCT ON (kind, small) kind, id FROM events) AS q;
-- name: distinct-on-joined
-- construct: distinct-on, colocated-join
SELECT DISTINCT ON (s.agent) s.agent, e.account, e.id FROM events e JOIN sessions s USING (account, session) ORDER BY s.agent, e.id;
-- name: distinct-on-reference
-- construct: distinct-on, reference-join
SELECT DISTINCT ON (d.id) d.id, d.name, e.id FROM dimensions d LEFT JOIN events e ON e.dim = d.id ORDER BY d.id, e.id DESC;
-- name: distinct-on-nondeterministic
-- construct: distinct-on, collation
SELECT DISTINCT ON (note) lower(note), id FROM events ORDER BY note, id;
-- name: distinct-on-in-cte
-- construct: distinct-on, cte, aggregate
WITH latest AS (SELECT DISTINCT ON (account, session) account, session, amount FROM events ORDER BY account, session, id DESC) SELECT count(*), sum(amount) FROM latest;
-- name: rollup-positions-of-one-expression
-- construct: grouping-sets, identifier
SELECT kind, kind AS again, count(*) FROM events GROUP BY ROLLUP (1, 2);
-- name: rollup-positions-of-one-expression-in-cte
-- construct: grouping-sets, cte
WITH t AS (SELECT mood FROM events WHERE flag) SELECT mood, mood, count(*) FROM t GROUP BY CUBE (1, 2);
-- name: rollup-positions-of-different-expressions
-- construct: grouping-sets, order-by
-- compare: ordered
SELECT flag, small % 2 AS odd, count(*) FROM events GROUP BY ROLLUP (2, 1) ORDER BY odd NULLS LAST, flag NULLS LAST, count(*) DESC;
