-- Queries that were written to break the planner, with keys of another type.

-- name: hostile-key-upper
-- construct: key-predicate
SELECT count(*) FROM transactions WHERE customer_id = '8F14E45F-CEEA-167A-5A36-DEDD4BEA2543';
-- name: hostile-key-braces
-- construct: key-predicate
SELECT count(*) FROM transactions WHERE customer_id = '{8f14e45f-ceea-167a-5a36-dedd4bea2543}';
-- name: hostile-key-plain
-- construct: key-predicate
SELECT count(*) FROM transactions WHERE customer_id = '8f14e45fceea167a5a36dedd4bea2543'::uuid OR customer_id = uuid '8f14e45f-ceea-167a-5a36-dedd4bea2543';
-- name: hostile-key-groups
-- construct: key-predicate
SELECT count(*) FROM transactions WHERE customer_id = '8f14-e45f-ceea-167a-5a36-dedd-4bea-2543';
-- name: hostile-key-urn
-- construct: key-predicate
-- error: 22P02
SELECT count(*) FROM transactions WHERE customer_id = 'urn:uuid:8f14e45f-ceea-167a-5a36-dedd4bea2543';
-- name: hostile-key-text
-- construct: key-predicate
SELECT count(*) FROM transactions WHERE customer_id::text = '8f14e45f-ceea-167a-5a36-dedd4bea2543';
-- name: hostile-key-escape
-- construct: key-predicate
SELECT count(*) FROM transactions WHERE customer_id = E'\x38f14e45f-ceea-167a-5a36-dedd4bea2543';
-- name: hostile-key-array-literal
-- construct: key-predicate
SELECT count(*) FROM transactions WHERE customer_id = ANY ('{8f14e45f-ceea-167a-5a36-dedd4bea2543}');
-- name: hostile-key-array
-- construct: key-predicate
SELECT count(*) FROM transactions WHERE customer_id = ANY (ARRAY['8f14e45f-ceea-167a-5a36-dedd4bea2543', NULL]::uuid[]);
-- name: hostile-key-not-in
-- construct: key-predicate
SELECT count(*) FROM transactions WHERE customer_id NOT IN ('8f14e45f-ceea-167a-5a36-dedd4bea2543');
-- name: hostile-key-not-in-null
-- construct: key-predicate, null
SELECT count(*) FROM transactions WHERE customer_id NOT IN ('8f14e45f-ceea-167a-5a36-dedd4bea2543', NULL);
-- name: hostile-key-from
-- construct: key-predicate
SELECT count(*) FROM (VALUES ('8f14e45f-ceea-167a-5a36-dedd4bea2543'::uuid)) v(customer_id) JOIN transactions USING (customer_id);
-- name: hostile-key-in-values
-- construct: key-predicate, values
SELECT count(*) FROM transactions WHERE customer_id IN (VALUES ('8f14e45f-ceea-167a-5a36-dedd4bea2543'::uuid));
-- name: hostile-key-left-on
-- construct: key-predicate, outer-join
SELECT count(*), count(t.customer_id) FROM customers c LEFT JOIN transactions t ON t.customer_id = c.customer_id AND c.customer_id = '8f14e45f-ceea-167a-5a36-dedd4bea2543';
-- name: hostile-key-case
-- construct: key-predicate, case
SELECT count(*) FROM transactions WHERE (customer_id = '8f14e45f-ceea-167a-5a36-dedd4bea2543') IS DISTINCT FROM true;
-- name: hostile-rename-swap
-- construct: key-predicate, identifier
SELECT t.account_id, count(*) FROM bank_accounts AS t(account_id, customer_id) WHERE t.account_id = '8f14e45f-ceea-167a-5a36-dedd4bea2543' GROUP BY 1;
-- name: hostile-rename-swap-group
-- construct: group-by, identifier
-- empty: there may be none
SELECT customer_id, count(*) FROM transactions AS t(x, customer_id) GROUP BY customer_id HAVING count(*) > 1;
-- name: hostile-rename-swap-account
-- construct: group-by, identifier
SELECT customer_id, count(*) FROM transactions AS t(a, b, customer_id) GROUP BY customer_id;
-- name: hostile-paren-order
-- construct: order-by, limit
-- compare: ordered
SELECT -amount AS amount, transaction_id FROM transactions ORDER BY (amount), 2 LIMIT 5;
-- name: hostile-nest-right
-- construct: outer-join
SELECT count(*), count(c.customer_id) FROM customers c RIGHT JOIN (bank_accounts a JOIN transactions t ON a.currency = 'CHF' AND t.kind = 'fee') ON c.customer_id = a.customer_id AND a.customer_id = t.customer_id;
-- name: hostile-dependent
-- construct: group-by
-- compare: ordered
SELECT a.customer_id, a.account_id, a.currency, a.balance, count(t.account_id) FROM bank_accounts a LEFT JOIN transactions t ON t.account_id = a.account_id GROUP BY a.customer_id, a.account_id ORDER BY 5 DESC, 2 LIMIT 8;
-- name: hostile-outer-agg-filter
-- construct: aggregate-filter, scalar-subquery
SELECT (SELECT count(*) FILTER (WHERE t.amount > 0)) FROM transactions t;
-- name: hostile-agg-mixed
-- construct: aggregate, scalar-subquery
SELECT c.customer_id, (SELECT sum(t.amount + length(c.full_name)) FROM transactions t WHERE t.kind = 'fee') FROM customers c;
-- name: hostile-not-in-pair
-- construct: in-subquery, row-comparison
SELECT count(*) FROM bank_accounts WHERE (customer_id, account_id) NOT IN (SELECT customer_id, account_id FROM transactions);
-- name: hostile-distinct-trim
-- construct: distinct, numeric
SELECT DISTINCT (balance * 1.0)::text FROM bank_accounts WHERE balance = 0;
-- name: hostile-full-sum
-- construct: outer-join, aggregate
SELECT sum(a.balance), count(*), count(t.amount) FROM bank_accounts a FULL JOIN transactions t USING (customer_id, account_id);
-- name: hostile-using-order
-- construct: colocated-join, order-by
-- compare: ordered
SELECT * FROM bank_accounts JOIN customers USING (customer_id) ORDER BY (customer_id), 2 LIMIT 3;
-- name: hostile-max-min-by
-- construct: scalar-subquery
SELECT customer_id, amount FROM transactions t WHERE amount = (SELECT max(amount) FROM transactions u WHERE u.kind = t.kind);
-- name: hostile-rank-over-all
-- construct: window
SELECT customer_id, balance FROM (SELECT customer_id, balance, dense_rank() OVER (ORDER BY balance DESC) AS r FROM bank_accounts) x WHERE r < 4;
-- name: hostile-now-key
-- construct: date-time, key-predicate
SELECT count(*) FROM transactions WHERE customer_id = '8f14e45f-ceea-167a-5a36-dedd4bea2543' AND now() > current_date - 1;
