//! Changes over shards reach the shards of their keys and no others, or are refused. PgDog #259 and
//! #981: a multi-row INSERT landed on every shard; #639: IN was answered by one shard.

use pgshard::local::LocalCluster;
use pgshard::query::{Executed, Refusal};
use pgshard::{Cluster, CustomerId, Error, ErrorKind, Label};
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::support::{client, installed, owner, superuser};

type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

struct Bank {
    local: LocalCluster,
    cluster: Cluster,
    /// An owner's session on each shard.
    owners: Vec<Client>,
}

impl Bank {
    /// Two customers on each shard, `c0` and `c2` on the first, `c1` and `c3` on the second, with an
    /// account each.
    async fn new(shards: usize) -> (Bank, Vec<CustomerId>) {
        let (local, config) = installed(shards, 0).await;
        let cluster = client(config).await;
        let mut owners = Vec::new();
        for shard in 0..shards {
            let owner = owner(&local, &format!("s{shard}a")).await;
            owner
                .batch_execute(
                    "GRANT DELETE ON customers, bank_accounts TO app; \
                     GRANT INSERT, UPDATE, DELETE ON currencies TO app",
                )
                .await
                .unwrap();
            owners.push(owner);
        }
        let bank = Bank {
            local,
            cluster,
            owners,
        };
        let ids: Vec<CustomerId> = (0..2 * shards)
            .map(|n| bank.id_on(n % shards, n as u128))
            .collect();
        for (n, id) in ids.iter().enumerate() {
            let owner = &bank.owners[n % shards];
            let name = format!("c{n}");
            owner
                .execute(
                    "INSERT INTO customers (customer_id, full_name, email, country) \
                     VALUES ($1, $2, 'a@example.com', 'CH')",
                    &[id, &name],
                )
                .await
                .unwrap();
            owner
                .execute(
                    "INSERT INTO bank_accounts VALUES ($1, $1, 'CHF', 10)",
                    &[id],
                )
                .await
                .unwrap();
        }
        (bank, ids)
    }

    /// A key of a shard.
    fn id_on(&self, shard: usize, salt: u128) -> CustomerId {
        let name = format!("s{shard}");
        (1..)
            .map(|n| CustomerId(Uuid::from_u128(salt * 1_000_003 + n * 7919)))
            .find(|id| self.cluster.session(id).unwrap().shard().as_str() == name)
            .unwrap()
    }

    /// What a query finds on each shard, in its order.
    async fn found(&self, sql: &str) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        for owner in &self.owners {
            let rows = owner.query(sql, &[]).await.unwrap();
            found.push(rows.iter().map(|row| row.get(0)).collect());
        }
        found
    }

    async fn changed(&self) -> Vec<Vec<String>> {
        self.found("SELECT full_name FROM customers WHERE status = 'blocked' ORDER BY 1")
            .await
    }

    async fn names(&self) -> Vec<Vec<String>> {
        self.found("SELECT full_name FROM customers ORDER BY 1")
            .await
    }

    async fn reset(&self) {
        for owner in &self.owners {
            owner
                .batch_execute("UPDATE customers SET status = 'active'")
                .await
                .unwrap();
        }
    }

    async fn run(&self, sql: &str, params: Params<'_>) -> pgshard::Result<Executed> {
        self.cluster.sql(sql, params).execute().await
    }

    async fn all(&self, sql: &str) -> pgshard::Result<Executed> {
        self.cluster.sql(sql, &[]).all_shards().execute().await
    }

    /// Refused, and not even by `all_shards()` allowed.
    async fn refused(&self, sql: &str, construct: &str, reason: &str) {
        for outcome in [self.run(sql, &[]).await, self.all(sql).await] {
            refusal(outcome, sql, construct, reason);
        }
    }
}

#[track_caller]
fn refusal(
    outcome: pgshard::Result<Executed>,
    sql: &str,
    construct: &str,
    reason: &str,
) -> Refusal {
    let error = match outcome {
        Ok(done) => panic!("{sql}: {done:?}"),
        Err(error) => error,
    };
    let Some(refusal) = Refusal::of(&error) else {
        panic!("{sql}: {error:?}");
    };
    assert_eq!(error.kind(), ErrorKind::Refused, "{sql}");
    assert!(error.has(Label::NOT_SENT), "{sql}");
    assert!(refusal.construct().contains(construct), "{sql}: {refusal}");
    assert!(refusal.reason().contains(reason), "{sql}: {refusal}");
    assert!(!refusal.instead().is_empty(), "{sql}");
    refusal.clone()
}

