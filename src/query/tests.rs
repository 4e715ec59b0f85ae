//! Which tier a statement gets, and what the shards run, without a server.

use super::bind::bind;
use super::catalog::{Catalog, Placement};
use super::combine::{Stop, Types};
use super::parse;
use super::shape::{Body, Effort, Shape, shape};
use crate::routing::KeyType;

fn catalog() -> Catalog {
    let sharded = || Placement::Sharded(Some("k".to_owned()));
    Catalog::of(
        KeyType::BigInt,
        &[
            (
                "a",
                sharded(),
                &[
                    ("id", "bigint"),
                    ("k", "bigint"),
                    ("x", "text"),
                    ("n", "integer"),
                ],
            ),
            (
                "b",
                sharded(),
                &[
                    ("id", "bigint"),
                    ("k", "bigint"),
                    ("y", "text"),
                    ("n", "integer"),
                ],
            ),
            (
                "r",
                Placement::Reference,
                &[("id", "bigint"), ("z", "text"), ("l", "text[]")],
            ),
            ("local", Placement::Undeclared, &[("id", "bigint")]),
        ],
    )
}

fn shaped(sql: &str) -> Shape {
    let catalog = catalog();
    let query = parse::query(sql).unwrap_or_else(|refusal| panic!("{sql}: {refusal}"));
    let bound = bind(*query, &catalog).unwrap_or_else(|refusal| panic!("{sql}: {refusal}"));
    let mut types = Types::new();
    loop {
        match shape(&bound, &catalog, &types, Effort::ALL[0]) {
            Ok(shape) => return shape,
            Err(Stop::Refused(refusal)) => panic!("{sql}: {refusal}"),
            Err(Stop::Ask(question)) => {
                types.insert(question.to_string(), vec!["int4".to_owned(); 16]);
            }
        }
    }
}

/// The tier, and what the shards run.
fn tier(sql: &str) -> (&'static str, Vec<String>) {
    let Shape { pins, body } = shaped(sql);
    let mut keys: Vec<_> = pins.into_iter().flatten().flatten().collect();
    keys.dedup();
    if keys.len() == 1 {
        return ("pass", Vec::new());
    }
    match body {
        Body::Anywhere => ("pass", Vec::new()),
        Body::OneShard(_) => ("refused", Vec::new()),
        Body::Push(push) => ("push", vec![push.fragment.query.to_string()]),
        Body::Combine(combined) => {
            let texts = combined.fragments.iter().map(|f| f.query.to_string());
            let tier = if combined.only_partials {
                "split"
            } else {
                "pull"
            };
            (tier, texts.collect())
        }
    }
}

