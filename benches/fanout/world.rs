//! The servers, their rows, and the ways to them.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use pgshard::fdw::{Branch, Fdw, FdwOptions, Layout, Report, Reporting, Source};
use pgshard::local::bank::Bank;
use pgshard::local::{LocalCluster, LocalSpec};
use pgshard::ops::Credentials;
use pgshard::{Cluster, Config, CustomerId};
use tokio_postgres::{Client, NoTls, Statement};
use uuid::Uuid;

use super::shape::Shape;

const SHARDS: usize = 4;
/// Transactions of a customer.
const EACH: usize = 100;
/// Prime, and so without a factor in common with the number of rows.
const STRIDE: usize = 7919;

/// A connection of the contestant that does all by hand.
pub(crate) struct Raw {
    pub(crate) client: Client,
    /// By the shape's name.
    pub(crate) statements: BTreeMap<&'static str, Statement>,
    /// What puts groups together.
    pub(crate) combine: Statement,
}

pub(crate) struct World {
    pub(crate) cluster: Cluster,
    /// By shard.
    pub(crate) raw: Vec<Raw>,
    /// On the reporting server.
    pub(crate) report: Client,
    /// In another database there, with the layout `partitions`.
    pub(crate) partitions: Client,
    customers: Vec<(CustomerId, usize)>,
    servers: [LocalCluster; 2],
}

impl World {
    pub(crate) async fn start(rows: usize, workers: usize) -> World {
        assert!(rows >= EACH && !rows.is_multiple_of(STRIDE), "{rows} rows");
        let spec = |shards| LocalSpec {
            shards,
            replicas: 0,
            settings: vec![(
                "max_parallel_workers_per_gather".to_owned(),
                workers.to_string(),
            )],
            ..LocalSpec::default()
        };
        let shards = LocalCluster::start(spec(SHARDS)).await.expect("shards");
        let server = LocalCluster::start(spec(1)).await.expect("a server");
        let mut config = shards.install(|_| ()).await.expect("an installation");
        config.timeouts.statement = Duration::from_secs(600);
        let customers = load(&shards, &config, rows).await;
        // Chosen for this run, and of no use to anybody outside it.
        let password = Uuid::new_v4().to_string();
        readers(&shards, &password).await;
        let cluster = Cluster::connect(config.clone()).expect("a client");
        let ready = cluster.ready(Duration::from_secs(30)).await;
        ready.expect("primaries");
        let place = Place {
            shards: &shards,
            cluster: &cluster,
            server: &server,
            password: &password,
        };
        let report = place.reporting("reports", Layout::Views).await;
        let partitions = place.reporting("partitions", Layout::Partitions).await;
        let guide = guide(&shards, &config, &password);
        report.batch_execute(&guide).await.expect("guide's views");
        let nodes = shards.shards().iter().map(|shard| shard.primary().id());
        let raw = nodes.map(|node| raw(shards.app_conninfo(node).expect("a node")));
        World {
            raw: join_all(raw).await,
            cluster,
            report,
            partitions,
            customers,
            servers: [shards, server],
        }
    }

    /// A customer and the shard.
    pub(crate) fn customer(&self, turn: usize) -> (CustomerId, usize) {
        self.customers[turn * STRIDE % self.customers.len()]
    }

    pub(crate) async fn end(self) {
        self.cluster.close().await;
        drop(self.servers);
    }
}

async fn connect(config: tokio_postgres::Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("a session");
    tokio::spawn(connection);
    client
}

async fn raw(config: tokio_postgres::Config) -> Raw {
    let client = connect(config).await;
    let mut statements = BTreeMap::new();
    for shape in Shape::ALL {
        let statement = client.prepare(&shape.sql("public")).await;
        statements.insert(shape.name(), statement.expect("a statement"));
    }
    let combine = client.prepare(super::raw_combine::COMBINE).await;
    Raw {
        combine: combine.expect("a statement"),
        client,
        statements,
    }
}

/// Writes the customers, an account and the transactions of each. No two transactions are booked at the
/// same time, and the order of time is no order of anything else.
async fn load(shards: &LocalCluster, config: &Config, rows: usize) -> Vec<(CustomerId, usize)> {
    let bank = Bank::new(1, (rows / EACH) as u64);
    let place = |id: &CustomerId| config.map.locate(id).expect("a place").shard.index();
    let customers: Vec<_> = bank.customers().map(|c| (c.id, place(&c.id))).collect();
    for (shard, server) in shards.shards().iter().enumerate() {
        let here = customers.iter().enumerate().filter(|(_, c)| c.1 == shard);
        let (numbers, ids): (Vec<i64>, Vec<Uuid>) =
            here.map(|(number, (id, _))| (number as i64, id.0)).unzip();
        let owner = shards.owner_conninfo(server.primary().id());
        let owner = connect(owner.expect("a node")).await;
        owner
            .execute(
                "INSERT INTO customers (customer_id, full_name, email, country) \
                 SELECT id, 'Customer ' || number, id || '@example.org', 'DE' \
                 FROM unnest($1::uuid[], $2::bigint[]) t (id, number)",
                &[&ids, &numbers],
            )
            .await
            .expect("customers");
        owner
            .batch_execute(
                "INSERT INTO bank_accounts (customer_id, account_id, currency) \
                 SELECT customer_id, customer_id, 'EUR' FROM customers",
            )
            .await
            .expect("accounts");
        let sql = format!(
            "INSERT INTO transactions \
             (customer_id, transaction_id, account_id, kind, amount, booked_at) \
             SELECT id, pg_catalog.gen_random_uuid(), id, \
                    ('{{deposit,withdrawal,card,transfer,fee}}'::text[])[place % 5 + 1], \
                    (place % 99991 + 1) / 100.0, \
                    '2026-01-01Z'::timestamptz + place * interval '1 second' \
             FROM unnest($1::uuid[], $2::bigint[]) t (id, number), \
                  generate_series(0, {EACH} - 1) each, \
                  LATERAL (SELECT (number * {EACH} + each) * {STRIDE} % {rows}) p (place)"
        );
        let written = owner.execute(&sql, &[&ids, &numbers]).await;
        written.expect("transactions");
        for table in ["customers", "bank_accounts", "transactions"] {
            let vacuum = format!("VACUUM ANALYZE {table}");
            owner.batch_execute(&vacuum).await.expect("statistics");
        }
    }
    customers
}

