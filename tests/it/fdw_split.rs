//! Report views from the planner's own split: their rows are the cluster's and the oracle's, and the
//! shards aggregate.

use pgshard::fdw::{Branch, Change, Fdw, Report, Source, remove, remove_report};
use pgshard::query::{Refusal, Tier};
use pgshard::{Cluster, ErrorKind};

use crate::fdw_views::{Stage, inventory};
use crate::support::start;
use crate::support::truth::{
    Ask as _, BANK, Case, Compare, EVENTS, Expect, Order, Outcome, Params, Schema, Truth, World,
    cases, compare, world,
};

/// The truth's shards with a reporting server.
struct Desk {
    stage: Stage,
    cluster: Cluster,
    oracle: pgshard::raw::Client,
}

impl Desk {
    async fn new(world: World) -> Desk {
        let World {
            local,
            cluster,
            oracle,
        } = world;
        let config = cluster.config().clone();
        Desk {
            stage: Stage::over(local, config, start(1, 0).await).await,
            cluster,
            oracle,
        }
    }

    async fn planned(&self) -> Fdw {
        let mut options = self.stage.options();
        options.source = Source::Primaries;
        Fdw::plan(&self.stage.config, options).await.unwrap()
    }

    async fn report(&self, fdw: &Fdw, name: &str, sql: &str) -> pgshard::Result<(Tier, Report)> {
        let plan = self.cluster.sql(sql, &[]).report().await?;
        let shards: Vec<_> = self.stage.config.shards.iter().map(|s| s.id).collect();
        let branches = shards.iter().map(|&shard| {
            let sql = plan.branch(|table| fdw.foreign_table(shard, table))?;
            Ok(Branch { shard, sql })
        });
        let report = Report::Split {
            name: name.to_owned(),
            branches: branches.collect::<pgshard::Result<_>>()?,
            combine: plan.combine(|table| fdw.foreign_table(shards[0], table))?,
        };
        Ok((plan.tier(), report))
    }

    async fn session(&self) -> tokio_postgres::Client {
        let session = self.stage.session().await;
        let pins = "SET TimeZone = 'UTC'; SET extra_float_digits = 1";
        session.batch_execute(pins).await.unwrap();
        session
    }
}