#[test]
fn tiers() {
    for (wanted, sql) in [
        // All that is asked for is on one shard.
        ("pass", "SELECT sum(n) FROM a WHERE k = 1"),
        (
            "pass",
            "SELECT * FROM a JOIN b ON b.k = a.k WHERE a.k = $1 ORDER BY b.n LIMIT 3",
        ),
        (
            "pass",
            "SELECT * FROM a WHERE k = 1 AND n IN (SELECT n FROM b WHERE b.k = 1)",
        ),
        (
            "pass",
            "SELECT * FROM a, b WHERE a.k = 1 AND b.k = 1 AND a.n < b.n",
        ),
        ("pass", "SELECT random() FROM a WHERE k = 7"),
        ("pass", "SELECT z FROM r"),
        (
            "pass",
            "SELECT (SELECT count(*) FROM b WHERE b.k = a.k) FROM a WHERE a.k = 4",
        ),
        // The union of the shards' answers is right.
        (
            "push",
            "SELECT x FROM a WHERE n > 3 ORDER BY n DESC LIMIT 5",
        ),
        (
            "push",
            "SELECT a.x, b.y, r.z FROM a JOIN b USING (k) JOIN r ON r.id = b.id",
        ),
        (
            "push",
            "SELECT a.x, b.y FROM a LEFT JOIN b ON b.k = a.k AND b.n = 1",
        ),
        (
            "push",
            "SELECT k, count(*) FROM a GROUP BY k HAVING count(*) > 1",
        ),
        ("push", "SELECT DISTINCT k, x FROM a"),
        (
            "push",
            "SELECT sum(n) OVER (PARTITION BY k ORDER BY id) FROM a",
        ),
        (
            "push",
            "SELECT x FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND b.n > a.n)",
        ),
        ("push", "SELECT x FROM a WHERE k NOT IN (SELECT k FROM b)"),
        ("push", "SELECT x FROM a UNION ALL SELECT y FROM b"),
        ("push", "SELECT k FROM a EXCEPT SELECT k FROM b"),
        (
            "push",
            "WITH s AS (SELECT k, sum(n) t FROM a GROUP BY k) SELECT b.y, s.t FROM b JOIN s ON s.k = b.k",
        ),
        (
            "push",
            "SELECT s.t FROM a JOIN LATERAL (SELECT max(n) t FROM b WHERE b.k = a.k) s ON true",
        ),
        ("push", "SELECT x FROM a WHERE k = 1 OR k = 2"),
        // The shards' aggregates are enough.
        ("split", "SELECT count(*) FROM a"),
        (
            "split",
            "SELECT x, sum(n), avg(n) FROM a GROUP BY x ORDER BY 2 LIMIT 3",
        ),
        ("split", "SELECT count(DISTINCT x), sum(n) FROM a"),
        (
            "split",
            "SELECT x, sum(n) - max(n) FROM a GROUP BY ROLLUP (x)",
        ),
        (
            "split",
            "SELECT avg(t) FROM (SELECT k, sum(n) t FROM a GROUP BY k) s",
        ),
        // Rows are needed.
        ("pull", "SELECT array_agg(x ORDER BY id) FROM a"),
        ("pull", "SELECT x, rank() OVER (ORDER BY n) FROM a"),
        (
            "pull",
            "SELECT id FROM a ORDER BY count(*) OVER (PARTITION BY x), id",
        ),
        ("pull", "SELECT a.x FROM a JOIN b ON a.n = b.n"),
        ("pull", "SELECT r.z, a.x FROM r LEFT JOIN a ON a.id = r.id"),
        ("pull", "SELECT x FROM a UNION SELECT y FROM b"),
        ("pull", "SELECT x FROM a UNION ALL SELECT z FROM r"),
        ("pull", "SELECT x FROM a WHERE n > (SELECT avg(n) FROM a)"),
        (
            "split",
            "SELECT count(*) FROM a WHERE n > (SELECT avg(n) FROM a)",
        ),
        (
            "split",
            "SELECT x, sum(n) FROM a WHERE n NOT IN (SELECT n FROM b) GROUP BY x",
        ),
        (
            "pull",
            "SELECT x FROM a WHERE (n, x) IN (SELECT n, y FROM b)",
        ),
        ("pull", "SELECT (SELECT sum(a.n)) FROM a"),
        (
            "pull",
            "SELECT b.k, count(*) FROM a LEFT JOIN b ON b.k = a.k GROUP BY b.k, array_agg(a.x)",
        ),
        // What is above is an aggregate, for what it looks at is.
        (
            "pull",
            "SELECT (SELECT count(*) FILTER (WHERE a.n > 1)) FROM a",
        ),
        ("pull", "SELECT (SELECT array_agg(1 ORDER BY a.n)) FROM a"),
        ("pull", "SELECT json_arrayagg(x) FROM a"),
        // Its right side is kept whole, whatever the condition says.
        (
            "pull",
            "SELECT a.x FROM a RIGHT JOIN (a AS c JOIN b ON c.n = b.n) ON a.k = c.k AND c.k = b.k",
        ),
        (
            "pull",
            "SELECT x FROM a WHERE k = 1 LIMIT (SELECT count(*) FROM b)",
        ),
        // `k` is another column here.
        ("push", "SELECT t.n FROM a AS t (k, id) WHERE t.k = 1"),
        ("pass", "SELECT t.n FROM a AS t (k, id) WHERE t.id = 1"),
        ("refused", "SELECT random() FROM a"),
    ] {
        assert_eq!(tier(sql).0, wanted, "{sql}");
    }
}

#[test]
fn what_a_null_or_an_outer_join_hides() {
    // b.k may be NULL on every shard: groups of NULL would be one a shard.
    let (tier, _) = tier("SELECT b.k, count(*) FROM a LEFT JOIN b ON b.k = a.k GROUP BY b.k");
    assert_eq!(tier, "split");
    let (tier, _) = self::tier("SELECT DISTINCT b.k FROM a LEFT JOIN b ON b.k = a.k");
    assert_ne!(tier, "push");
    // A condition that an outer join's NULLs pass is not judged on the rows alone.
    let (_, texts) = self::tier("SELECT r.z FROM r LEFT JOIN a ON a.id = r.id WHERE a.n IS NULL");
    assert!(
        texts.iter().all(|text| !text.contains("IS NULL")),
        "{texts:?}"
    );
}

