-- Names that need care.

-- name: name-mixed-case-table
-- construct: identifier
SELECT "Account", line, "select", "Amount", "from" FROM "Ledger Lines";
-- name: name-mixed-case-grouped
-- construct: identifier, group-by
SELECT "from" AS "Group", sum("Amount") AS "Sum of "" it" FROM "Ledger Lines" GROUP BY "from";
-- name: name-keyword-column
-- construct: identifier, order-by
-- compare: ordered
SELECT d."order", d."Serial No" FROM devices d ORDER BY d."order", d."Serial No" COLLATE "C";
-- name: name-keyword-grouped
-- construct: identifier, having
SELECT "order", count(*) FROM devices GROUP BY "order" HAVING count("order") > 3;
-- name: name-uppercase-folds
-- construct: identifier
SELECT Account, ID, KIND FROM EVENTS WHERE ACCOUNT = 9;
-- name: name-qualified-schema
-- construct: identifier, colocated-join
SELECT public.events.id, sessions.agent FROM public.events JOIN public.sessions ON public.events.account = public.sessions.account AND events.session = sessions.session;
-- name: name-quoted-schema
-- construct: identifier, aggregate
SELECT count(*) FROM "public"."Ledger Lines" AS "L l" WHERE "L l"."Account" > 0;
-- name: name-alias-is-another-table
-- construct: identifier, colocated-join
SELECT events.device, sessions.id FROM devices AS events JOIN events AS sessions ON sessions.account = events.owner;
-- name: name-alias-shadows-in-subquery
-- construct: identifier, exists
SELECT e.account, e.session FROM sessions e WHERE EXISTS (SELECT FROM events e WHERE e.qty = 20 AND e.account = 7);
-- name: name-unqualified-resolves-to-outer
-- construct: identifier, exists
SELECT account, session FROM sessions WHERE EXISTS (SELECT FROM devices WHERE owner = account AND devices.device = sessions.device);
-- name: name-inner-hides-outer
-- construct: identifier, scalar-subquery
SELECT account, (SELECT count(*) FROM events WHERE account = account AND session = 1) AS n FROM sessions WHERE session = 1;
-- name: name-column-alias-list
-- construct: identifier
SELECT a, b FROM devices AS d(a, b) WHERE b = 7;
-- name: name-column-alias-list-renames-the-key
-- construct: identifier, colocated-join
SELECT d.x, e.id FROM devices AS d(x, account) JOIN events e ON e.account = d.account WHERE e.qty > 15;
-- name: name-column-alias-list-swaps-the-key
-- construct: identifier, key-predicate
SELECT owner, device FROM devices AS d(owner, device) WHERE device = 7;
-- name: name-subquery-renames-key
-- construct: identifier, from-subquery, key-predicate
SELECT q.account, q.n FROM (SELECT id AS account, account AS id, qty AS n FROM events) AS q WHERE q.account = 7;
-- name: name-subquery-swaps-key-in-join
-- construct: identifier, from-subquery, colocated-join
SELECT q.id, s.session FROM (SELECT account AS id, id AS account FROM events) AS q JOIN sessions s ON s.account = q.account;
-- name: name-table-as-column
-- unanswered: a whole row as a value
-- construct: identifier
SELECT count(d.*), count(d) FROM devices d;
-- name: name-function-like-column
-- construct: identifier, aggregate
SELECT count, sum FROM (SELECT count(*), sum(qty) FROM events) AS q;
-- name: name-output-alias-group-prefers-column
-- construct: identifier, group-by
SELECT lower(kind) AS label, count(*) FROM events GROUP BY label, kind;
-- name: name-output-alias-order-prefers-alias
-- construct: identifier, order-by
-- compare: ordered
SELECT id AS account, account AS id FROM events ORDER BY account DESC LIMIT 5;
-- name: name-having-prefers-column
-- construct: identifier, having
SELECT max(qty) AS small, count(*) FROM events GROUP BY small HAVING small > 0;
-- name: name-unicode-and-spaces
-- construct: identifier
SELECT id AS "ünï cödé", qty AS "a.b", small AS "semi;colon", 1 AS "?column?" FROM events WHERE account = 9;
-- name: name-long-is-cut
-- construct: identifier
SELECT id AS this_name_is_longer_than_the_sixty_three_bytes_that_postgresql_keeps_of_it FROM events WHERE account = 9;
-- name: name-comments
-- construct: identifier, key-predicate
SELECT /* account = 1 */ id -- a comment; with 'quotes
FROM events /* nested /* comment */ */ WHERE account = 9;
-- name: name-trailing-semicolon
-- construct: identifier, aggregate
SELECT count(*) FROM events ;
-- name: name-only
-- unanswered: not parsed
-- construct: identifier
SELECT count(*) FROM ONLY events;
-- name: name-table-command
-- unanswered: not parsed
-- construct: identifier
TABLE devices;
-- name: name-select-nothing
-- construct: identifier
SELECT FROM devices WHERE owner = 7;
