-- Parameters of every type.

-- name: param-int2
-- construct: parameter
-- params: 2::int2
SELECT id FROM events WHERE small = $1;
-- name: param-int4
-- construct: parameter, aggregate
-- params: 5::int4; -5::int4
SELECT count(*), sum(qty + $2) FROM events WHERE qty > $1;
-- name: param-int8
-- construct: parameter
-- params: 0::int8
SELECT id FROM events WHERE big < $1;
-- name: param-text
-- construct: parameter, group-by
-- params: 'buy'::text
SELECT mood, count(*) FROM events WHERE kind = $1 GROUP BY mood;
-- name: param-text-collated
-- construct: parameter, collation
-- params: 'émile'::text
SELECT id, label FROM events WHERE label >= $1;
-- name: param-text-with-quotes
-- construct: parameter, string
-- params: 'it''s \ "x" $1'::text
SELECT id, $1 || code AS t FROM events WHERE account = 9;
-- name: param-numeric
-- construct: parameter, numeric
-- params: 98765432109876543210987654321098765432109876543210987654000::numeric
SELECT id, huge - $1 FROM events WHERE huge > $1;
-- name: param-numeric-scale
-- construct: parameter, numeric
-- params: 1.500::numeric
SELECT id, $1::numeric AS p FROM events WHERE huge = $1;
-- name: param-float8
-- construct: parameter
-- params: 100.25::float8
SELECT id FROM events WHERE ratio > $1;
-- name: param-float8-nan
-- construct: parameter, numeric
-- params: 'NaN'::float8
SELECT id FROM events WHERE ratio = $1;
-- name: param-float4
-- construct: parameter
-- params: 1.25::float4
SELECT id FROM events WHERE f4 = $1;
-- name: param-bool
-- construct: parameter, null
-- params: true::bool
SELECT id FROM events WHERE flag IS NOT DISTINCT FROM $1;
-- name: param-timestamp
-- construct: parameter, date-time
-- params: '2024-01-05 12:00:00.000001'::timestamp
SELECT id FROM events WHERE at < $1;
-- name: param-timestamptz
-- construct: parameter, date-time, aggregate
-- params: '2024-04-01 00:00:00+02'::timestamptz
SELECT count(*), max(seen - $1) FROM events WHERE seen > $1;
-- name: param-date
-- construct: parameter, date-time
-- params: '2024-01-15'::date
SELECT id, day - $1 FROM events WHERE day > $1;
-- name: param-time-interval
-- construct: parameter, date-time
-- params: '10:00'::time; '1 day'::interval
SELECT id, at + $2 FROM events WHERE tod < $1;
-- name: param-uuid
-- construct: parameter
-- params: 'd09bf415-44a3-365a-46c9-077ebb5e35c3'::uuid
SELECT id FROM events WHERE uid >= $1;
-- name: param-bytea
-- construct: parameter
-- params: '\xc4'::bytea
SELECT id FROM events WHERE bytes > $1;
-- name: param-jsonb
-- construct: parameter, jsonb
-- params: '{"a": 1}'::jsonb
SELECT id FROM events WHERE doc @> $1;
-- name: param-inet
-- construct: parameter
-- params: '10.0.0.0/8'::inet
SELECT id FROM events WHERE ip <<= $1;
-- name: param-enum
-- construct: parameter, cast
-- params: 'glad'::text
SELECT id FROM events WHERE mood = $1::text::mood;
-- name: param-text-array
-- construct: parameter, array
-- params: '{buy,Buy}'::text[]
SELECT id FROM events WHERE kind = ANY ($1);
-- name: param-int-array
-- construct: parameter, array
-- params: '{3,2,1}'::int4[]
SELECT id FROM events WHERE nums = $1;
-- name: param-uuid-array
-- construct: parameter, array
-- params: '{d09bf415-44a3-365a-46c9-077ebb5e35c3,2838023a-778d-faec-dc21-2708f721b788}'::uuid[]
SELECT id FROM events WHERE uid = ANY ($1);
-- name: param-null-text
-- construct: parameter, null
-- params: NULL::text
SELECT count(*) FROM events WHERE kind IS NOT DISTINCT FROM $1;
-- name: param-null-in-expression
-- construct: parameter, null
-- params: NULL::int4
SELECT count(qty + $1), count(*) FROM events;
-- name: param-in-select
-- construct: parameter, group-by
-- params: 'label'::text; 3::int8
SELECT $1 || kind AS k, count(*) * $2 FROM events GROUP BY kind;
-- name: param-in-group-by
-- construct: parameter, group-by
-- params: 4::int4
SELECT qty % $1 AS r, count(*) FROM events GROUP BY r;
-- name: param-in-having
-- construct: parameter, having
-- params: 100::int8
SELECT kind, count(*) FROM events GROUP BY kind HAVING count(*) > $1;
-- name: param-in-order-by
-- construct: parameter, order-by
-- params: 0::int4
-- compare: ordered
SELECT id, qty FROM events ORDER BY abs(qty - $1), id;
-- name: param-order-of-use
-- construct: parameter
-- params: 'view'::text; 0::int4; 5::int4
SELECT id FROM events WHERE qty BETWEEN $2 AND $3 AND kind = $1;
-- name: param-reused
-- construct: parameter, set-operation
-- params: 7::int8
SELECT id FROM events WHERE account = $1 UNION ALL SELECT device FROM devices WHERE owner = $1;
-- name: param-only-in-subquery
-- construct: parameter, exists
-- params: 18::int4
SELECT s.account, s.session FROM sessions s WHERE EXISTS (SELECT FROM events e WHERE e.account = s.account AND e.qty > $1);
-- name: param-join-condition
-- construct: parameter, outer-join
-- params: 'chrome'::text
SELECT e.id, s.session FROM events e LEFT JOIN sessions s ON s.account = e.account AND s.session = e.session AND s.agent = $1;
-- name: param-aggregate-argument
-- construct: parameter, aggregate-expression
-- params: 2.5::numeric
SELECT kind, sum(amount * $1) - count(*) * $1 FROM events GROUP BY kind;
-- name: param-window
-- construct: parameter, window
-- params: 1::int4
SELECT account, id, lag(id, $1) OVER (PARTITION BY account ORDER BY id) FROM events;