#[test]
fn shards_get_conditions_and_limits() {
    let (_, texts) = tier("SELECT array_agg(x ORDER BY id) FROM a WHERE n > 3");
    assert_eq!(
        texts,
        ["SELECT a.id, a.x FROM public.a AS a WHERE (a.n > 3)"]
    );
    let (_, texts) = tier("SELECT x FROM a ORDER BY n LIMIT 5 OFFSET 2");
    assert_eq!(texts.len(), 1);
    assert!(
        texts[0].contains("LIMIT ((5)::pg_catalog.int8 + (2)::pg_catalog.int8)"),
        "{texts:?}"
    );
    let (_, texts) =
        tier("SELECT a.x, b.y FROM a JOIN b ON a.n = b.n WHERE a.id = 1 AND b.id > a.id");
    assert_eq!(texts.len(), 2);
    assert!(texts[0].contains("WHERE (a.id = 1)"), "{texts:?}");
    assert!(!texts[1].contains("WHERE"), "{texts:?}");
}

#[test]
fn subqueries_that_are_run_first() {
    let Body::Combine(combined) = shaped(
        "SELECT x FROM a WHERE n > (SELECT avg(n) FROM a WHERE id > 3) AND EXISTS (SELECT FROM b WHERE n = 1) \
         AND n NOT IN (SELECT n FROM b)",
    )
    .body
    else {
        panic!()
    };
    let firsts: Vec<String> = combined
        .firsts
        .iter()
        .map(|f| f.query.to_string())
        .collect();
    assert_eq!(
        firsts,
        [
            "SELECT avg(a_2.n) FROM public.a AS a_2 WHERE a_2.id > 3",
            "SELECT 1 FROM public.b AS b WHERE b.n = 1 LIMIT 1",
            "SELECT b_2.n FROM public.b AS b_2",
        ]
    );
    let fragment = combined.fragments[0].query.to_string();
    assert_eq!(
        fragment,
        "SELECT a.x FROM public.a AS a WHERE (a.n > ($f0)) AND ($f1) AND (a.n <> ALL($f2))"
    );
}

#[test]
fn a_cte_is_evaluated_once() {
    let Body::Combine(combined) = shaped(
        "WITH few AS (SELECT n FROM b LIMIT 3) \
         SELECT count(*) FROM a WHERE n > (SELECT min(n) FROM few) AND n < (SELECT max(n) FROM few)",
    )
    .body
    else {
        panic!()
    };
    assert!(combined.firsts.is_empty());
    let ctes = combined.query.with.map_or(0, |with| with.cte_tables.len());
    assert_eq!((ctes, combined.fragments.len()), (1, 2));
}

#[test]
fn keys_narrow() {
    let only = |sql: &str| match shaped(sql).body {
        Body::Push(push) => push.fragment.only.len(),
        _ => panic!("{sql}"),
    };
    assert_eq!(only("SELECT x FROM a WHERE k IN (1, 2)"), 1);
    assert_eq!(only("SELECT x FROM a WHERE k = ANY ($1)"), 1);
    assert_eq!(only("SELECT x FROM a WHERE k = 1 OR (k = 2 AND n = 3)"), 1);
    assert_eq!(only("SELECT x FROM a WHERE k = 1 OR n = 3"), 0);
    assert_eq!(
        only("SELECT a.x FROM a JOIN b ON b.k = a.k WHERE b.k = 5"),
        1
    );
    assert_eq!(
        only("SELECT a.x FROM a LEFT JOIN b ON b.k = a.k AND b.k = 5"),
        0
    );
    assert_eq!(only("SELECT x FROM a WHERE NOT k = 1"), 0);
    assert_eq!(only("SELECT x FROM a WHERE k <> 1"), 0);
    assert_eq!(
        only("SELECT s.x FROM (SELECT k, x FROM a) s WHERE s.k = 1"),
        1
    );
}

#[test]
fn dependent_arrays_are_not_taken_apart() {
    let Body::Combine(combined) =
        shaped("SELECT r.id, r.z, r.l IS NULL, count(*) FROM a JOIN r ON r.id = a.n GROUP BY r.id")
            .body
    else {
        panic!("one node puts it together");
    };
    let text = combined.query.to_string();
    assert!(
        text.contains("mode() WITHIN GROUP (ORDER BY pgshard_f0.c4) IS NULL"),
        "{text}"
    );
    assert!(text.contains("(array_agg(pgshard_f0.c3))[1]"), "{text}");
}

#[test]
fn what_is_refused() {
    let catalog = catalog();
    for (sql, what) in [
        ("SELECT * FROM local", "local"),
        ("SELECT * FROM pg_class", "pg_class"),
        ("SELECT ctid FROM a", "ctid"),
        ("SELECT * FROM a FOR UPDATE", "FOR UPDATE"),
        ("SELECT * INTO t FROM a", "SELECT INTO"),
        (
            "WITH d AS (DELETE FROM a RETURNING *) SELECT * FROM d",
            "DELETE",
        ),
    ] {
        let refusal = parse::query(sql)
            .and_then(|query| bind(*query, &catalog).map(drop))
            .expect_err(sql);
        assert!(refusal.construct().contains(what), "{sql}: {refusal}");
    }
}