/// Makes the role on the shards that reports read as.
async fn readers(shards: &LocalCluster, password: &str) {
    for shard in shards.shards() {
        let superuser = shards.superuser_conninfo(shard.primary().id());
        let superuser = connect(superuser.expect("a node")).await;
        superuser
            .batch_execute(&format!(
                "CREATE ROLE reports LOGIN PASSWORD '{password}'; \
                 GRANT SELECT ON ALL TABLES IN SCHEMA public TO reports"
            ))
            .await
            .expect("a role");
    }
}

/// What a reporting database is made from.
struct Place<'a> {
    shards: &'a LocalCluster,
    cluster: &'a Cluster,
    server: &'a LocalCluster,
    password: &'a str,
}

impl Place<'_> {
    /// Makes a database that reads the shards in the schema `reporting`, with a report view for each
    /// shape; a session there.
    async fn reporting(&self, database: &str, layout: Layout) -> Client {
        let mut settings = self.server.superuser_conninfo("s0a").expect("a node");
        let superuser = connect(settings.clone()).await;
        let create = format!("CREATE DATABASE {database}");
        superuser.batch_execute(&create).await.expect("a database");
        settings.dbname(database);

        let mut options = FdwOptions::new(Credentials {
            user: "reports".to_owned(),
            password: Some(self.password.to_owned().into()),
        });
        options.source = Source::Primaries;
        options.layout = layout;
        let config = self.cluster.config();
        let mut fdw = Fdw::plan(config, options).await.expect("a plan");
        for shape in Shape::ALL {
            if let Some(sql) = shape.reported() {
                let report = self.report(&fdw, shape.view(), &sql).await;
                fdw = fdw.with_report(report);
            }
        }
        let own = settings.get_password().expect("a password");
        let reporting = Reporting {
            host: "127.0.0.1".to_owned(),
            port: settings.get_ports()[0],
            database: database.to_owned(),
            role: Credentials {
                user: settings.get_user().expect("a user").to_owned(),
                password: Some(String::from_utf8_lossy(own).into_owned().into()),
            },
            tls: Default::default(),
        };
        fdw.apply(&reporting).await.expect("views");
        connect(settings).await
    }

    async fn report(&self, fdw: &Fdw, name: String, sql: &str) -> Report {
        let plan = self.cluster.sql(sql, &[]).report().await.expect("a report");
        let written = |shard| {
            let sql = plan.branch(|table| fdw.foreign_table(shard, table));
            let sql = sql.expect("tables");
            Branch { shard, sql }
        };
        let shards = self.shards.shards().iter();
        Report::Split {
            name,
            branches: shards.map(|shard| written(shard.id())).collect(),
            combine: plan.combine(|_| None).expect("no table"),
        }
    }
}

/// What the last chapter of the operators' guide makes, for the tables that are asked for.
fn guide(shards: &LocalCluster, config: &Config, password: &str) -> String {
    let database = &config.database;
    let mut sql = "CREATE SCHEMA guide;".to_owned();
    for (n, shard) in shards.shards().iter().enumerate() {
        let port = shard.primary().port();
        sql += &format!(
            "CREATE SCHEMA shard{n};
             CREATE SERVER shard{n} FOREIGN DATA WRAPPER postgres_fdw
                 OPTIONS (host '127.0.0.1', port '{port}', dbname '{database}');
             CREATE USER MAPPING FOR CURRENT_USER SERVER shard{n}
                 OPTIONS (user 'reports', password '{password}');
             IMPORT FOREIGN SCHEMA public LIMIT TO (customers, transactions)
                 FROM SERVER shard{n} INTO shard{n};"
        );
    }
    for table in ["customers", "transactions"] {
        let parts = (0..SHARDS).map(|n| format!("SELECT * FROM shard{n}.{table}"));
        let parts: Vec<String> = parts.collect();
        let all = parts.join(" UNION ALL ");
        sql += &format!("CREATE VIEW guide.{table} AS {all};");
    }
    sql
}