fn shards(done: &Executed) -> Vec<(String, u64)> {
    let shards = done.shards.iter();
    shards
        .map(|shard| {
            let committed = shard.outcome.as_ref().unwrap();
            (shard.shard.to_string(), committed.value)
        })
        .collect()
}

fn rows(shards: &[(&str, u64)]) -> Vec<(String, u64)> {
    shards
        .iter()
        .map(|(id, n)| ((*id).to_owned(), *n))
        .collect()
}

fn state(outcome: pgshard::Result<Executed>) -> String {
    let error: Error = outcome.unwrap_err();
    error
        .sqlstate()
        .unwrap_or_else(|| panic!("{error:?}"))
        .as_str()
        .to_owned()
}

/// A change, its parameters, how many rows it touches where, and of how many shards.
type Case<'a> = (&'a str, Params<'a>, &'a [(&'a str, u64)], usize);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_and_deletes_go_to_the_shards_of_their_keys() {
    let (bank, ids) = Bank::new(3).await;
    let (a, b) = (ids[0], ids[1]);
    let both = vec![a, b];
    // With the rows that each shard tells, and whose status is changed.
    let block = "UPDATE customers SET status = 'blocked' WHERE";
    let one = format!("{block} customer_id = $1");
    let any = format!("{block} customer_id = ANY ($1)");
    let or = format!("{block} (customer_id = $1 OR customer_id = $2) AND full_name LIKE 'c%'");
    let literal =
        format!("UPDATE customers AS c SET status = 'blocked' WHERE c.customer_id = '{a}'");
    let joined = "UPDATE bank_accounts b SET status = 'frozen' FROM currencies r \
                  WHERE r.currency = b.currency AND r.name = 'Swiss franc' AND b.customer_id = $1";
    let colocated = "UPDATE customers c SET status = 'blocked' FROM bank_accounts b \
                     WHERE b.customer_id = c.customer_id AND b.customer_id = $1";
    let nested = format!(
        "{block} customer_id = $1 AND EXISTS (SELECT FROM bank_accounts b \
         WHERE b.customer_id = customers.customer_id)"
    );
    let upper = "UPDATE \"customers\" SET STATUS = 'blocked' WHERE \"customer_id\" IN ($1, $2)";
    let cases: &[Case<'_>] = &[
        (&one, &[&a], &[("s0", 1)], 1),
        (&any, &[&both], &[("s0", 1), ("s1", 1)], 2),
        (&or, &[&a, &b], &[("s0", 1), ("s1", 1)], 2),
        (&literal, &[], &[("s0", 1)], 1),
        (joined, &[&a], &[("s0", 1)], 0),
        (colocated, &[&b], &[("s1", 1)], 1),
        (&nested, &[&b], &[("s1", 1)], 1),
        (upper, &[&a, &b], &[("s0", 1), ("s1", 1)], 2),
    ];
    for (sql, params, expected, changed) in cases {
        bank.reset().await;
        let done = bank
            .run(sql, params)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(shards(&done), rows(expected), "{sql}");
        assert_eq!(bank.changed().await.concat().len(), *changed, "{sql}");
    }
    // No key at all: nothing is asked of any shard.
    let none: Option<Uuid> = None;
    let empty: Vec<Uuid> = Vec::new();
    bank.reset().await;
    let nothing: [(&str, Params<'_>); 2] = [(&one, &[&none]), (&any, &[&empty])];
    for (sql, params) in nothing {
        let done = bank.run(sql, params).await.unwrap();
        assert_eq!((done.rows(), done.shards.len()), (0, 0), "{sql}");
    }
    assert_eq!(bank.changed().await.concat().len(), 0);

    let done = bank
        .run(
            "DELETE FROM bank_accounts WHERE customer_id IN ($1, $2)",
            &[&a, &ids[3]],
        )
        .await
        .unwrap();
    assert_eq!(shards(&done), rows(&[("s0", 2)]));
    let done = bank
        .run(
            "DELETE FROM bank_accounts b USING customers c \
             WHERE c.customer_id = b.customer_id AND c.customer_id = $1",
            &[&b],
        )
        .await
        .unwrap();
    assert_eq!(shards(&done), rows(&[("s1", 1)]));
    let left = bank
        .found("SELECT customer_id::text FROM bank_accounts ORDER BY 1")
        .await;
    assert_eq!(
        left,
        [
            vec![],
            vec![ids[4].to_string()],
            vec![ids[2].to_string(), ids[5].to_string()].into_sorted()
        ]
    );
}

trait Sorted {
    fn into_sorted(self) -> Self;
}

impl Sorted for Vec<String> {
    fn into_sorted(mut self) -> Self {
        self.sort();
        self
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_all_shards_is_asked_for() {
    let (bank, _) = Bank::new(2).await;
    for sql in [
        "UPDATE customers SET status = 'blocked'",
        "UPDATE customers SET status = 'blocked' WHERE full_name > 'c0'",
        "DELETE FROM bank_accounts WHERE balance > 5",
        "DELETE FROM customers WHERE customer_id <> '00000000-0000-0000-0000-000000000000'",
    ] {
        let refusal = refusal(bank.run(sql, &[]).await, sql, "", "all shards");
        assert_eq!(refusal.position(), Some((1, 1)), "{sql}");
        assert!(refusal.instead().contains("all_shards()"), "{refusal}");
    }
    let done = bank
        .all("UPDATE customers SET status = 'blocked' WHERE full_name > 'c0'")
        .await;
    let done = done.unwrap();
    assert_eq!(shards(&done), rows(&[("s0", 1), ("s1", 2)]));
    assert_eq!(done.rows(), 3);
    assert_eq!(bank.changed().await, [vec!["c2"], vec!["c1", "c3"]]);
    // A random value for each row is no other on one database.
    bank.all("UPDATE customers SET full_name = random()::text, created_at = now()")
        .await
        .unwrap();

    // The same rows on all shards stay the same.
    let sql = "UPDATE currencies SET name = 'Franc' WHERE currency = 'CHF'";
    refusal(
        bank.run(sql, &[]).await,
        sql,
        "reference table",
        "all shards",
    );
    let insert = "INSERT INTO currencies VALUES ('JPY', 'Yen'), ('NOK', 'Krone')";
    refusal(
        bank.run(insert, &[]).await,
        insert,
        "reference table",
        "all shards",
    );
    assert_eq!(
        shards(&bank.all(sql).await.unwrap()),
        rows(&[("s0", 1), ("s1", 1)])
    );
    assert_eq!(
        shards(&bank.all(insert).await.unwrap()),
        rows(&[("s0", 2), ("s1", 2)])
    );
    let copy = "INSERT INTO currencies SELECT 'XX' || left(currency, 1), name FROM currencies \
                WHERE currency = 'JPY'";
    assert_eq!(bank.all(copy).await.unwrap().rows(), 2);
    for sql in [
        "UPDATE currencies SET name = random()::text",
        "UPDATE currencies SET name = now()::text",
        "DELETE FROM currencies WHERE random() < 0.5",
        "INSERT INTO currencies VALUES ('AAA', clock_timestamp()::text)",
        "INSERT INTO currencies VALUES ('AAA', current_date::text)",
        "INSERT INTO currencies SELECT 'AAA', gen_random_uuid()::text",
        "INSERT INTO currencies VALUES ('CHF', 'x') ON CONFLICT (currency) \
         DO UPDATE SET name = random()::text",
    ] {
        bank.refused(sql, "", "shard").await;
    }
    for sql in [
        "UPDATE currencies SET name = (SELECT min(full_name) FROM customers)",
        "DELETE FROM currencies r USING bank_accounts b WHERE b.currency = r.currency",
        "INSERT INTO currencies SELECT 'AAA', min(full_name) FROM customers",
        "INSERT INTO currencies VALUES ('AAA', (SELECT min(full_name) FROM customers))",
        "INSERT INTO currencies VALUES ('CHF', 'x') ON CONFLICT (currency) \
         DO UPDATE SET name = (SELECT min(full_name) FROM customers)",
    ] {
        bank.refused(sql, "", "other shards").await;
    }
    let currencies = bank
        .found("SELECT currency || name FROM currencies ORDER BY 1")
        .await;
    assert_eq!(currencies[0], currencies[1]);
}

/// PgDog #259 and #981.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_of_an_insert_lands_on_its_own_shard() {
    let (bank, _) = Bank::new(2).await;
    let ids: Vec<CustomerId> = (0..6).map(|n| bank.id_on(n % 2, 50 + n as u128)).collect();
    let done = bank
        .run(
            &format!(
                "INSERT INTO customers (email, country, customer_id, full_name) VALUES \
                 ($1, 'CH', $2, 'n0'), (lower('E@e'), $4, $3, 'n1'), ($1, $4, '{}', 'n2'), \
                 ($1, DEFAULT, '{}'::uuid, upper('n3'))",
                ids[2], ids[3]
            )
            .replace("DEFAULT", "'CH'"),
            &[&"a@b", &ids[0], &ids[1], &"DE"],
        )
        .await
        .unwrap();
    assert_eq!(shards(&done), rows(&[("s0", 2), ("s1", 2)]));
    assert_eq!(
        bank.names().await,
        [vec!["c0", "c2", "n0", "n2"], vec!["N3", "c1", "c3", "n1"]]
    );
    let mails = bank.found("SELECT email || country FROM customers WHERE full_name ~* 'n' ORDER BY full_name COLLATE \"C\"").await;
    assert_eq!(mails, [vec!["a@bCH", "a@bDE"], vec!["a@bCH", "e@eDE"]]);

    // Without a list of columns, with a default, and all for one shard.
    let sql = "INSERT INTO customers VALUES ($1, 'n4', 'd@e', 'CH', DEFAULT, DEFAULT)";
    assert_eq!(
        shards(&bank.run(sql, &[&ids[4]]).await.unwrap()),
        rows(&[("s0", 1)])
    );

    let upsert = "INSERT INTO customers AS t (customer_id, full_name, email, country) \
                  VALUES ($1, 'u0', 'u@u', 'CH'), ($2, 'u1', 'u@u', 'CH') \
                  ON CONFLICT (customer_id) DO UPDATE SET full_name = t.full_name || excluded.full_name";
    let done = bank.run(upsert, &[&ids[0], &ids[5]]).await.unwrap();
    assert_eq!(shards(&done), rows(&[("s0", 1), ("s1", 1)]));
    let nothing = upsert.replace(
        "DO UPDATE SET full_name = t.full_name || excluded.full_name",
        "DO NOTHING",
    );
    let done = bank.run(&nothing, &[&ids[0], &ids[5]]).await.unwrap();
    assert_eq!(shards(&done), rows(&[("s0", 0), ("s1", 0)]));
    assert_eq!(
        bank.names().await,
        [
            vec!["c0", "c2", "n0u0", "n2", "n4"],
            vec!["N3", "c1", "c3", "n1", "u1"]
        ]
    );
    // Many rows, each parameter used once.
    let many: Vec<Uuid> = (0..200)
        .map(|n| Uuid::from_u128((1 << 100) | (n * 97)))
        .collect();
    let values: Vec<String> = (1..=200)
        .map(|n| format!("(${n}, 'm', 'm@m', 'CH')"))
        .collect();
    let sql = format!(
        "INSERT INTO customers (customer_id, full_name, email, country) VALUES {}",
        values.join(", ")
    );
    let params: Vec<&(dyn ToSql + Sync)> = many.iter().map(|id| id as _).collect();
    assert_eq!(bank.run(&sql, &params).await.unwrap().rows(), 200);
    let found = bank
        .found("SELECT customer_id::text FROM customers WHERE full_name = 'm'")
        .await;
    for (shard, ids) in found.iter().enumerate() {
        for id in ids {
            let id = CustomerId(id.parse().unwrap());
            assert_eq!(
                bank.cluster.session(&id).unwrap().shard().to_string(),
                format!("s{shard}")
            );
        }
    }
    assert_eq!(found.concat().len(), 200);
}

/// PgDog #639.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_is_answered_by_all_shards_of_its_keys() {
    let (bank, ids) = Bank::new(2).await;
    let sql = "SELECT full_name FROM customers WHERE customer_id IN ($1, $2, $3) ORDER BY 1";
    let params: Params<'_> = &[&ids[0], &ids[1], &ids[3]];
    let query = bank.cluster.sql(sql, params);
    let names = query.query::<(String,)>().await.unwrap().rows;
    assert_eq!(names, ["c0", "c1", "c3"].map(|name| (name.to_owned(),)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_right_is_refused() {
    let (bank, ids) = Bank::new(2).await;
    let before = bank.names().await;
    let (a, b) = (ids[0], ids[1]);
    let insert = "INSERT INTO customers (customer_id, full_name, email, country)";
    let conflict =
        format!("{insert} VALUES ('{a}', 'x', 'x@x', 'CH'), ('{b}', 'y', 'y@y', 'CH') ON CONFLICT");
    let cases: &[(String, &str, &str)] = &[
        (format!("{insert} VALUES (NULL, 'x', 'x@x', 'CH')"), "NULL", "not NULL"),
        (format!("{insert} VALUES (DEFAULT, 'x', 'x@x', 'CH')"), "DEFAULT", "literal"),
        (format!("{insert} VALUES ('{a}', 'x', 'x@x', 'CH'), (gen_random_uuid(), 'x', 'x@x', 'CH')"), "gen_random_uuid()", "literal"),
        ("INSERT INTO customers (full_name, email, country) VALUES ('x', 'x@x', 'CH')".into(), "customer_id", "where a row belongs"),
        (format!("{insert} SELECT customer_id, 'x', 'x@x', 'CH' FROM bank_accounts"), "INSERT … SELECT", "other shards"),
        ("INSERT INTO customers DEFAULT VALUES".into(), "customer_id", "where a row belongs"),
        (format!("{insert} VALUES ('{a}', 'x', 'x@x', 'CH') RETURNING full_name"), "RETURNING", "rows"),
        (format!("UPDATE customers SET status = 'blocked' WHERE customer_id = '{a}' RETURNING 1"), "RETURNING", "rows"),
        (format!("DELETE FROM customers WHERE customer_id = '{a}' RETURNING *"), "RETURNING", "rows"),
        // The key is not to be changed.
        (format!("UPDATE customers SET customer_id = '{b}' WHERE customer_id = '{a}'"), "customer_id", "key"),
        (format!("UPDATE customers SET CUSTOMER_ID = '{b}' WHERE customer_id = '{a}'"), "CUSTOMER_ID", "key"),
        (format!("UPDATE customers SET \"customer_id\" = '{b}'"), "customer_id", "key"),
        (format!("UPDATE customers SET (full_name, customer_id) = ('x', '{b}') WHERE customer_id = '{a}'"), "customer_id", "key"),
        (format!("{conflict} (customer_id) DO UPDATE SET customer_id = excluded.customer_id"), "customer_id", "key"),
        (format!("{conflict} (customer_id) DO UPDATE SET (full_name, \"customer_id\") = ('x', excluded.customer_id)"), "customer_id", "key"),
        // Rows of other shards.
        ("UPDATE customers SET full_name = (SELECT max(full_name) FROM customers)".into(), "customers", "other shards"),
        (format!("UPDATE customers SET status = 'blocked' WHERE customer_id = '{a}' AND EXISTS (SELECT FROM bank_accounts WHERE customer_id = '{b}')"), "customers", "other shards"),
        ("DELETE FROM customers WHERE full_name NOT IN (SELECT full_name FROM customers c2 WHERE c2.status = 'blocked')".into(), "customers", "other shards"),
        ("UPDATE customers c SET full_name = d.full_name FROM customers d WHERE d.email = c.email".into(), "customers", "other shards"),
        (format!("{insert} VALUES ('{a}', (SELECT full_name FROM customers WHERE customer_id = '{b}'), 'x@x', 'CH')"), "customers", "other shards"),
        (format!("{insert} VALUES ('{a}', (SELECT max(full_name) FROM customers), 'x@x', 'CH')"), "customers", "other shards"),
        (format!("{conflict} (customer_id) DO UPDATE SET full_name = (SELECT max(full_name) FROM customers)"), "customers", "other shards"),
        (format!("{conflict} (customer_id) DO UPDATE SET full_name = 'x' WHERE EXISTS (SELECT FROM bank_accounts WHERE balance > 100)"), "customers", "other shards"),
        // Which rows these are depends on how many shards there are.
        (format!("{insert} VALUES ('{a}'::uuid, 'x', 'x@x', 'CH'), ('{b}'::uuid, 'y', 'y@y', 'CH') LIMIT 1"), "INSERT", ""),
        (format!("{insert} VALUES ('{a}'::uuid, 'x', 'x@x', 'CH'), ('{b}'::uuid, 'y', 'y@y', 'CH') ORDER BY 1 OFFSET 1"), "INSERT", ""),
        // Conflicts with rows of other shards.
        (
            format!("{conflict} (email) DO NOTHING"),
            "(email)",
            "other shards",
        ),
        // A WITH may read or change anything.
        (format!("WITH w AS (SELECT 1) UPDATE customers SET status = 'blocked' WHERE customer_id = '{a}'"), "WITH", ""),
        ("WITH w AS (DELETE FROM customers RETURNING 1) SELECT count(*) FROM w".into(), "", ""),
        ("MERGE INTO customers c USING bank_accounts b ON b.customer_id = c.customer_id WHEN MATCHED THEN DELETE".into(), "", ""),
        ("SELECT 1".into(), "query", "nothing"),
        ("TRUNCATE customers".into(), "TRUNCATE", "neither"),
        ("SET search_path = public".into(), "SET", "neither"),
    ];
    for (sql, construct, reason) in cases {
        bank.refused(sql, construct, reason).await;
    }
    // Positions are those of the construct.
    let sql = "INSERT INTO customers (full_name, customer_id, email, country)\n  VALUES ('x', NULL, 'x@x', 'CH')";
    let position = refusal(bank.run(sql, &[]).await, sql, "NULL", "").position();
    assert_eq!(position, Some((2, 16)));
    let sql = "UPDATE customers\nSET full_name = 'x',\n    customer_id = NULL";
    let position = refusal(bank.run(sql, &[]).await, sql, "customer_id", "").position();
    assert_eq!(position, Some((3, 5)));
    // The NULL may come with the parameters.
    let sql = format!("{insert} VALUES ($1, 'x', 'x@x', 'CH'), ($2, 'x', 'x@x', 'CH')");
    refusal(
        bank.run(&sql, &[&a, &None::<Uuid>]).await,
        &sql,
        "key",
        "NULL",
    );
    assert_eq!(bank.names().await, before);
    assert_eq!(bank.changed().await.concat().len(), 0);

    // Tables that are nobody's.
    for owner in &bank.owners {
        owner
            .batch_execute(
                "CREATE TABLE loose (customer_id uuid, x int); GRANT ALL ON loose TO app; \
                 CREATE VIEW seen AS SELECT * FROM customers; GRANT ALL ON seen TO app",
            )
            .await
            .unwrap();
    }
    for sql in [
        format!("UPDATE loose SET x = 1 WHERE customer_id = '{a}'"),
        format!("INSERT INTO loose VALUES ('{a}', 1)"),
        format!("DELETE FROM seen WHERE customer_id = '{a}'"),
        format!(
            "UPDATE customers SET status = 'blocked' FROM loose WHERE customers.customer_id = '{a}'"
        ),
    ] {
        let name = if sql.contains("seen") {
            "seen"
        } else {
            "loose"
        };
        bank.refused(&sql, name, "").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_some_shards_did_is_told() {
    let (bank, ids) = Bank::new(3).await;
    // The second shard's rows do not fit.
    bank.owners[1]
        .batch_execute("ALTER TABLE customers ADD CHECK (status <> 'blocked')")
        .await
        .unwrap();
    let sql = "UPDATE customers SET status = 'blocked' WHERE customer_id = ANY ($1)";
    let error = bank.run(sql, &[&ids]).await.unwrap_err();
    let done = Executed::of(&error).unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!(done.rows(), 4);
    assert_eq!(done.shards.len(), 3);
    let failed = done.shards[1].outcome.as_ref().unwrap_err();
    assert_eq!(failed.sqlstate().unwrap().as_str(), "23514");
    assert!(
        !error.has(Label::RETRYABLE) && !error.has(Label::NOT_SENT),
        "{error:?}"
    );
    assert_eq!(error.shard().map(|s| s.to_string()).as_deref(), Some("s1"));
    assert_eq!(
        bank.changed().await,
        [vec!["c0", "c3"], vec![], vec!["c2", "c5"]]
    );
    // One shard alone: its own error.
    let error = bank.run(sql, &[&vec![ids[1]]]).await.unwrap_err();
    assert!(Executed::of(&error).is_none());
    assert_eq!(error.sqlstate().unwrap().as_str(), "23514");

    // A shard that is down: the others are changed, and the caller must know.
    bank.reset().await;
    bank.local.kill("s1a").await.unwrap();
    let started = std::time::Instant::now();
    let change = bank
        .cluster
        .sql("UPDATE customers SET status = 'closed'", &[]);
    let change = change
        .all_shards()
        .within(std::time::Duration::from_secs(2));
    let error = change.execute().await.unwrap_err();
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
    let done = Executed::of(&error).unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!(done.rows(), 4);
    assert!(done.shards[1].outcome.is_err());
    assert!(
        !error.has(Label::RETRYABLE) && !error.has(Label::NOT_SENT),
        "{error:?}"
    );
    // What is asked of the others only is done, a description from a dead shard is not needed.
    let done = bank.run(sql, &[&vec![ids[0], ids[2]]]).await.unwrap();
    assert_eq!(shards(&done), rows(&[("s0", 1), ("s2", 1)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresqls_own_errors_come_through() {
    let (bank, ids) = Bank::new(2).await;
    let a = ids[0];
    assert_eq!(state(bank.run("UPDATE customers SET", &[]).await), "42601");
    assert_eq!(
        state(bank.run("UPDATE nowhere SET x = 1", &[]).await),
        "42P01"
    );
    assert_eq!(
        state(bank.run("UPDATE customers SET nothing = 1", &[]).await),
        "42703"
    );
    let update = "UPDATE customers SET status = 'odd' WHERE customer_id = $1";
    assert_eq!(state(bank.run(update, &[&a]).await), "23514");
    let duplicate = "INSERT INTO customers VALUES ($1, 'x', 'x@x', 'CH')";
    assert_eq!(state(bank.run(duplicate, &[&a]).await), "23505");
    let deny = "DELETE FROM transactions WHERE customer_id = $1";
    assert_eq!(state(bank.run(deny, &[&a]).await), "42501");
    // Wrong parameters are told before anything is sent.
    for params in [&[] as Params<'_>, &[&a, &a], &[&"no uuid"], &[&7_i64]] {
        let error = bank.run(duplicate, params).await.unwrap_err();
        assert!(error.has(Label::NOT_SENT), "{error:?}");
    }
    // A column that came after the first statement: the catalogue may be a second old.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    for owner in &bank.owners {
        owner
            .batch_execute(
                "ALTER TABLE customers ADD COLUMN note text; GRANT ALL ON customers TO app",
            )
            .await
            .unwrap();
    }
    let note = "UPDATE customers SET note = 'x' WHERE customer_id = $1 AND note IS NULL";
    assert_eq!(bank.run(note, &[&a]).await.unwrap().rows(), 1);
    let first = "INSERT INTO customers VALUES ($1, 'z', 'z@z', 'CH', DEFAULT, DEFAULT, 'n')";
    assert_eq!(
        bank.run(first, &[&bank.id_on(0, 99)]).await.unwrap().rows(),
        1
    );
}

/// The servers' own check stands behind it all: here a trigger moves rows to a key of another shard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_of_placement_still_guards() {
    let (local, config) = installed(2, 0).await;
    let cluster = client(config).await;
    let key = |n: u128| CustomerId(Uuid::from_u128(n * 7919));
    let on = |shard: &str| {
        (1..)
            .map(key)
            .find(|id| cluster.session(id).unwrap().shard().as_str() == shard)
            .unwrap()
    };
    let (here, there) = (on("s0"), on("s1"));
    let admin = superuser(&local, "s0a").await;
    admin
        .batch_execute(&format!(
            "CREATE FUNCTION public.moved() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN NEW.customer_id := '{there}'; RETURN NEW; END $$; \
             CREATE TRIGGER moved BEFORE INSERT ON public.customers FOR EACH ROW \
             EXECUTE FUNCTION public.moved()"
        ))
        .await
        .unwrap();
    let sql = "INSERT INTO customers VALUES ($1, 'x', 'x@x', 'CH'), ($2, 'y', 'y@y', 'CH')";
    let error = cluster
        .sql(sql, &[&here, &there])
        .execute()
        .await
        .unwrap_err();
    let done = Executed::of(&error).unwrap_or_else(|| panic!("{error:?}"));
    let failed = done.shards[0].outcome.as_ref().unwrap_err();
    assert_eq!(failed.sqlstate().unwrap().as_str(), "23514");
    assert_eq!(done.shards[1].outcome.as_ref().unwrap().value, 1);
}
