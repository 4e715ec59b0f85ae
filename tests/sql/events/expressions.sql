-- Expressions, over rows and in conditions.

-- name: case-simple
-- construct: case
SELECT id, CASE kind WHEN 'Buy' THEN 'b' WHEN 'view' THEN 'v' END FROM events;
-- name: case-searched-grouped
-- construct: case, group-by
SELECT CASE WHEN qty < 0 THEN 'minus' WHEN qty = 0 THEN 'zero' WHEN qty > 0 THEN 'plus' END AS sign, count(*) FROM events GROUP BY sign;
-- name: case-nested-null
-- construct: case, null
SELECT id, CASE WHEN flag THEN CASE WHEN kind IS NULL THEN 1 ELSE 2 END ELSE NULL END FROM events;
-- name: case-in-where
-- construct: case, null
SELECT id FROM events WHERE CASE WHEN qty IS NULL THEN small > 0 ELSE qty > 15 END;
-- name: case-guards-division
-- construct: case, aggregate
SELECT sum(CASE WHEN small <> 0 THEN qty / small ELSE 0 END) FROM events;
-- name: case-types
-- construct: case, cast
SELECT id, CASE WHEN flag THEN qty ELSE amount END AS v FROM events WHERE account IN (7, 8);
-- name: coalesce-chain
-- construct: null
SELECT id, coalesce(kind, label, plain, '?') FROM events;
-- name: coalesce-types
-- construct: null, numeric
SELECT id, coalesce(qty, amount, 0), nullif(small, 1), greatest(qty, small), least(qty, NULL, small) FROM events;
-- name: null-tests
-- construct: null, aggregate
SELECT count(*) FROM events WHERE kind IS NULL AND flag IS NOT TRUE AND (qty IS NOT NULL) IS NOT FALSE;
-- name: null-three-valued
-- construct: null, group-by
SELECT flag AND qty > 0 AS a, flag OR qty > 0 AS o, NOT flag AS n, count(*) FROM events GROUP BY 1, 2, 3;
-- name: is-distinct-from
-- construct: null
SELECT id FROM events WHERE kind IS DISTINCT FROM plain AND qty IS NOT DISTINCT FROM small;
-- name: is-unknown
-- construct: null
SELECT id FROM events WHERE (qty > small) IS UNKNOWN;
-- name: not-in-values-null
-- construct: null
-- empty: yes
SELECT id FROM events WHERE kind NOT IN ('Buy', NULL);
-- name: num-nulls
-- construct: null, group-by
SELECT num_nulls(kind, qty, small, flag), count(*) FROM events GROUP BY 1;
-- name: row-is-null
-- construct: null, row-comparison
SELECT id FROM events WHERE (kind, flag) IS NULL OR ROW(mood, dim) IS NULL;
-- name: row-less
-- construct: row-comparison
SELECT id FROM events WHERE (small, qty) < (0, 5);
-- name: row-greater-equal-mixed
-- construct: row-comparison, null
SELECT id FROM events WHERE (kind, id) >= ('click', 100);
-- name: row-in-list
-- construct: row-comparison
SELECT id FROM events WHERE (small, flag) IN ((1, true), (2, false), (NULL, true));
-- name: row-distinct
-- construct: row-comparison, null
SELECT id FROM events WHERE (kind, mood) IS NOT DISTINCT FROM ('view', NULL);
-- name: row-equal-columns
-- construct: row-comparison, colocated-join
SELECT e.id, s.session FROM events e JOIN sessions s ON (e.account, e.session) = (s.account, s.session);
-- name: between
-- construct: numeric
SELECT id FROM events WHERE amount BETWEEN -100 AND 100 OR qty NOT BETWEEN -18 AND 18;
-- name: between-symmetric
-- unanswered: not parsed
-- construct: numeric
SELECT id FROM events WHERE qty BETWEEN SYMMETRIC 5 AND -5;
-- name: numeric-arithmetic
-- construct: numeric
SELECT id, amount * 1.175, amount / 7, amount % 3, huge + 0.1, huge * huge, -huge, round(amount, -2), trunc(amount, 1), ceil(amount), amount ^ 2 FROM events WHERE id % 4 = 0;
-- name: integer-arithmetic
-- construct: numeric
SELECT id, qty / 3, qty % 3, small * small, big / 7, -qty, qty & 5, qty | 8, qty # 3, qty << 2, abs(small), sign(qty), div(qty, 3), mod(qty, 4) FROM events;
-- name: float-arithmetic
-- construct: numeric
SELECT id, f4 * 2, f4 / 3, ratio + 1, sqrt(abs(f4)), floor(f4), f4::float8 FROM events WHERE id < 300;
-- name: float-specials
-- construct: numeric
SELECT id, ratio FROM events WHERE ratio = 'NaN' OR ratio = '-Infinity' OR ratio = 0;
-- name: float-compare-nan
-- construct: numeric, aggregate
SELECT count(*) FROM events WHERE ratio > 1e308;
-- name: numeric-sixty-digits
-- construct: numeric
SELECT id, huge FROM events WHERE huge > 98765432109876543210987654321098765432109876543210987654000;
-- name: numeric-sixty-digits-literal
-- construct: numeric
SELECT count(*), min(huge - 98765432109876543210987654321098765432109876543210987654321) FROM events WHERE huge > 98765432109876543210987654321098765432109876543210987654321 - 100;
-- name: overflow-is-an-error
-- construct: numeric
-- error: 22003
SELECT big * 10 FROM events;
-- name: division-by-zero-is-an-error
-- construct: numeric
-- error: 22012
SELECT qty / (small - small) FROM events WHERE small IS NOT NULL;
-- name: cast-functions
-- construct: cast
SELECT id, qty::text, amount::int, flag::int, qty::bool, kind::varchar(3), code::text, day::text, at::date, seen::time, CAST(qty AS numeric(10,3)), 'x'::char(3) FROM events WHERE amount IS NOT NULL AND id < 300 AND at < 'infinity';
-- name: cast-text-of-everything
-- construct: cast
SELECT id, ratio::text, f4::text, huge::text, span::text, seen::text, bytes::text, nums::text, doc::text, uid::text, ip::text, mood::text, pad::text FROM events;
-- name: cast-enum
-- construct: cast
SELECT id, mood FROM events WHERE mood > 'sad' AND mood = 'glad'::mood;
-- name: cast-domain
-- construct: cast
SELECT id, score, score::int / 2 AS half, 50::score AS fifty FROM events WHERE score > 90;
-- name: cast-to-regtype
-- construct: cast
SELECT DISTINCT pg_typeof(qty)::text, pg_typeof(mood)::text, pg_typeof(score)::text FROM events;
-- name: string-functions
-- construct: string
SELECT id, length(plain), upper(kind), lower(kind), initcap(kind), trim(code), substr(kind, 2, 2), left(label, 2), right(label, 2), reverse(kind), replace(kind, 'u', 'U'), position('i' IN kind), md5(plain), repeat(code, 2), lpad(kind, 6, '*') FROM events;
-- name: string-concat
-- construct: string, null
SELECT id, kind || '-' || code, concat(kind, NULL, code), concat_ws('/', kind, label, qty), format('%s:%L:%I', kind, code, 'a b') FROM events;
-- name: string-split
-- construct: string, array
SELECT id, split_part(label, 'a', 1), string_to_array(label, 'e'), regexp_split_to_array(plain, '\s') FROM events;
-- name: string-overlay-translate
-- construct: string
SELECT id, overlay(kind PLACING 'xx' FROM 2 FOR 1), translate(kind, 'iu', 'IU'), ascii(kind), chr(65 + abs(small)), quote_literal(plain), quote_nullable(kind) FROM events;
-- name: string-unicode
-- construct: string
SELECT id, plain, length(plain), octet_length(plain), plain || 'ß' FROM events WHERE plain ~ '[^ -~]';
-- name: string-escape-literals
-- construct: string
SELECT id, E'a\tb' || plain, U&'\00e9' , $$it's$$ || code FROM events WHERE plain = E'new\nline' OR plain = $q$back\slash$q$;
-- name: string-grouped-prefix
-- construct: string, group-by
SELECT left(lower(label COLLATE "C"), 1) AS p, count(*) FROM events GROUP BY p;
-- name: string-compare-collation
-- construct: string, collation
SELECT id, label FROM events WHERE label > 'coop' AND label < 'zebra';
-- name: collate-in-where
-- construct: collation
SELECT id, label FROM events WHERE label COLLATE "C" < 'a';
-- name: collate-nondeterministic-equals
-- construct: collation
SELECT id, note FROM events WHERE note = 'ALPHA';
-- name: collate-nondeterministic-in
-- construct: collation
SELECT id FROM events WHERE note IN ('alpha', 'BETA');
-- name: collate-nondeterministic-count
-- construct: collation, aggregate-distinct
SELECT count(DISTINCT note), count(DISTINCT note COLLATE "C") FROM events;
-- name: collate-conflict-is-an-error
-- construct: collation
-- error: 42P22
SELECT id FROM events WHERE label < note;
-- name: like
-- construct: pattern
SELECT id, kind FROM events WHERE kind LIKE '%u%' AND kind NOT LIKE 'B%';
-- name: ilike
-- construct: pattern
SELECT id, kind FROM events WHERE kind ILIKE 'bU_';
-- name: like-escape
-- construct: pattern
SELECT id, plain FROM events WHERE plain LIKE '100\%' OR plain LIKE 'a!_b' ESCAPE '!';
-- name: like-any
-- unanswered: not parsed
-- construct: pattern, array
SELECT id, kind FROM events WHERE kind LIKE ANY (ARRAY['c%', '%w']) AND label NOT ILIKE ALL (ARRAY['a%', 'b%']);
-- name: regex
-- construct: pattern
SELECT id, label FROM events WHERE label ~ '^[a-c]' OR label ~* 'EMILE' OR plain !~ '[a-z]';
-- name: regex-functions
-- construct: pattern, string
SELECT id, regexp_replace(label, '[aeiou]', '_', 'g'), substring(label FROM '[a-z]+'), regexp_match(label, '(a)(p)?') FROM events;
-- name: similar-to
-- construct: pattern
SELECT id, kind FROM events WHERE kind SIMILAR TO '(buy|view|cl%)';
-- name: starts-with
-- construct: pattern, aggregate
SELECT count(*) FILTER (WHERE kind ^@ 'b'), count(*) FILTER (WHERE starts_with(label, 'a')) FROM events;
-- name: pattern-grouped
-- construct: pattern, group-by
SELECT label LIKE '%e%' AS e, count(*) FROM events GROUP BY 1;
-- name: pattern-parameter
-- construct: pattern, parameter
-- params: 'b%'::text
SELECT id FROM events WHERE kind LIKE $1;
-- name: pattern-joined
-- construct: pattern, reference-join
SELECT e.id, t.tag FROM events e JOIN tags t ON e.label LIKE t.tag || '%' OR e.kind LIKE '%' || left(t.tag, 1) || '%';
-- name: array-operators
-- construct: array
SELECT id FROM events WHERE tags @> '{red}' OR nums && ARRAY[4, 5] OR tags <@ '{}' OR nums[1] = 3;
-- name: array-functions
-- construct: array
SELECT id, cardinality(tags), array_length(nums, 1), tags || 'x'::text, array_position(tags, 'green'), array_remove(nums, NULL), array_to_string(tags, ',', '?'), nums[1:2], nums[2] FROM events;
-- name: array-any-column
-- construct: array, aggregate
SELECT count(*) FROM events WHERE 'red' = ANY (tags) AND NOT 1 = ALL (nums);
-- name: array-constructor
-- construct: array, null
SELECT id, ARRAY[qty, small, NULL], ARRAY[ARRAY[1, qty], ARRAY[2, small]], ARRAY[kind, code::text] FROM events;
-- name: array-unnest-select
-- construct: array
SELECT id, unnest(nums) AS n FROM events WHERE account = 7 OR account = 20;
-- name: array-unnest-aggregated
-- construct: array, aggregate, from-subquery
SELECT count(*), sum(n), count(n) FROM (SELECT unnest(nums) AS n FROM events) AS q;
-- name: array-compare
-- construct: array, null
SELECT id FROM events WHERE nums = '{3,2,1}' OR tags > '{m}' OR nums < '{1,1}';
-- name: array-of-enum
-- construct: array, cast
SELECT id, ARRAY[mood, 'sad'::mood] FROM events WHERE account < 6;
-- name: jsonb-operators
-- construct: jsonb
SELECT id, doc -> 'a', doc ->> 'a', doc #> '{b,c}', doc #>> '{b,c}', doc ? 'tags', doc -> 0 FROM events;
-- name: jsonb-contains
-- construct: jsonb, aggregate
SELECT count(*) FROM events WHERE doc @> '{"a": 1}' OR doc <@ '[1, 2, 3, null]' OR doc ?| ARRAY['tags'];
-- name: jsonb-path
-- construct: jsonb
SELECT id, jsonb_path_query_array(doc, '$.tags[*]'), doc @? '$.b.c' FROM events;
-- name: jsonb-grouped
-- construct: jsonb, group-by
SELECT doc ->> 'a' AS a, count(*), sum((doc ->> 'a')::int) FROM events WHERE jsonb_typeof(doc) = 'object' GROUP BY 1;
-- name: jsonb-build
-- construct: jsonb, null
SELECT id, jsonb_build_object('k', kind, 'q', qty, 'n', NULL), to_jsonb(amount), jsonb_build_array(small, flag), doc || '{"z": 0}' FROM events WHERE jsonb_typeof(doc) = 'object';
-- name: jsonb-set-delete
-- construct: jsonb
SELECT id, jsonb_set(doc, '{a}', '9'), doc - 'a', jsonb_strip_nulls(doc), jsonb_pretty(doc) FROM events WHERE jsonb_typeof(doc) = 'object';
-- name: json-keeps-text
-- construct: jsonb
SELECT id, raw, raw -> 'k', raw::jsonb FROM events;
-- name: row-to-json
-- construct: jsonb, from-subquery
SELECT row_to_json(q) FROM (SELECT id, kind, huge FROM events WHERE account = 7) AS q;
-- name: date-parts
-- construct: date-time
SELECT id, extract(year FROM at), extract(dow FROM day), date_part('hour', seen), extract(epoch FROM seen), extract(microseconds FROM tod), extract(week FROM day) FROM events WHERE at < 'infinity' AND day > '-infinity';
-- name: date-arithmetic
-- construct: date-time
SELECT id, day + 1, day - date '2024-01-01', at + span, at - timestamp '2024-01-01', seen + interval '1 month', tod + interval '2 h', age(at, '2023-01-01'), span * 2, justify_hours(span) FROM events WHERE at < 'infinity' AND day > '-infinity';
-- name: date-trunc-zone
-- construct: date-time, group-by
SELECT date_trunc('hour', seen, 'Europe/Zurich') AS h, count(*) FROM events GROUP BY 1;
-- name: date-at-time-zone
-- construct: date-time
SELECT id, seen AT TIME ZONE 'Europe/Zurich', at AT TIME ZONE 'America/New_York', seen::date FROM events;
-- name: date-to-char
-- construct: date-time, string
SELECT id, to_char(seen, 'YYYY-MM-DD"T"HH24:MI:SS.US TZ'), to_char(amount, 'FM999G990D00'), to_char(day, 'Day DD Mon') FROM events WHERE day > '-infinity';
-- name: date-range-condition
-- construct: date-time, aggregate
SELECT count(*) FROM events WHERE at >= '2024-01-01' AND at < timestamp '2024-01-10 12:00' + interval '1 day';
-- name: date-overlaps-bin
-- construct: date-time
SELECT id, date_bin('6 hours', at, timestamp '2024-01-01'), make_date(2024, 1 + abs(small), 1), (day, day + 3) OVERLAPS (date '2024-01-01', date '2024-01-05') FROM events WHERE at < 'infinity' AND day > '-infinity';
-- name: date-now-bound-once
-- construct: date-time, distinct
SELECT DISTINCT now() = now(), now() = transaction_timestamp(), current_date = now()::date, current_timestamp - now() AS zero FROM events;
-- name: date-now-in-where
-- construct: date-time, aggregate
SELECT count(*) FROM events WHERE seen < now() AND day < current_date AND at < localtimestamp;
-- name: date-now-is-one-moment-on-all-shards
-- construct: date-time, aggregate-distinct
SELECT count(DISTINCT now()), count(DISTINCT current_timestamp), count(DISTINCT current_date), count(DISTINCT localtime) FROM events;
-- name: date-now-grouped
-- construct: date-time, group-by
SELECT now() > seen AS past, count(*) FROM events GROUP BY 1;
-- name: date-now-in-subquery
-- construct: date-time, scalar-subquery
SELECT (SELECT count(DISTINCT now()) FROM events) AS one, count(DISTINCT now() - seen) = count(DISTINCT seen) AS same FROM events;
-- name: bytea-functions
-- construct: string
SELECT id, encode(bytes, 'hex'), length(bytes), get_byte(bytes || '\x00'::bytea, 0), bytes || '\xff'::bytea, substring(bytes FROM 2 FOR 2) FROM events;
-- name: inet-functions
-- construct: cast
SELECT id, host(ip), masklen(ip), family(ip), network(ip), ip << '10.0.0.0/8'::inet FROM events;
-- name: uuid-compare
-- construct: cast, aggregate
SELECT count(*), count(DISTINCT uid) FROM events WHERE uid > '80000000-0000-0000-0000-000000000000' AND uid <> 'd09bf415-44a3-365a-46c9-077ebb5e35c3'::uuid;
-- name: bool-expressions
-- construct: null
SELECT id, flag, NOT flag, flag IS TRUE, flag = (qty > 0), flag <> true FROM events;
-- name: select-no-from
-- construct: cast
SELECT 1 AS one, 'x'::text AS t, NULL AS n, 2.50 AS d, true AS b, ARRAY[1, 2] AS a, current_date = current_date AS same;
-- name: select-no-from-where
-- construct: empty-input
-- empty: yes
SELECT 1 WHERE false;
-- name: select-duplicate-names
-- construct: identifier
SELECT id, id, id + 1, count, count FROM (SELECT id, 1 AS count FROM events WHERE account = 9) AS q;
-- name: select-unnamed-columns
-- construct: identifier, cast
SELECT qty + 1, 'x', count(*), max(id), CASE WHEN true THEN 1 END, ARRAY[1], now() IS NULL, coalesce(qty, 0), qty::text FROM events WHERE account = 9 GROUP BY qty;
-- name: select-names-from-the-oracle
-- construct: identifier, aggregate
SELECT sum(qty), avg(qty), -max(qty), (min(qty)), count(*) + 1, sum(qty)::text, extract(year FROM max(at)), EXISTS (SELECT 1), (SELECT 1 AS inner_name) FROM events;
