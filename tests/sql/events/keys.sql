-- Which shards a query needs: wrong here means rows that are missing, or there twice.

-- name: key-equals
-- construct: key-predicate
SELECT * FROM events WHERE account = 7 AND id % 3 = 0;
-- name: key-equals-reversed
-- construct: key-predicate
SELECT id, kind FROM events WHERE 12 = account;
-- name: key-equals-negative
-- construct: key-predicate
SELECT id, label FROM events WHERE account = -5;
-- name: key-equals-beyond-2-to-53
-- construct: key-predicate
SELECT id, amount FROM events WHERE account = 9007199254740993;
-- name: key-equals-beyond-2-to-53-not-rounded
-- construct: key-predicate
-- empty: yes
SELECT id, amount FROM events WHERE account = 9007199254740992;
-- name: key-equals-numeric-literal
-- construct: key-predicate, cast
SELECT id FROM events WHERE account = 9.0;
-- name: key-equals-text-literal
-- construct: key-predicate, cast
SELECT id FROM events WHERE account = '9';
-- name: key-equals-spaced-text-literal
-- construct: key-predicate, cast
SELECT id FROM events WHERE account = ' 9 ';
-- name: key-equals-cast
-- construct: key-predicate, cast
SELECT id, qty FROM events WHERE account = '11'::bigint;
-- name: key-equals-cast-of-the-column
-- construct: key-predicate, cast
SELECT id, qty FROM events WHERE account::text = '11';
-- name: key-equals-sum
-- construct: key-predicate
SELECT id FROM events WHERE account = 3 + 4 AND qty > 0;
-- name: key-plus-one
-- construct: key-predicate
SELECT id FROM events WHERE account + 1 = 8 AND qty > 10;
-- name: key-float
-- construct: key-predicate, cast
SELECT count(*) FROM events WHERE account = 7::float8;
-- name: key-equals-fraction
-- construct: key-predicate
-- empty: yes
SELECT id FROM events WHERE account = 7.5;
-- name: peer-pgdog-639-in-list
-- construct: key-predicate
SELECT account, id FROM events WHERE account IN (1, 3);
-- name: key-in-list-with-null
-- construct: key-predicate, null
SELECT account, count(*) FROM events WHERE account IN (1, NULL, 22) GROUP BY account;
-- name: key-not-in-list
-- construct: key-predicate
SELECT DISTINCT account FROM events WHERE account NOT IN (7, 8, 9);
-- name: key-not-in-list-with-null
-- construct: key-predicate, null
-- empty: yes
SELECT account FROM events WHERE account NOT IN (7, NULL);
-- name: key-any-array
-- construct: key-predicate, array
SELECT account, count(*), sum(qty) FROM events WHERE account = ANY ('{2,4,6,999}') GROUP BY 1;
-- name: key-any-array-constructor
-- construct: key-predicate, array
SELECT account, id FROM events WHERE account = ANY (ARRAY[5, 6, NULL]::bigint[]);
-- name: key-any-empty-array
-- construct: key-predicate, array
-- empty: yes
SELECT account FROM events WHERE account = ANY ('{}');
-- name: key-any-empty-array-aggregated
-- construct: key-predicate, aggregate, empty-input
SELECT count(*), sum(qty), max(at) FROM events WHERE account = ANY ('{}');
-- name: key-all-array
-- construct: key-predicate, array
SELECT DISTINCT account FROM events WHERE account <> ALL ('{1,2,3}') AND account < 10;
-- name: key-any-greater
-- construct: key-predicate, array
SELECT count(*) FROM events WHERE account > ANY ('{50,55}');
-- name: key-or
-- construct: key-predicate
SELECT account, id FROM events WHERE account = 10 OR account = 20 OR (account = 30 AND qty > 0);
-- name: key-or-other-column
-- construct: key-predicate
SELECT account, id FROM events WHERE account = 10 OR qty = 20;
-- name: key-or-true
-- construct: key-predicate
SELECT count(*) FROM events WHERE account = 10 OR true;
-- name: key-or-null-column
-- construct: key-predicate, null
SELECT account, id FROM events WHERE account = 10 OR (account = 11 AND kind IS NULL);
-- name: key-contradiction
-- construct: key-predicate, empty-input
-- empty: yes
SELECT id FROM events WHERE account = 1 AND account = 2;
-- name: key-contradiction-aggregated
-- construct: key-predicate, aggregate, empty-input
SELECT count(*), count(qty), sum(amount), min(kind), bool_and(flag), array_agg(id) FROM events WHERE account = 1 AND account = 2;
-- name: key-contradiction-grouped
-- construct: key-predicate, group-by, empty-input
-- empty: yes
SELECT kind, count(*) FROM events WHERE account = 1 AND account IN (2, 3) GROUP BY kind;
-- name: key-where-false
-- construct: empty-input, aggregate
SELECT count(*), max(big), string_agg(kind, ','), avg(ratio) FROM events WHERE false;
-- name: key-where-null
-- construct: empty-input, null, aggregate
SELECT count(*) FROM events WHERE NULL;
-- name: key-equals-null
-- construct: key-predicate, null
-- empty: yes
SELECT id FROM events WHERE account = NULL;
-- name: key-is-null
-- construct: key-predicate, null
-- empty: yes
SELECT id FROM events WHERE account IS NULL;
-- name: key-is-not-null
-- construct: key-predicate, null, aggregate
SELECT count(*) FROM events WHERE account IS NOT NULL;
-- name: key-is-not-distinct
-- construct: key-predicate, null
SELECT id FROM events WHERE account IS NOT DISTINCT FROM 14;
-- name: key-is-distinct
-- construct: key-predicate, null, aggregate
SELECT count(*) FROM events WHERE account IS DISTINCT FROM 7;
-- name: key-not-equals
-- construct: key-predicate, aggregate
SELECT count(*), count(DISTINCT account) FROM events WHERE NOT (account = 7);
-- name: key-double-negation
-- construct: key-predicate, aggregate
SELECT count(*) FROM events WHERE NOT (account <> 7);
-- name: key-range
-- construct: key-predicate, group-by
SELECT account, count(*) FROM events WHERE account BETWEEN 5 AND 9 GROUP BY account;
-- name: key-range-symmetric
-- unanswered: not parsed
-- construct: key-predicate, order-by
-- compare: ordered
SELECT account, id FROM events WHERE account BETWEEN SYMMETRIC 12 AND 10 ORDER BY account, id;
-- name: key-less-than
-- construct: key-predicate
SELECT account, id FROM events WHERE account < 2;
-- name: key-row-comparison
-- construct: key-predicate, row-comparison
SELECT account, id FROM events WHERE (account, session) = (7, 2);
-- name: key-row-in
-- construct: key-predicate, row-comparison
SELECT account, id FROM events WHERE (account, session) IN ((7, 1), (8, 2), (9, 3));
-- name: key-row-less
-- construct: key-predicate, row-comparison
SELECT account, id FROM events WHERE (account, id) < (3, 0);
-- name: key-in-case
-- construct: key-predicate, case
SELECT count(*) FROM events WHERE CASE WHEN account = 7 THEN qty > 0 ELSE qty < 0 END;
-- name: key-coalesce
-- construct: key-predicate, null
SELECT count(*) FROM events WHERE coalesce(account, 0) = 7;
-- name: key-nullif
-- construct: key-predicate, null
SELECT count(*) FROM events WHERE nullif(account, 7) IS NULL;
-- name: key-modulo
-- construct: key-predicate, aggregate
SELECT count(*), sum(account) FROM events WHERE account % 2 = 0;
-- name: key-in-and-equals
-- construct: key-predicate
SELECT account, id FROM events WHERE account IN (1, 2, 3) AND account = 2;
-- name: key-in-and-in
-- construct: key-predicate, group-by
SELECT account, max(id) FROM events WHERE account IN (1, 2, 3) AND account IN (2, 3, 4) GROUP BY account;
-- name: key-or-with-shared-condition
-- construct: key-predicate
SELECT account, id FROM events WHERE (account = 1 AND flag) OR (account = 2 AND NOT flag) OR (account = 3 AND flag IS NULL);
-- name: key-through-join
-- construct: key-predicate, colocated-join
SELECT e.id, s.agent FROM events e JOIN sessions s ON s.account = e.account AND s.session = e.session WHERE s.account = 7;
-- name: key-through-join-in
-- construct: key-predicate, colocated-join
SELECT e.id, s.agent FROM events e JOIN sessions s USING (account, session) WHERE account IN (7, 8, 50);
-- name: key-through-join-with-other-name
-- construct: key-predicate, colocated-join
SELECT d.model, e.id FROM devices d JOIN events e ON d.owner = e.account WHERE e.account = 20;
-- name: key-in-left-join-condition
-- construct: key-predicate, outer-join
SELECT e.account, e.id, s.session FROM events e LEFT JOIN sessions s ON s.account = e.account AND s.session = e.session AND s.account = 7 WHERE e.account < 9;
-- name: key-of-nullable-side
-- construct: key-predicate, outer-join, null
SELECT e.account, e.id FROM events e LEFT JOIN sessions s ON s.account = e.account AND s.session = e.session WHERE s.account IS NULL AND e.account IN (1, 2);
-- name: key-of-nullable-side-or-null
-- construct: key-predicate, outer-join, null
SELECT e.account, e.id, s.agent FROM events e LEFT JOIN sessions s ON s.account = e.account AND s.session = e.session WHERE s.account = 7 OR s.account IS NULL;
-- name: key-in-right-join-condition
-- construct: key-predicate, outer-join
SELECT e.id, s.account, s.session FROM events e RIGHT JOIN sessions s ON s.account = e.account AND s.session = e.session AND e.account = 7 WHERE s.session = 1;
-- name: key-in-full-join-condition
-- construct: key-predicate, outer-join
SELECT d.device, s.session, d.owner, s.account FROM devices d FULL JOIN sessions s ON s.account = d.owner AND d.owner = 7 AND s.session = 2;
-- name: key-different-in-each-table
-- construct: key-predicate, cross-join
SELECT a.id, b.device FROM events a, devices b WHERE a.account = 9 AND b.owner = 7;
-- name: key-in-subquery
-- construct: key-predicate, from-subquery
SELECT q.kind, q.n FROM (SELECT account, kind, count(*) AS n FROM events GROUP BY account, kind) AS q WHERE q.account = 7;
-- name: key-inside-subquery
-- construct: key-predicate, from-subquery, aggregate
SELECT max(n), count(*) FROM (SELECT kind, count(*) AS n FROM events WHERE account IN (7, 8) GROUP BY kind) AS q;
-- name: key-in-cte
-- construct: key-predicate, cte
WITH mine AS (SELECT id, kind, qty FROM events WHERE account = 7) SELECT kind, sum(qty) FROM mine GROUP BY kind;
-- name: key-outside-cte
-- construct: key-predicate, cte
WITH totals AS (SELECT account, sum(amount) AS total FROM events GROUP BY account) SELECT * FROM totals WHERE account IN (5, 6);
-- name: key-in-union-branches
-- construct: key-predicate, set-operation
SELECT id FROM events WHERE account = 1 UNION ALL SELECT id FROM events WHERE account = 30;
-- name: key-of-union
-- construct: key-predicate, set-operation, from-subquery
SELECT * FROM (SELECT account, id FROM events UNION ALL SELECT owner, device FROM devices) AS u WHERE u.account = 7;
-- name: key-in-in-subquery
-- construct: key-predicate, in-subquery
SELECT account, id FROM events WHERE account IN (SELECT owner FROM devices WHERE model = 'desk');
-- name: key-in-scalar-subquery
-- construct: key-predicate, scalar-subquery
SELECT count(*) FROM events WHERE account = (SELECT min(owner) FROM devices);
-- name: key-in-exists
-- construct: key-predicate, exists
SELECT id FROM events e WHERE e.account = 7 AND EXISTS (SELECT FROM sessions s WHERE s.account = e.account AND s.session = e.session AND s.ended IS NULL);
-- name: key-in-values
-- construct: key-predicate, values
SELECT e.account, e.id, v.w FROM events e JOIN (VALUES (1, 'a'), (2, 'b')) AS v(k, w) ON e.account = v.k;
-- name: key-in-having
-- construct: key-predicate, having
SELECT account, count(*) FROM events GROUP BY account HAVING account = 7 OR count(*) > 15;
-- name: key-of-lateral
-- construct: key-predicate, lateral
SELECT d.owner, l.id FROM devices d, LATERAL (SELECT e.id FROM events e WHERE e.account = d.owner ORDER BY e.id LIMIT 2) AS l WHERE d.owner IN (3, 7);
-- name: key-transitive
-- construct: key-predicate, colocated-join
SELECT e.id, s.session, d.device FROM events e, sessions s, devices d WHERE e.account = s.account AND s.account = d.owner AND d.owner = 17 AND e.session = s.session;
-- name: key-equal-keys-that-differ
-- construct: key-predicate, colocated-join, empty-input
SELECT count(*) FROM events e JOIN sessions s ON s.account = e.account WHERE e.account = 7 AND s.account = 8;
-- name: key-quoted-table
-- construct: key-predicate, identifier
SELECT line, "Amount" FROM "Ledger Lines" WHERE "Account" = 7;
-- name: key-parameter
-- construct: key-predicate, parameter
-- params: 7::int8
SELECT count(*), sum(qty) FROM events WHERE account = $1;
-- name: key-parameter-null
-- construct: key-predicate, parameter, null
-- params: NULL::int8
SELECT count(*) FROM events WHERE account = $1;
-- name: key-parameter-array
-- construct: key-predicate, parameter, array
-- params: '{7,9,11}'::int8[]
SELECT account, count(*) FROM events WHERE account = ANY ($1) GROUP BY account;
-- name: key-parameter-array-with-null
-- construct: key-predicate, parameter, array, null
-- params: '{7,NULL,11}'::int8[]
SELECT account, count(*) FROM events WHERE account = ANY ($1) GROUP BY account;
-- name: key-parameter-array-null
-- construct: key-predicate, parameter, array, null
-- params: NULL::int8[]
SELECT count(*) FROM events WHERE account = ANY ($1);
-- name: key-parameters-in-list
-- construct: key-predicate, parameter
-- params: 7::int8; 8::int8
SELECT account, id FROM events WHERE account IN ($1, $2, 9);
-- name: key-parameter-int4
-- construct: key-predicate, parameter, cast
-- params: 7::int4
SELECT count(*) FROM events WHERE account = $1::int;
-- name: key-parameter-text
-- construct: key-predicate, parameter, cast
-- params: '7'::text
SELECT count(*) FROM events WHERE account = $1::text::bigint;
-- name: key-parameter-arithmetic
-- construct: key-predicate, parameter
-- params: 6::int4
SELECT count(*) FROM events WHERE account = $1 + 1;
-- name: key-parameter-or-null
-- construct: key-predicate, parameter, null
-- params: NULL::int8
SELECT count(*) FROM events WHERE account = $1 OR $1 IS NULL;
-- name: key-parameter-used-twice
-- construct: key-predicate, parameter, scalar-subquery
-- params: 7::int8
SELECT account, (SELECT count(*) FROM devices WHERE owner = $1) AS devices, count(*) FROM events WHERE account = $1 GROUP BY account;
-- name: key-select-star-everything
-- construct: key-predicate
SELECT * FROM events;
-- name: key-unknown-value
-- construct: key-predicate, aggregate, empty-input
SELECT count(*), min(id) FROM events WHERE account = 123456;