/// Every query of the corpus that is taken as a report says as one what the oracle says.
async fn the_truth(schema: &Schema, at_least: usize) {
    let world = world(schema, 2).await;
    let mut truths: Vec<(Case, Truth)> = Vec::new();
    for case in cases(schema.name) {
        if case.params.is_empty() && matches!(case.expect, Expect::Answer) {
            let truth = Truth::of(&case, &world).await;
            truths.push((case, truth));
        }
    }
    let desk = Desk::new(world).await;
    if schema.name == "events" {
        // What the columns are of.
        let session = desk.stage.session().await;
        crate::support::truth::prepare(&session, schema).await;
    }
    let mut fdw = desk.planned().await;
    fdw.apply(&desk.stage.reporting()).await.unwrap();
    let session = desk.session().await;
    let path = "SET search_path = pg_catalog, reporting";
    session.batch_execute(path).await.unwrap();
    let (mut taken, mut unnamed) = (Vec::new(), 0);
    for (case, truth) in &truths {
        match desk.report(&fdw, &case.name, &case.sql).await {
            Ok((_, report)) => {
                // Collations and types that are not PostgreSQL's own have to be named with their schema.
                let sql = fdw.report_sql(&report).unwrap();
                let (_, select) = sql.split_once(" AS\n").unwrap();
                let (select, _) = select.split_once("\n);\nGRANT").unwrap();
                if let Err(error) = session.prepare(&format!("{select})")).await {
                    let code = error.code().map(|code| code.code().to_owned());
                    assert_eq!(code.as_deref(), Some("42704"), "{}: {error:?}", case.name);
                    unnamed += 1;
                    continue;
                }
                fdw = fdw.with_report(report);
                taken.push((case, truth));
            }
            Err(error) => assert!(Refusal::of(&error).is_some(), "{}: {error:?}", case.name),
        }
    }
    println!(
        "{}: {} of {} are reports; {unnamed} more name something without its schema",
        schema.name,
        taken.len(),
        truths.len()
    );
    assert!(taken.len() >= at_least, "{} are reports", taken.len());
    fdw.apply(&desk.stage.reporting()).await.unwrap();
    let mut wrong = Vec::new();
    for (case, truth) in taken {
        let sql = format!("SELECT * FROM reporting.\"{}\"", case.name);
        let got = session.ask(&sql, &Params::default()).await;
        let (Outcome::Answer(got, _), Outcome::Answer(expected, _)) = (&got, &truth.outcome) else {
            wrong.push(format!("{}: {got:?}", case.name));
            continue;
        };
        if let Err(difference) = compare(got, expected, truth.all.as_ref(), &case.compare) {
            wrong.push(format!("{}: {difference}\n{}", case.name, case.sql));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_of_the_bank_say_what_the_oracle_says() {
    the_truth(&BANK, 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_of_the_events_say_what_the_oracle_says() {
    the_truth(&EVENTS, 300).await;
}

/// What the shards have to be asked, and how.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// At the same time.
    Together(&'static str),
    /// At the same time, if the servers estimate: PostgreSQL takes a join that it cannot estimate for a nested
    /// loop.
    Estimated(&'static str),
    /// The inner part, or in an order: one shard after the other.
    InTurn(&'static str),
    /// For rows: the answer is right, and slow.
    ForRows,
}

use Asked::{Estimated, ForRows, InTurn, Together};

/// Name, statement, tier, and what the shards have to be asked.
const PUSHED: &[(&str, &str, Tier, Asked)] = &[
    (
        "kinds",
        "SELECT kind, count(*) AS n, sum(amount) AS total, avg(amount)::numeric(20, 6) AS mean, min(booked_at) AS first, \
         max(booked_at) AS last FROM transactions GROUP BY kind ORDER BY kind COLLATE \"C\"",
        Tier::Split,
        Together("count(*)"),
    ),
    (
        "total",
        "SELECT count(*), sum(balance) FROM bank_accounts",
        Tier::Split,
        Together("sum(balance)"),
    ),
    (
        "countries",
        "SELECT count(DISTINCT country) AS countries FROM customers",
        Tier::Split,
        Together("GROUP BY"),
    ),
    (
        "busy",
        "SELECT country, count(*) AS n FROM customers GROUP BY country HAVING count(*) > 2 ORDER BY n DESC, country LIMIT 3",
        Tier::Split,
        Together("count(*)"),
    ),
    (
        "by_country",
        "SELECT c.country, count(*) AS n, sum(a.balance) AS balance FROM customers c \
         JOIN bank_accounts a USING (customer_id) GROUP BY c.country ORDER BY c.country",
        Tier::Split,
        Estimated("INNER JOIN"),
    ),
    (
        "by_currency",
        "SELECT r.name, count(*) AS n FROM bank_accounts a JOIN currencies r USING (currency) \
         GROUP BY r.name ORDER BY r.name",
        Tier::Split,
        Estimated("INNER JOIN"),
    ),
    (
        "days",
        "SELECT date_trunc('day', booked_at AT TIME ZONE 'UTC') AS day, count(*) AS n FROM transactions \
         GROUP BY 1 ORDER BY 1",
        Tier::Split,
        ForRows,
    ),
    (
        "bins",
        "SELECT date_bin('1 day', booked_at, timestamptz '2000-01-01 00:00:00+00') AS day, count(*) AS n \
         FROM transactions GROUP BY 1 ORDER BY 1",
        Tier::Split,
        Together("date_bin"),
    ),
    (
        "past",
        "SELECT kind, count(*) AS n FROM transactions WHERE booked_at < now() - interval '1 hour' \
         GROUP BY kind ORDER BY kind",
        Tier::Split,
        Together("count(*)"),
    ),
    (
        "filtered",
        "SELECT count(*) FILTER (WHERE amount > 10) AS large, max(amount) AS largest, bool_or(amount > 100) AS huge \
         FROM transactions WHERE kind <> 'fee'",
        Tier::Split,
        Together("FILTER"),
    ),
    (
        "newest",
        "SELECT transaction_id, booked_at FROM transactions ORDER BY booked_at DESC, transaction_id LIMIT 7",
        Tier::Push,
        InTurn("LIMIT"),
    ),
    (
        "one_by_one",
        "SELECT customer_id, count(*) AS n, sum(amount) AS total FROM transactions GROUP BY customer_id \
         ORDER BY customer_id",
        Tier::Push,
        InTurn("GROUP BY"),
    ),
    (
        "rich",
        "SELECT s.n, count(*) AS customers FROM (SELECT customer_id, count(*) AS n FROM bank_accounts \
         GROUP BY customer_id) s GROUP BY s.n ORDER BY s.n",
        Tier::Split,
        InTurn("count(*)"),
    ),
];

/// What is wrong with how the shards are asked for a view.
async fn not_asked(
    desk: &Desk,
    name: &str,
    asked: Asked,
    at_once: Option<usize>,
) -> Option<String> {
    let view = format!("SELECT * FROM reporting.{name}");
    let plan = desk.stage.explain("VERBOSE, COSTS OFF", &view).await;
    let remote: Vec<_> = plan.lines().filter(|l| l.contains("Remote SQL")).collect();
    let wanted = match asked {
        Together(text) | InTurn(text) => text,
        // Right anyway, and slow.
        ForRows => return None,
        Estimated(_) if at_once.is_none() => return None,
        Estimated(text) => text,
    };
    let scans = plan.matches("Async Foreign Scan").count();
    let fine = remote.len() == 2
        && remote.iter().all(|line| line.contains(wanted))
        && at_once.is_none_or(|wanted| scans == wanted);
    (!fine).then(|| format!("{name}:\n{plan}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_is_the_planners_and_the_shards_aggregate() {
    let desk = Desk::new(world(&BANK, 2).await).await;
    let server = desk.stage.reporting();
    let before = inventory(&desk.stage.session().await).await;
    let mut fdw = desk.planned().await;
    for (name, sql, tier, _) in PUSHED {
        let (found, report) = desk.report(&fdw, name, sql).await.unwrap();
        assert_eq!(found, *tier, "{name}");
        fdw = fdw.with_report(report);
    }
    fdw.apply(&server).await.unwrap();
    let session = desk.session().await;
    let exact = Compare::new(Order::Exact);
    let mut faults = Vec::new();
    for (name, sql, _, asked) in PUSHED {
        let view = format!("SELECT * FROM reporting.{name}");
        let answer = |outcome: Outcome| match outcome {
            Outcome::Answer(answer, _) => answer,
            other => panic!("{name}: {other:?}"),
        };
        let none = Params::default();
        let got = answer(session.ask(&view, &none).await);
        assert!(!got.rows.is_empty(), "{name}");
        for truth in [
            answer(desk.oracle.ask(sql, &none).await),
            answer(desk.cluster.ask(sql, &none).await),
        ] {
            let same = compare(&got, &truth, None, &exact);
            same.unwrap_or_else(|difference| panic!("{name}: {difference}"));
        }
        let at_once = matches!(asked, Together(_)).then_some(2);
        faults.extend(not_asked(&desk, name, *asked, at_once).await);
    }
    let mut estimating = desk.stage.options();
    estimating.source = Source::Primaries;
    estimating.remote_estimate = true;
    let estimating = Fdw::plan(&desk.stage.config, estimating).await.unwrap();
    estimating.apply(&server).await.unwrap();
    for (name, _, _, asked) in PUSHED {
        if let Estimated(_) = asked {
            faults.extend(not_asked(&desk, name, *asked, Some(2)).await);
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    desk.planned().await.apply(&server).await.unwrap();

    // Later applies, which know no statement, keep them; one that is dropped is gone alone.
    assert_eq!(desk.planned().await.diff(&server).await.unwrap(), []);
    remove_report(&desk.stage.config, &server, "reporting", "days")
        .await
        .unwrap();
    assert_eq!(desk.planned().await.diff(&server).await.unwrap(), []);
    let (_, other) = desk
        .report(&fdw, "total", "SELECT count(*) AS n FROM bank_accounts")
        .await
        .unwrap();
    let changes = desk
        .planned()
        .await
        .with_report(other)
        .apply(&server)
        .await
        .unwrap();
    assert_eq!(changes.len(), 1, "{changes:#?}");
    assert_eq!(changes[0].change, Change::Replace);
    remove(&desk.stage.config, &server).await.unwrap();
    assert_eq!(inventory(&session).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_gather_rows_is_no_report() {
    let desk = Desk::new(world(&BANK, 2).await).await;
    let fdw = desk.planned().await;
    for (sql, construct) in [
        ("SELECT country FROM customers WHERE country = $1", "$1"),
        // Rows of several shards meet.
        (
            "SELECT string_agg(full_name, ', ' ORDER BY full_name) AS names FROM customers",
            "the statement",
        ),
        (
            "SELECT a.country FROM customers a JOIN customers b ON a.country = b.country",
            "the statement",
        ),
        (
            "SELECT count(*) AS a, (SELECT count(*) FROM customers) AS b FROM bank_accounts",
            "the statement",
        ),
        ("SELECT random() AS r FROM customers", "random()"),
        ("SELECT name FROM currencies", "the statement"),
        (
            "SELECT count(*), count(country) FROM customers",
            "column count",
        ),
        ("SELECT count(c) AS n FROM customers c", "a whole row"),
        (
            "SELECT full_name, count(*) AS n FROM customers GROUP BY customer_id",
            "GROUP BY",
        ),
        (
            "WITH partials AS (SELECT country FROM customers) SELECT country, count(*) AS n FROM partials \
             GROUP BY country",
            "partials",
        ),
        ("DELETE FROM customers", "the statement"),
    ] {
        let error = desk.report(&fdw, "r", sql).await.unwrap_err();
        let refusal = Refusal::of(&error).unwrap_or_else(|| panic!("{sql}: {error:?}"));
        assert_eq!(refusal.construct(), construct, "{sql}: {refusal}");
    }
    let error = desk
        .report(&fdw, "r", "SELECT nothing FROM customers")
        .await;
    let code = error.unwrap_err().sqlstate().map(|code| code.to_string());
    assert_eq!(code.as_deref(), Some("42703"));

    // A report over some of the shards would be a wrong one over all.
    let (_, report) = desk
        .report(&fdw, "r", "SELECT count(*) AS n FROM customers")
        .await
        .unwrap();
    let Report::Split {
        name,
        mut branches,
        combine,
    } = report
    else {
        panic!("no split");
    };
    branches.pop();
    let some = fdw.with_report(Report::Split {
        name,
        branches,
        combine,
    });
    let error = some.apply(&desk.stage.reporting()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
    assert!(error.to_string().contains("s1"), "{error}");
}
