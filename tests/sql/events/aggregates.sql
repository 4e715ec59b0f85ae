-- Every aggregate, over every type that it takes.

-- name: count-star
-- construct: aggregate
SELECT count(*) FROM events;
-- name: count-columns
-- construct: aggregate, null
SELECT count(*), count(kind), count(qty), count(doc), count(tags), count(NULL) FROM events;
-- name: sum-types
-- construct: aggregate, numeric
SELECT sum(small) AS i2, sum(qty) AS i4, sum(big) AS i8, sum(amount) AS n, sum(huge) AS h, sum(f4) AS f, sum(span) AS s FROM events;
-- name: sum-float
-- construct: aggregate
-- compare: multiset float(2)
-- reason: floats are added in another order
SELECT kind, sum(ratio) FROM events WHERE abs(ratio) < 1e6 GROUP BY kind;
-- name: sum-float-with-nan
-- construct: aggregate, numeric
SELECT kind, sum(ratio), avg(ratio) FROM events WHERE ratio = 'NaN' OR ratio > 1e300 GROUP BY kind;
-- name: avg-types
-- construct: aggregate, numeric
SELECT avg(small), avg(qty), avg(big), avg(amount), avg(huge), avg(f4), avg(span) FROM events;
-- name: peer-pgdog-1172-avg-per-group
-- construct: aggregate, group-by
SELECT kind, avg(qty), avg(amount), count(qty) FROM events GROUP BY kind;
-- name: avg-of-few-rows
-- construct: aggregate, key-predicate
SELECT account, avg(qty), avg(huge) FROM events WHERE account IN (1, 2, 3, 7) GROUP BY account;
-- name: min-max-types
-- construct: aggregate
SELECT min(small), max(small), min(qty), max(qty), min(big), max(big), min(amount), max(amount), min(f4), max(f4), min(day), max(day), min(tod), max(tod), min(score), max(score) FROM events;
-- name: peer-pgdog-1616-min-max-timestamp
-- construct: aggregate, date-time
SELECT min(at), max(at), min(seen), max(seen) FROM events;
-- name: min-max-timestamp-grouped
-- construct: aggregate, date-time, group-by
SELECT kind, min(at), max(at) FILTER (WHERE at < 'infinity'), min(seen), max(seen) FROM events GROUP BY kind;
-- name: min-max-text
-- construct: aggregate, collation
SELECT min(kind), max(kind), min(label), max(label), min(plain), max(plain), min(code), max(pad) FROM events;
-- name: min-max-text-collate
-- construct: aggregate, collation
SELECT min(label COLLATE "C"), max(label COLLATE "C"), max(kind COLLATE lexical) FROM events;
-- name: min-max-enum
-- construct: aggregate, null
SELECT min(mood), max(mood) FROM events;
-- name: min-max-inet-array
-- construct: aggregate, array
SELECT min(ip), max(ip), min(nums), max(tags) FROM events;
-- name: min-max-float
-- construct: aggregate, group-by
-- compare: multiset value(2,3)
-- reason: 0 and -0 are equal
SELECT flag, min(ratio), max(ratio) FROM events GROUP BY flag;
-- name: min-max-interval
-- construct: aggregate, date-time
SELECT extract(epoch FROM min(span)), extract(epoch FROM max(span)) FROM events;
-- name: min-max-numeric
-- construct: aggregate, numeric
-- compare: multiset value(1,2)
-- reason: the greatest may be there with two scales
SELECT min(huge), max(huge) FROM events;
-- name: bool-aggregates
-- construct: aggregate, group-by
SELECT mood, bool_and(flag), bool_or(flag), every(flag IS NOT NULL) FROM events GROUP BY mood;
-- name: bit-aggregates
-- construct: aggregate, group-by
SELECT kind, bit_and(small), bit_or(qty), bit_and(big), bit_or(id) FROM events GROUP BY kind;
-- name: bit-xor
-- construct: aggregate
SELECT bit_xor(qty), bit_xor(id) FROM events;
-- name: stddev-integers
-- construct: aggregate, numeric
SELECT stddev(qty), variance(qty), stddev_pop(small), var_samp(small), var_pop(big) FROM events;
-- name: stddev-numeric
-- construct: aggregate, group-by, numeric
SELECT kind, stddev(amount), var_pop(amount), stddev_samp(amount) FROM events GROUP BY kind;
-- name: stddev-huge
-- construct: aggregate, numeric
SELECT variance(huge), stddev_pop(huge) FROM events WHERE huge > 100;
-- name: stddev-float
-- construct: aggregate, group-by
-- compare: multiset float(2,3)
-- reason: floats are added in another order
SELECT mood, stddev(ratio), var_pop(ratio) FROM events WHERE abs(ratio) < 1e6 GROUP BY mood;
-- name: stddev-of-one-row
-- construct: aggregate, null
SELECT stddev(qty), stddev_pop(qty), variance(amount) FROM events WHERE id = (SELECT min(id) FROM events WHERE qty IS NOT NULL);
-- name: regression
-- construct: aggregate
-- compare: multiset float(1,2,3)
-- reason: floats are added in another order
SELECT corr(qty, small), regr_slope(qty, small), covar_pop(qty, small), regr_count(qty, small) FROM events;
-- name: percentiles
-- construct: aggregate, group-by
SELECT flag, percentile_disc(0.5) WITHIN GROUP (ORDER BY qty), percentile_cont(0.25) WITHIN GROUP (ORDER BY small) FROM events GROUP BY flag;
-- name: mode
-- construct: aggregate, group-by
SELECT mood, mode() WITHIN GROUP (ORDER BY flag) FROM events GROUP BY mood;
-- name: aggregates-of-nothing
-- construct: aggregate, empty-input
SELECT count(*), sum(qty), avg(qty), min(kind), max(at), bool_and(flag), bit_or(qty), stddev(qty), string_agg(kind, ','), array_agg(id), jsonb_agg(id) FROM events WHERE qty > 100;
-- name: aggregates-of-nothing-grouped
-- construct: aggregate, empty-input, group-by
-- empty: yes
SELECT kind, count(*), sum(qty) FROM events WHERE qty > 100 GROUP BY kind;
-- name: aggregates-of-nulls
-- construct: aggregate, empty-input, null
SELECT count(qty), sum(qty), avg(qty), min(qty), string_agg(kind, ','), array_agg(qty) IS NULL FROM events WHERE qty IS NULL AND kind IS NULL;
-- name: aggregate-of-one-shard-only
-- construct: aggregate, empty-input
SELECT count(*), sum(amount), max(plain), avg(huge) FROM events WHERE account = 7 AND id % 10 = 1;
-- name: empty-input-joined
-- construct: empty-input, colocated-join, aggregate
SELECT count(*), min(s.agent), sum(e.qty) FROM events e JOIN sessions s USING (account, session) WHERE s.session > 100;
-- name: empty-input-having
-- construct: empty-input, having
SELECT count(*) FROM events WHERE qty > 100 HAVING count(*) = 0;
-- name: empty-input-scalar
-- construct: empty-input, scalar-subquery
SELECT (SELECT max(qty) FROM events WHERE qty > 100) AS none, (SELECT count(*) FROM events WHERE qty > 100) AS zero;
-- name: empty-input-set-operation
-- construct: empty-input, set-operation
SELECT sum(qty) FROM events WHERE false UNION ALL SELECT count(*) FROM devices WHERE false;
-- name: string-agg-ordered
-- construct: aggregate-order, group-by
SELECT mood, string_agg(kind, ',' ORDER BY id) FROM events GROUP BY mood;
-- name: string-agg-ordered-collation
-- construct: aggregate-order, collation
SELECT flag, string_agg(label, '|' ORDER BY label, id DESC) FROM events GROUP BY flag;
-- name: string-agg-unordered
-- construct: aggregate, group-by
-- compare: multiset parts(2 ', ')
-- reason: the order in the list is open
SELECT mood, string_agg(code, ', ') FROM events GROUP BY mood;
-- name: string-agg-distinct
-- construct: aggregate-distinct, group-by
SELECT mood, string_agg(DISTINCT kind, ',') FROM events GROUP BY mood;
-- name: string-agg-bytea
-- construct: aggregate-order
SELECT flag, string_agg(bytes, '\x00'::bytea ORDER BY id) FROM events GROUP BY flag;
-- name: string-agg-delimiter-of-row
-- construct: aggregate-order
SELECT string_agg(code, coalesce(kind, '-') ORDER BY id) FROM events WHERE id < 100;
-- name: array-agg-ordered
-- construct: aggregate-order, group-by, array
SELECT kind, array_agg(qty ORDER BY id DESC) FROM events GROUP BY kind;
-- name: array-agg-ordered-nulls
-- construct: aggregate-order, null, array
SELECT flag, array_agg(qty ORDER BY qty DESC NULLS LAST) FROM events GROUP BY flag;
-- name: array-agg-unordered
-- construct: aggregate, array
-- compare: multiset elements(2)
-- reason: the order in the array is open
SELECT kind, array_agg(id) FROM events GROUP BY kind;
-- name: array-agg-texts
-- construct: aggregate-order, array, collation
SELECT array_agg(label ORDER BY label, id), array_agg(label ORDER BY label COLLATE "C", id) FROM events WHERE account < 10;
-- name: array-agg-enum
-- construct: aggregate-order, array
SELECT account, array_agg(mood ORDER BY mood, id) FROM events GROUP BY account;
-- name: array-agg-distinct
-- construct: aggregate-distinct, array
SELECT flag, array_agg(DISTINCT small) FROM events GROUP BY flag;
-- name: array-agg-distinct-ordered
-- construct: aggregate-distinct, aggregate-order, array
SELECT flag, array_agg(DISTINCT kind ORDER BY kind DESC) FROM events GROUP BY flag;
-- name: array-agg-filter
-- construct: aggregate-filter, aggregate-order, array
SELECT kind, array_agg(id ORDER BY id) FILTER (WHERE qty > 10) FROM events GROUP BY kind;
-- name: array-agg-of-arrays
-- construct: aggregate-order, array
SELECT array_agg(ARRAY[id, qty] ORDER BY id) FROM events WHERE account IN (1, 9);
-- name: array-agg-element
-- construct: aggregate-expression, aggregate-order, array
SELECT kind, (array_agg(id ORDER BY qty DESC NULLS LAST, id))[1] FROM events GROUP BY kind;
-- name: jsonb-agg-ordered
-- construct: aggregate-order, jsonb
SELECT kind, jsonb_agg(qty ORDER BY id) FROM events GROUP BY kind;
-- name: jsonb-agg-unordered
-- construct: aggregate, jsonb
-- compare: multiset elements(2)
-- reason: the order in the array is open
SELECT flag, jsonb_agg(doc) FROM events GROUP BY flag;
-- name: jsonb-agg-objects
-- construct: aggregate-order, jsonb
SELECT account, jsonb_agg(jsonb_build_object('id', id, 'n', huge, 'at', at) ORDER BY id) FROM events WHERE account < 12 GROUP BY account;
-- name: json-agg-ordered
-- construct: aggregate-order, jsonb
SELECT mood, json_agg(kind ORDER BY id) FROM events GROUP BY mood;
-- name: jsonb-object-agg
-- construct: aggregate, jsonb
SELECT flag, jsonb_object_agg(id, kind) FROM events GROUP BY flag;
-- name: count-distinct
-- construct: aggregate-distinct
SELECT count(DISTINCT kind), count(DISTINCT account), count(DISTINCT note), count(DISTINCT label), count(DISTINCT huge), count(DISTINCT ratio), count(DISTINCT span), count(DISTINCT doc), count(DISTINCT mood) FROM events;
-- name: count-distinct-grouped
-- construct: aggregate-distinct, group-by
SELECT mood, count(DISTINCT kind), count(DISTINCT small), count(*) FROM events GROUP BY mood;
-- name: count-distinct-key
-- construct: aggregate-distinct, key-predicate
SELECT kind, count(DISTINCT account) FROM events GROUP BY kind;
-- name: count-distinct-expression
-- construct: aggregate-distinct, case
SELECT count(DISTINCT qty % 7), count(DISTINCT CASE WHEN flag THEN kind END) FROM events;
-- name: count-distinct-row
-- unanswered: a record as a value
-- construct: aggregate-distinct, row-comparison
SELECT count(DISTINCT (kind, flag)) FROM events;
-- name: sum-distinct
-- construct: aggregate-distinct, numeric
SELECT sum(DISTINCT qty), avg(DISTINCT small), sum(DISTINCT amount) FROM events;
-- name: distinct-and-plain
-- construct: aggregate-distinct, aggregate-filter
SELECT flag, sum(qty), sum(DISTINCT qty), count(DISTINCT kind) FILTER (WHERE qty > 0) FROM events GROUP BY flag;
-- name: count-distinct-having
-- construct: aggregate-distinct, having
SELECT label, count(DISTINCT account) FROM events GROUP BY label HAVING count(DISTINCT account) > 5;
-- name: count-distinct-joined
-- construct: aggregate-distinct, colocated-join
SELECT count(DISTINCT s.agent), count(DISTINCT e.dim) FROM events e JOIN sessions s USING (account);
-- name: filter-count
-- construct: aggregate-filter
SELECT count(*) FILTER (WHERE flag), count(*) FILTER (WHERE NOT flag), count(*) FILTER (WHERE flag IS NULL) FROM events;
-- name: filter-all
-- construct: aggregate-filter, group-by
SELECT kind, sum(qty) FILTER (WHERE qty > 0), avg(amount) FILTER (WHERE amount < 0), min(at) FILTER (WHERE flag), stddev(qty) FILTER (WHERE small = 1) FROM events GROUP BY kind;
-- name: filter-nothing
-- construct: aggregate-filter, empty-input
SELECT mood, sum(qty) FILTER (WHERE false), count(*) FILTER (WHERE NULL), array_agg(id) FILTER (WHERE id < 0) FROM events GROUP BY mood;
-- name: filter-subquery
-- construct: aggregate-filter, in-subquery
SELECT count(*) FILTER (WHERE dim IN (SELECT id FROM dimensions WHERE kind = 'a')) FROM events;
-- name: filter-key
-- construct: aggregate-filter, key-predicate
SELECT count(*) FILTER (WHERE account = 7), sum(qty) FILTER (WHERE account <> 7) FROM events;
-- name: filter-ratio
-- construct: aggregate-filter, aggregate-expression
SELECT kind, round(100.0 * count(*) FILTER (WHERE flag) / count(*), 3) AS percent FROM events GROUP BY kind;
-- name: filter-parameter
-- construct: aggregate-filter, parameter
-- params: 5::int4
SELECT count(*) FILTER (WHERE qty > $1) FROM events;
-- name: peer-shardingsphere-38363-difference-of-sums
-- construct: aggregate-expression
SELECT sum(qty) - sum(small) AS difference FROM events;
-- name: difference-of-sums-grouped
-- construct: aggregate-expression, group-by
SELECT kind, sum(amount) - sum(qty), sum(qty)::numeric / count(*) FROM events GROUP BY kind;
-- name: expression-cast
-- construct: aggregate-expression, cast
SELECT sum(amount)::bigint, avg(qty)::int, max(at)::date, count(*)::text || ' rows', round(avg(amount), 2) FROM events;
-- name: expression-case
-- construct: aggregate-expression, case
SELECT dim, CASE WHEN sum(qty) > 0 THEN 'up' WHEN sum(qty) < 0 THEN 'down' ELSE coalesce(max(kind), 'none') END FROM events GROUP BY dim;
-- name: expression-range
-- construct: aggregate-expression, date-time
SELECT kind, max(seen) - min(seen), extract(epoch FROM max(seen) - min(seen)) FROM events GROUP BY kind;
-- name: expression-of-group
-- construct: aggregate-expression, group-by
SELECT small * 10 + count(*), upper(kind), small FROM events GROUP BY small, kind;
-- name: expression-same-aggregate-twice
-- construct: aggregate-expression
SELECT sum(qty), sum(qty) * 2, sum(qty) + count(*), count(*) FROM events;
-- name: expression-nested-functions
-- construct: aggregate-expression, string
SELECT upper(coalesce(min(kind), 'x')) || ':' || greatest(count(*), max(qty)), length(string_agg(kind, '' ORDER BY id)) FROM events;
-- name: expression-argument
-- construct: aggregate-expression, reference-join
SELECT sum(e.amount * coalesce(d.factor, 1)), max(abs(e.qty - e.small)), count(nullif(e.kind, '')) FROM events e LEFT JOIN dimensions d ON d.id = e.dim;
-- name: expression-division-by-zero-guarded
-- construct: aggregate-expression, null
SELECT mood, sum(qty) / nullif(count(*) FILTER (WHERE small = 99), 0) FROM events GROUP BY mood;
-- name: aggregate-in-order-by
-- construct: aggregate, order-by
-- compare: ordered
SELECT kind FROM events GROUP BY kind ORDER BY count(*) DESC, kind;
-- name: aggregate-in-order-by-only
-- construct: aggregate, order-by, limit
-- compare: ordered
SELECT account FROM events GROUP BY account ORDER BY sum(amount) DESC NULLS LAST, account
LIMIT 10;
-- name: aggregate-difference-in-order-by
-- construct: aggregate-expression, order-by
-- compare: ordered
SELECT dim, count(*) FROM events GROUP BY dim ORDER BY max(qty) - min(qty), sum(amount), dim;
-- name: aggregate-over-subquery
-- construct: aggregate, from-subquery
SELECT avg(n), max(n), min(s) FROM (SELECT account, count(*) AS n, sum(qty) AS s FROM events GROUP BY account) AS q;
-- name: aggregate-over-subquery-not-key
-- construct: aggregate, from-subquery
SELECT count(*), sum(n) FROM (SELECT label, count(*) AS n FROM events GROUP BY label HAVING count(*) > 20) AS q;
-- name: aggregate-variadic
-- construct: aggregate, case
SELECT sum(CASE WHEN flag THEN qty ELSE -qty END), count(CASE kind WHEN 'Buy' THEN 1 WHEN 'buy' THEN 1 END) FROM events;
-- name: aggregate-numeric-nan
-- construct: aggregate, numeric
SELECT sum(n), max(n), avg(n), count(*) FROM (SELECT CASE WHEN id = 5 THEN 'NaN' ELSE amount END AS n FROM events) AS q;
-- name: aggregate-sixty-digits
-- construct: aggregate, numeric, group-by
SELECT mood, sum(huge), avg(huge), max(huge * 3) FROM events GROUP BY mood;
-- name: aggregate-int8-overflowing-sum
-- construct: aggregate, numeric
SELECT sum(big), sum(abs(big)), avg(big), sum(9223372036854775807 - abs(qty)) FROM events;
