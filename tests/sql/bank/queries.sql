-- The bank, as a service and its reports would ask it.

-- name: bank-customer
-- construct: key-predicate
SELECT * FROM customers WHERE customer_id = '8f14e45f-ceea-167a-5a36-dedd4bea2543';
-- name: peer-pgcat-uuid-literals
-- construct: key-predicate
SELECT customer_id, full_name FROM customers WHERE customer_id IN ('c4ca4238-a0b9-2382-0dcc-509a6f75849b', 'c81e728d-9d4c-2f63-6f06-7f89cc14862c', 'eccbc87e-4b5c-e2fe-2830-8fd9f2a7baf3', '8f14e45f-ceea-167a-5a36-dedd4bea2543');
-- name: bank-key-uppercase-literal
-- construct: key-predicate
SELECT full_name FROM customers WHERE customer_id = '8F14E45F-CEEA-167A-5A36-DEDD4BEA2543';
-- name: bank-key-braced-literal
-- construct: key-predicate
SELECT full_name FROM customers WHERE customer_id = '{8f14e45fceea167a5a36dedd4bea2543}'::uuid;
-- name: bank-key-typed-literal
-- construct: key-predicate, cast
SELECT status FROM customers WHERE customer_id = uuid 'c4ca4238-a0b9-2382-0dcc-509a6f75849b';
-- name: bank-key-as-text
-- construct: key-predicate, cast
SELECT full_name FROM customers WHERE customer_id::text LIKE '8f14%';
-- name: bank-key-range
-- construct: key-predicate, order-by
-- compare: ordered
SELECT customer_id FROM customers WHERE customer_id > 'f0000000-0000-0000-0000-000000000000' ORDER BY customer_id;
-- name: bank-key-parameter
-- construct: key-predicate, parameter
-- params: '8f14e45f-ceea-167a-5a36-dedd4bea2543'::uuid
SELECT a.account_id, a.balance FROM bank_accounts a WHERE a.customer_id = $1;
-- name: bank-key-parameter-array
-- construct: key-predicate, parameter, array
-- params: '{8f14e45f-ceea-167a-5a36-dedd4bea2543,c4ca4238-a0b9-2382-0dcc-509a6f75849b}'::uuid[]
SELECT customer_id, count(*) FROM bank_accounts WHERE customer_id = ANY ($1) GROUP BY customer_id;
-- name: bank-key-nil
-- construct: key-predicate, empty-input
SELECT count(*) FROM transactions WHERE customer_id = '00000000-0000-0000-0000-000000000000';
-- name: bank-key-md5
-- construct: key-predicate, cast
SELECT full_name FROM customers WHERE customer_id = md5('7')::uuid;
-- name: bank-statement
-- construct: key-predicate, limit
-- compare: ordered
SELECT booked_at, kind, amount, description FROM transactions WHERE customer_id = '8f14e45f-ceea-167a-5a36-dedd4bea2543' ORDER BY booked_at DESC, transaction_id LIMIT 10;
-- name: bank-balance-per-customer
-- construct: group-by, order-by
-- compare: ordered
SELECT customer_id, sum(balance) AS total, count(*) AS accounts FROM bank_accounts GROUP BY customer_id ORDER BY total DESC, customer_id;
-- name: bank-balance-per-currency
-- construct: group-by, aggregate
SELECT currency, count(*), sum(balance), avg(balance), min(balance), max(balance) FROM bank_accounts GROUP BY currency;
-- name: bank-per-country
-- construct: colocated-join, group-by
SELECT c.country, a.currency, sum(a.balance), count(DISTINCT c.customer_id) FROM customers c JOIN bank_accounts a ON a.customer_id = c.customer_id GROUP BY c.country, a.currency;
-- name: bank-per-country-ordered
-- construct: colocated-join, order-by, limit
-- compare: ordered
SELECT c.country, sum(t.amount) AS moved FROM customers c JOIN transactions t USING (customer_id) GROUP BY c.country ORDER BY moved DESC, c.country LIMIT 3;
-- name: bank-three-tables
-- construct: colocated-join, having
SELECT c.full_name, a.account_id, count(t.transaction_id), sum(t.amount) FROM customers c JOIN bank_accounts a USING (customer_id) JOIN transactions t USING (customer_id, account_id) GROUP BY c.customer_id, c.full_name, a.account_id HAVING count(*) > 3;
-- name: bank-four-tables
-- construct: reference-join, colocated-join
SELECT c.country, cur.name, t.kind, sum(t.amount) FROM customers c JOIN bank_accounts a ON a.customer_id = c.customer_id JOIN transactions t ON t.customer_id = a.customer_id AND t.account_id = a.account_id JOIN currencies cur ON cur.currency = a.currency GROUP BY c.country, cur.name, t.kind;
-- name: bank-join-account-without-key
-- construct: non-colocated-join, aggregate
SELECT count(*), sum(t.amount) FROM bank_accounts a JOIN transactions t ON t.account_id = a.account_id;
-- name: bank-join-account-without-key-rows
-- construct: non-colocated-join
SELECT a.account_id, t.amount FROM transactions t JOIN bank_accounts a ON t.account_id = a.account_id WHERE a.currency = 'DKK';
-- name: bank-customers-without-accounts
-- construct: outer-join, null
SELECT c.customer_id, c.full_name FROM customers c LEFT JOIN bank_accounts a USING (customer_id) WHERE a.account_id IS NULL;
-- name: bank-accounts-without-transactions
-- construct: exists
SELECT a.account_id FROM bank_accounts a WHERE NOT EXISTS (SELECT FROM transactions t WHERE t.customer_id = a.customer_id AND t.account_id = a.account_id);
-- name: bank-left-joins
-- construct: outer-join, group-by
SELECT c.customer_id, count(DISTINCT a.account_id), count(t.transaction_id), coalesce(sum(t.amount), 0) FROM customers c LEFT JOIN bank_accounts a USING (customer_id) LEFT JOIN transactions t USING (customer_id, account_id) GROUP BY c.customer_id;
-- name: bank-currencies-unused
-- construct: reference-join, outer-join, null
SELECT cur.currency, cur.name FROM currencies cur LEFT JOIN bank_accounts a USING (currency) WHERE a.account_id IS NULL;
-- name: bank-currencies-used
-- construct: reference-join, group-by
SELECT cur.currency, cur.name, count(a.account_id), sum(a.balance) FROM currencies cur LEFT JOIN bank_accounts a USING (currency) GROUP BY cur.currency;
-- name: bank-currencies-full
-- construct: reference-join, outer-join, aggregate
SELECT count(*), count(cur.currency), count(a.account_id) FROM currencies cur FULL JOIN bank_accounts a ON a.currency = cur.currency AND a.balance > 0;
-- name: bank-natural-joins
-- construct: colocated-join, aggregate
SELECT count(*) FROM bank_accounts NATURAL JOIN (SELECT customer_id, account_id, amount FROM transactions) AS t;
-- name: bank-same-name-pairs
-- construct: self-join, non-colocated-join
SELECT a.customer_id, b.customer_id, a.full_name FROM customers a JOIN customers b ON a.full_name = b.full_name AND a.customer_id < b.customer_id;
-- name: bank-transfers-that-match
-- construct: self-join, colocated-join
SELECT a.customer_id, a.transaction_id, b.transaction_id FROM transactions a JOIN transactions b ON a.customer_id = b.customer_id AND a.kind = b.kind AND a.transaction_id < b.transaction_id WHERE a.description = 'rent' AND b.description = 'rent';
-- name: bank-totals
-- construct: aggregate
SELECT count(*), sum(amount), avg(amount), min(amount), max(amount), stddev(amount), min(booked_at), max(booked_at) FROM transactions;
-- name: bank-totals-minus
-- construct: aggregate-expression, aggregate-filter
SELECT sum(amount) FILTER (WHERE amount > 0) + sum(amount) FILTER (WHERE amount < 0) - sum(amount) AS zero, sum(balance) - sum(overdraft) AS net FROM transactions JOIN bank_accounts USING (customer_id, account_id);
-- name: bank-average-over-kinds
-- construct: aggregate-expression, group-by
SELECT kind, round(avg(amount), 2), sum(amount) / count(*) = avg(amount) AS same, max(amount) - min(amount) AS spread FROM transactions GROUP BY kind;
-- name: bank-monthly
-- construct: date-time, group-by, order-by
-- compare: ordered
SELECT date_trunc('month', booked_at) AS month, kind, count(*), sum(amount) FROM transactions GROUP BY 1, 2 ORDER BY 1, 2;
-- name: bank-daily-running
-- construct: date-time, window, from-subquery
SELECT d, total, sum(total) OVER (ORDER BY d) AS running FROM (SELECT booked_at::date AS d, sum(amount) AS total FROM transactions GROUP BY 1) AS q;
-- name: bank-to-char-weekday
-- construct: date-time, group-by
SELECT to_char(booked_at, 'ID') AS weekday, count(*) FROM transactions GROUP BY 1;
-- name: bank-opened-per-year
-- construct: date-time, having
SELECT extract(year FROM opened_at) AS year, currency, count(*) FROM bank_accounts GROUP BY year, currency HAVING count(*) > 2;
-- name: bank-days-since
-- construct: date-time
SELECT customer_id, timestamptz '2024-06-01' - created_at AS since, age(timestamptz '2024-06-01', created_at) FROM customers WHERE country = 'DE';
-- name: bank-hour-histogram
-- construct: date-time, order-by
-- compare: ordered
SELECT extract(hour FROM booked_at)::int AS h, count(*) FROM transactions GROUP BY h ORDER BY count(*) DESC, h;
-- name: bank-rank-accounts
-- construct: window
SELECT customer_id, account_id, rank() OVER (PARTITION BY customer_id ORDER BY balance DESC, account_id) FROM bank_accounts;
-- name: bank-running-balance
-- construct: window, order-by
-- compare: ordered
SELECT customer_id, account_id, booked_at, sum(amount) OVER (PARTITION BY customer_id, account_id ORDER BY booked_at, transaction_id) AS balance FROM transactions ORDER BY customer_id, account_id, booked_at, transaction_id;
-- name: bank-rank-over-all
-- construct: window, limit
-- compare: ordered
SELECT account_id, balance, row_number() OVER (ORDER BY balance DESC, account_id) AS place FROM bank_accounts ORDER BY place LIMIT 15;
-- name: bank-share-of-country
-- construct: window, aggregate-expression
SELECT c.country, a.currency, sum(a.balance) / nullif(sum(sum(a.balance)) OVER (PARTITION BY c.country), 0) AS share FROM customers c JOIN bank_accounts a USING (customer_id) GROUP BY c.country, a.currency;
-- name: bank-top-customer-per-country
-- construct: distinct-on, colocated-join
SELECT DISTINCT ON (c.country) c.country, c.customer_id, s.total FROM customers c JOIN (SELECT customer_id, sum(balance) AS total FROM bank_accounts GROUP BY customer_id) AS s USING (customer_id) ORDER BY c.country, s.total DESC, c.customer_id;
-- name: bank-latest-transaction
-- construct: distinct-on, order-by
-- compare: ordered
SELECT DISTINCT ON (customer_id) customer_id, booked_at, kind FROM transactions ORDER BY customer_id, booked_at DESC, transaction_id;
-- name: bank-latest-per-kind
-- construct: distinct-on
SELECT DISTINCT ON (kind) kind, booked_at, transaction_id FROM transactions ORDER BY kind, booked_at DESC, transaction_id;
-- name: bank-lateral-last-two
-- construct: lateral
SELECT a.account_id, l.booked_at, l.amount FROM bank_accounts a CROSS JOIN LATERAL (SELECT t.booked_at, t.amount FROM transactions t WHERE t.customer_id = a.customer_id AND t.account_id = a.account_id ORDER BY t.booked_at DESC, t.transaction_id LIMIT 2) AS l;
-- name: bank-lateral-left-total
-- construct: lateral, outer-join
SELECT c.customer_id, l.total, l.n FROM customers c LEFT JOIN LATERAL (SELECT sum(balance) AS total, count(*) AS n FROM bank_accounts a WHERE a.customer_id = c.customer_id) AS l ON true;
-- name: bank-above-average
-- construct: scalar-subquery
SELECT account_id, balance FROM bank_accounts WHERE balance > (SELECT avg(balance) FROM bank_accounts);
-- name: bank-above-own-average
-- construct: scalar-subquery
SELECT t.transaction_id, t.amount FROM transactions t WHERE t.amount > (SELECT avg(x.amount) FROM transactions x WHERE x.customer_id = t.customer_id) + 300;
-- name: bank-above-average-of-currency
-- construct: scalar-subquery
SELECT a.account_id FROM bank_accounts a WHERE a.balance > (SELECT avg(b.balance) FROM bank_accounts b WHERE b.currency = a.currency);
-- name: bank-customers-with-two-currencies
-- construct: in-subquery, having
SELECT customer_id, full_name FROM customers WHERE customer_id IN (SELECT customer_id FROM bank_accounts GROUP BY customer_id HAVING count(DISTINCT currency) >= 2);
-- name: bank-customers-without-euro
-- construct: in-subquery
SELECT customer_id FROM customers WHERE customer_id NOT IN (SELECT customer_id FROM bank_accounts WHERE currency = 'EUR');
-- name: bank-countries-of-frozen
-- construct: in-subquery, distinct
SELECT DISTINCT country FROM customers WHERE customer_id IN (SELECT customer_id FROM bank_accounts WHERE status = 'frozen');
-- name: bank-exists-big-transaction
-- construct: exists, colocated-join
SELECT c.full_name, a.account_id FROM customers c JOIN bank_accounts a USING (customer_id) WHERE EXISTS (SELECT FROM transactions t WHERE t.customer_id = c.customer_id AND t.account_id = a.account_id AND abs(t.amount) > 550);
-- name: bank-same-country-exists
-- construct: exists, self-join
SELECT a.customer_id FROM customers a WHERE EXISTS (SELECT FROM customers b WHERE b.country = a.country AND b.full_name = a.full_name AND b.customer_id <> a.customer_id);
-- name: bank-cte-report
-- construct: cte, colocated-join, group-by
WITH totals AS (SELECT customer_id, sum(balance) AS total FROM bank_accounts GROUP BY customer_id), moves AS (SELECT customer_id, count(*) AS n FROM transactions GROUP BY customer_id) SELECT c.country, sum(t.total), sum(m.n), count(*) FROM customers c JOIN totals t USING (customer_id) LEFT JOIN moves m USING (customer_id) GROUP BY c.country;
-- name: bank-cte-ratio
-- construct: cte, scalar-subquery
WITH s AS (SELECT status, count(*) AS n FROM customers GROUP BY status) SELECT status, round(100.0 * n / (SELECT sum(n) FROM s), 2) AS percent FROM s;
-- name: bank-cte-compare-to-country
-- construct: cte, non-colocated-join
WITH per AS (SELECT c.customer_id, c.country, sum(a.balance) AS total FROM customers c JOIN bank_accounts a USING (customer_id) GROUP BY c.customer_id, c.country), avgs AS (SELECT country, avg(total) AS average FROM per GROUP BY country) SELECT per.customer_id, per.total - avgs.average AS above FROM per JOIN avgs USING (country) WHERE per.total > avgs.average;
-- name: bank-union-kinds
-- construct: set-operation
SELECT 'in' AS way, customer_id, amount FROM transactions WHERE amount > 500 UNION ALL SELECT 'out', customer_id, -amount FROM transactions WHERE amount < -350;
-- name: bank-union-states
-- construct: set-operation, order-by
-- compare: ordered
SELECT status FROM customers UNION SELECT status FROM bank_accounts ORDER BY status DESC;
-- name: bank-except-customers
-- construct: set-operation
SELECT customer_id FROM customers EXCEPT SELECT customer_id FROM transactions;
-- name: bank-intersect-customers
-- construct: set-operation, aggregate
SELECT count(*) FROM (SELECT customer_id FROM bank_accounts WHERE currency = 'EUR' INTERSECT SELECT customer_id FROM bank_accounts WHERE currency = 'CHF') AS q;
-- name: bank-except-currencies
-- construct: set-operation, reference-join
SELECT currency FROM currencies EXCEPT SELECT currency FROM bank_accounts WHERE balance > 0;
-- name: bank-rollup
-- construct: grouping-sets, colocated-join
SELECT c.country, a.currency, count(*), sum(a.balance), grouping(c.country, a.currency) FROM customers c JOIN bank_accounts a USING (customer_id) GROUP BY ROLLUP (c.country, a.currency);
-- name: bank-grouping-sets
-- construct: grouping-sets, order-by
-- compare: ordered
SELECT kind, date_trunc('month', booked_at) AS m, sum(amount) FROM transactions GROUP BY GROUPING SETS ((kind), (m), ()) ORDER BY kind NULLS LAST, m NULLS LAST;
-- name: bank-cube-having
-- construct: grouping-sets, having
SELECT currency, status, count(*) FROM bank_accounts GROUP BY CUBE (currency, status) HAVING count(*) > 5;
-- name: bank-distinct-pairs
-- construct: distinct, order-by
-- compare: ordered
SELECT DISTINCT country, status FROM customers ORDER BY country, status DESC;
-- name: bank-distinct-count
-- construct: aggregate-distinct
SELECT count(DISTINCT customer_id), count(DISTINCT account_id), count(DISTINCT kind), count(DISTINCT description) FROM transactions;
-- name: bank-names-by-country
-- construct: aggregate-order, group-by
SELECT country, string_agg(full_name, '; ' ORDER BY full_name, customer_id) FROM customers GROUP BY country;
-- name: bank-accounts-as-json
-- construct: aggregate-order, jsonb
SELECT customer_id, jsonb_agg(jsonb_build_object('account', account_id, 'balance', balance, 'opened', opened_at) ORDER BY account_id) FROM bank_accounts GROUP BY customer_id;
-- name: bank-top-amounts-array
-- construct: aggregate-order, array
SELECT kind, (array_agg(amount ORDER BY amount DESC))[1:3] FROM transactions GROUP BY kind;
-- name: bank-pivot
-- construct: aggregate-filter, group-by
SELECT customer_id, sum(amount) FILTER (WHERE kind = 'card') AS card, sum(amount) FILTER (WHERE kind = 'fee') AS fee, count(*) FILTER (WHERE description = '') AS bare FROM transactions GROUP BY customer_id;
-- name: bank-median
-- construct: aggregate, group-by
SELECT kind, percentile_cont(0.5) WITHIN GROUP (ORDER BY amount::float8), percentile_disc(0.9) WITHIN GROUP (ORDER BY amount) FROM transactions GROUP BY kind;
-- name: bank-email-domain
-- construct: string, group-by
SELECT lower(split_part(email, '@', 2)) AS domain, count(*) FROM customers GROUP BY domain;
-- name: bank-names-pattern
-- construct: pattern, order-by
-- compare: ordered
SELECT full_name, email FROM customers WHERE full_name ILIKE 'ada%' OR full_name LIKE '%\_%' OR full_name ~ 'Ø' ORDER BY email;
-- name: bank-names-ordered
-- construct: order-by, string
-- compare: ordered
SELECT upper(full_name) AS u, customer_id FROM customers ORDER BY u, customer_id DESC LIMIT 30;
-- name: bank-descriptions
-- construct: pattern, aggregate
SELECT count(*) FILTER (WHERE description LIKE '50\%%'), count(*) FILTER (WHERE description LIKE 'x\_y'), count(*) FILTER (WHERE description ILIKE 'rent') FROM transactions;
-- name: bank-case-size
-- construct: case, group-by, order-by
-- compare: ordered
SELECT CASE WHEN amount < -200 THEN 'big out' WHEN amount < 0 THEN 'out' WHEN amount < 200 THEN 'in' ELSE 'big in' END AS size, count(*), sum(amount) FROM transactions GROUP BY size ORDER BY min(amount);
-- name: bank-case-status
-- construct: case, aggregate
SELECT sum(CASE status WHEN 'open' THEN balance ELSE 0 END), sum(CASE WHEN status IN ('frozen', 'closed') THEN 1 ELSE 0 END) FROM bank_accounts;
-- name: bank-limit-ties
-- construct: limit, order-by
-- compare: ties(1)
-- reason: which of the rows that tie at the cut are inside is open
SELECT currency, account_id FROM bank_accounts ORDER BY currency
LIMIT 40;
-- name: bank-page
-- construct: limit, order-by
-- compare: ordered
SELECT customer_id, full_name FROM customers ORDER BY full_name, customer_id LIMIT 10 OFFSET 20;
-- name: bank-fetch-with-ties
-- construct: limit, group-by
-- compare: ties(2)
-- reason: rows that tie come in any order
SELECT customer_id, count(*) AS n FROM bank_accounts GROUP BY customer_id ORDER BY n DESC
FETCH FIRST 5 ROWS WITH TIES;
-- name: bank-values-rates
-- construct: values, reference-join
SELECT a.currency, sum(a.balance * r.rate) FROM bank_accounts a JOIN (VALUES ('EUR', 1.0), ('CHF', 1.05), ('DKK', 0.134)) AS r(currency, rate) ON r.currency = a.currency GROUP BY a.currency;
-- name: bank-months-with-gaps
-- construct: series, outer-join
SELECT m, count(t.transaction_id), coalesce(sum(t.amount), 0) FROM generate_series(timestamptz '2023-11-01', '2024-03-01', '1 month') AS m LEFT JOIN transactions t ON date_trunc('month', t.booked_at) = m GROUP BY m;
-- name: bank-cross-currencies
-- construct: cross-join, reference-join
SELECT cur.currency, c.status, count(*) FROM currencies cur CROSS JOIN customers c GROUP BY cur.currency, c.status;
-- name: bank-cross-months
-- construct: cross-join, series
SELECT c.customer_id, m FROM customers c CROSS JOIN generate_series(1, 2) AS m WHERE c.country = 'CH';
-- name: bank-recursive-days
-- construct: recursive-cte, outer-join
WITH RECURSIVE d AS (SELECT date '2024-01-01' AS day UNION ALL SELECT day + 1 FROM d WHERE day < '2024-01-07') SELECT d.day, count(t.*), sum(t.amount) FROM d LEFT JOIN transactions t ON t.booked_at::date = d.day GROUP BY d.day;
-- name: bank-parameter-filter
-- construct: parameter, colocated-join
-- params: 'EUR'::text; 100.00::numeric; '2024-01-10 00:00+00'::timestamptz
SELECT c.country, count(*), sum(t.amount) FROM customers c JOIN bank_accounts a USING (customer_id) JOIN transactions t USING (customer_id, account_id) WHERE a.currency = $1 AND t.amount > $2 AND t.booked_at >= $3 GROUP BY c.country;
-- name: bank-parameter-status-list
-- construct: parameter, array
-- params: '{frozen,closed}'::text[]
SELECT status, count(*), sum(overdraft) FROM bank_accounts WHERE status = ANY ($1) GROUP BY status;
-- name: bank-row-pairs
-- construct: row-comparison, key-predicate
SELECT account_id, balance FROM bank_accounts WHERE (customer_id, currency) IN (('8f14e45f-ceea-167a-5a36-dedd4bea2543', 'EUR'), ('c4ca4238-a0b9-2382-0dcc-509a6f75849b', 'CHF'), ('c81e728d-9d4c-2f63-6f06-7f89cc14862c', 'EUR'));
-- name: bank-keyset-page
-- construct: row-comparison, limit
-- compare: ordered
SELECT customer_id, account_id FROM bank_accounts WHERE (customer_id, account_id) > ('80000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000') ORDER BY customer_id, account_id LIMIT 10;
-- name: bank-numeric-scale
-- construct: numeric, aggregate
SELECT avg(amount), sum(amount) * 1.00, sum(amount) / 3, avg(overdraft), variance(balance) FROM transactions JOIN bank_accounts USING (customer_id, account_id);
-- name: bank-numeric-rounding
-- construct: numeric, group-by
SELECT currency, round(sum(balance) * 0.0775, 2), trunc(avg(balance)), sum(round(balance)) FROM bank_accounts GROUP BY currency;
-- name: bank-nothing-booked
-- construct: empty-input, aggregate, date-time
SELECT count(*), sum(amount), max(booked_at), min(kind) FROM transactions WHERE booked_at > '2100-01-01';
-- name: bank-subquery-of-subquery
-- construct: from-subquery, aggregate
SELECT country, avg(total), max(accounts) FROM (SELECT c.country, c.customer_id, sum(a.balance) AS total, count(*) AS accounts FROM customers c JOIN bank_accounts a USING (customer_id) GROUP BY c.customer_id, c.country) AS q GROUP BY country;
-- name: bank-quoted-names
-- construct: identifier, order-by
-- compare: ordered
SELECT c."full_name" AS "Name", "c".country AS "order" FROM "customers" AS c ORDER BY "order", "Name", c.customer_id;
-- name: bank-now
-- construct: date-time, aggregate
SELECT count(*), bool_and(created_at < now()), max(now() - now()) FROM customers;
-- name: bank-refused-random
-- construct: refusal
-- refused: volatile
SELECT customer_id FROM customers ORDER BY random() LIMIT 3;
-- name: bank-refused-new-uuid
-- construct: refusal
-- refused: volatile
SELECT customer_id, gen_random_uuid() FROM customers;
-- name: bank-error-bad-key
-- construct: error
-- error: 22P02
SELECT * FROM customers WHERE customer_id = 'not-a-uuid';
-- name: bank-error-key-is-a-number
-- construct: error
-- error: 42883
SELECT * FROM customers WHERE customer_id = 7;
