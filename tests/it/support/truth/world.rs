//! A sharded cluster, and the oracle that holds the same rows in one database.

use std::fmt::Write as _;
use std::time::Duration;

use futures::TryStreamExt;
use pgshard::config::{Environment, Loader};
use pgshard::local::LocalCluster;
use pgshard::ops::install::{Install, InstallOptions};
use pgshard::raw::Client;
use pgshard::routing::{HashFunction, KeyType, ShardMap};
use pgshard::{Cluster, Config};
use uuid::Uuid;

use super::super::{connect, ddl_role, owner, start, superuser};

/// A schema with its rows.
pub(crate) struct Schema {
    pub(crate) name: &'static str,
    /// `uuid` or `bigint`.
    key: KeyType,
    /// The key column in `placed`, a table that `data` fills the others from.
    placed: &'static str,
    schema: &'static [&'static str],
    data: &'static str,
    /// Sharded tables with their keys, parents first.
    tables: &'static [(&'static str, &'static str)],
    /// Reference tables; those with `true` come with their rows.
    references: &'static [(&'static str, bool)],
    /// A query for the keys with their number of rows.
    keys: &'static str,
    /// The key with many rows.
    heavy: &'static str,
}

/// The example bank, keyed by uuid.
pub(crate) const BANK: Schema = Schema {
    name: "bank",
    key: KeyType::Uuid,
    placed: "customer_id",
    schema: &[
        include_str!("../../../../schema/bank/001_tables.sql"),
        include_str!("../../../../schema/bank/002_currencies.sql"),
        include_str!("../../../../schema/bank/003_grants.sql"),
        "GRANT DELETE ON customers, bank_accounts, transactions TO app;
         GRANT UPDATE ON transactions TO app;",
    ],
    data: include_str!("../../../sql/bank/data.ddl"),
    tables: &[
        ("customers", "customer_id"),
        ("bank_accounts", "customer_id"),
        ("transactions", "customer_id"),
    ],
    references: &[("currencies", true)],
    keys: "SELECT md5(g::text)::uuid::text, CASE g WHEN 7 THEN 60 ELSE g * 7919 % 6 END FROM generate_series(1, 80) g",
    heavy: "8f14e45f-ceea-167a-5a36-dedd4bea2543",
};

/// Many types, gaps and names, keyed by bigint.
pub(crate) const EVENTS: Schema = Schema {
    name: "events",
    key: KeyType::BigInt,
    placed: "account",
    schema: &[include_str!("../../../sql/events/schema.ddl")],
    data: include_str!("../../../sql/events/data.ddl"),
    tables: &[
        ("events", "account"),
        ("sessions", "account"),
        ("devices", "owner"),
        ("\"Ledger Lines\"", "\"Account\""),
    ],
    references: &[("dimensions", false), ("tags", false)],
    keys: "SELECT g::text, CASE g WHEN 7 THEN 260 ELSE 3 + g * 7919 % 17 END FROM generate_series(1, 60) g
           UNION ALL VALUES ('0', 3), ('-5', 8), ('9007199254740993', 4), ('4611686018427387904', 0)",
    heavy: "7",
};

/// Both.
pub(crate) struct World {
    pub(crate) local: LocalCluster,
    pub(crate) cluster: Cluster,
    pub(crate) oracle: Client,
}

/// Keys, their numbers of rows, and their shards.
type Places = Vec<(String, i32, usize)>;

/// Where the keys live. Of three shards or more the last has none; of four or more the one before it
/// has a single key with one row. The key with many rows is on the first.
async fn place(oracle: &Client, schema: &Schema, shards: usize) -> Places {
    let keys = oracle.query(schema.keys, &[]).await.unwrap();
    let count = u16::try_from(shards).unwrap();
    let map = ShardMap::builder(HashFunction::Pg, schema.key).striped(count);
    let map = map.build().unwrap();
    let natural = |key: &str| match schema.key {
        KeyType::Uuid => map
            .locate(&key.parse::<Uuid>().unwrap())
            .unwrap()
            .shard
            .index(),
        _ => map
            .locate(&key.parse::<i64>().unwrap())
            .unwrap()
            .shard
            .index(),
    };
    let empty = (shards > 2).then(|| shards - 1);
    let lonely = (shards > 3).then(|| shards - 2);
    let mut alone = false;
    keys.iter()
        .map(|row| (row.get::<_, String>(0), row.get(1)))
        .map(|(key, rows)| match natural(&key) {
            _ if key == schema.heavy => (key, rows, 0),
            shard if Some(shard) == empty => (key, rows, 0),
            shard if Some(shard) == lonely && !alone => {
                alone = true;
                (key, 1, shard)
            }
            shard if Some(shard) == lonely => (key, rows, shard - 1),
            shard => (key, rows, shard),
        })
        .collect()
}

/// The configuration: the launcher's own, with the schema's tables and pins.
fn config(local: &LocalCluster, schema: &Schema, places: &Places) -> Config {
    let own = local.config_toml();
    let (_, shards) = own.split_once("[[shard]]").unwrap();
    let (head, _) = own.split_once("[routing]").unwrap();
    let mut text = head.replace(
        "cluster = \"bank\"",
        &format!("cluster = \"{}\"", schema.name),
    );
    let _ = write!(
        text,
        "[routing]\nhash = \"pg\"\nkey = \"{}\"\nbuckets = 4096\nversion = 1\n",
        schema.key
    );
    // A pin where the map says the same is no harm.
    for (key, _, shard) in places {
        let _ = write!(
            text,
            "[[routing.pin]]\nkey = \"{key}\"\nshard = \"s{shard}\"\n"
        );
    }
    for (table, key) in schema.tables {
        let key = key.trim_matches('"');
        let _ = write!(text, "[[table]]\nname = '{table}'\nkey = \"{key}\"\n");
    }
    for (table, _) in schema.references {
        let _ = write!(text, "[[reference]]\nname = \"{table}\"\n");
    }
    text += "[[shard]]";
    text += shards;
    Loader::new()
        .environment(Environment::default())
        .check_text(&text, local.config_file())
        .into_config()
        .unwrap()
}

/// The collations that the schema of events needs, of what this server has. Without ICU both are
/// PostgreSQL's own, and deterministic.
async fn collations(session: &Client) -> bool {
    let icu = "SELECT EXISTS (SELECT FROM pg_collation WHERE collname = 'en-x-icu')";
    let icu: bool = session.query_one(icu, &[]).await.unwrap().get(0);
    let make = if icu {
        "CREATE COLLATION public.lexical (provider = icu, locale = 'en');
         CREATE COLLATION public.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
    } else {
        "CREATE COLLATION public.lexical (provider = builtin, locale = 'C.UTF-8');
         CREATE COLLATION public.nocase (provider = builtin, locale = 'C.UTF-8')"
    };
    session.batch_execute(make).await.unwrap();
    icu
}

/// What every connection of the library has, too.
const PINS: &str = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; \
                    SET extra_float_digits = 1; SET search_path = public";

async fn make(session: &Client, schema: &Schema) {
    session.batch_execute(PINS).await.unwrap();
    if schema.name == "events" {
        collations(session).await;
    }
    session
        .batch_execute(&schema.schema.concat())
        .await
        .unwrap();
}

/// Makes a database know the types and collations of a schema's columns.
pub(crate) async fn prepare(session: &Client, schema: &Schema) {
    make(session, schema).await;
}

async fn oracle(local: &LocalCluster, schema: &Schema) -> Client {
    let mut settings = local.owner_conninfo("s0a").unwrap();
    let name = settings.get_user().unwrap().to_owned();
    let admin = superuser(local, "s0a").await;
    let create = format!("CREATE DATABASE oracle OWNER {name}");
    admin.batch_execute(&create).await.unwrap();
    settings.dbname("oracle");
    let session = connect(settings).await;
    make(&session, schema).await;
    session
}

/// Fills the oracle.
async fn fill(session: &Client, schema: &Schema, places: &Places) {
    let mut placed = format!(
        "CREATE TEMP TABLE placed ({} {} PRIMARY KEY, rows int, shard int);",
        schema.placed, schema.key
    );
    for (key, rows, shard) in places {
        let _ = write!(
            placed,
            "INSERT INTO placed VALUES ('{key}', {rows}, {shard});"
        );
    }
    session.batch_execute(&placed).await.unwrap();
    session.batch_execute(schema.data).await.unwrap();
    session.batch_execute("ANALYZE").await.unwrap();
}

async fn copy(from: &Client, select: &str, to: &Client, table: &str) {
    let out = format!("COPY ({select}) TO STDOUT");
    let data = from.copy_out(&out).await.unwrap();
    let data: Vec<_> = data.try_collect().await.unwrap();
    let sink = to
        .copy_in(&format!("COPY {table} FROM STDIN"))
        .await
        .unwrap();
    let mut sink = std::pin::pin!(sink);
    for chunk in data {
        futures::SinkExt::send(&mut sink, chunk).await.unwrap();
    }
    sink.finish().await.unwrap();
}

/// Starts both.
pub(crate) async fn world(schema: &Schema, shards: usize) -> World {
    let local = start(shards, 0).await;
    let oracle = oracle(&local, schema).await;
    let places = place(&oracle, schema, shards).await;
    fill(&oracle, schema, &places).await;
    let config = config(&local, schema, &places);
    for i in 0..shards {
        let session = owner(&local, &format!("s{i}a")).await;
        // The numbers of types differ between servers.
        for n in 0..i * 3 {
            let shift = format!("CREATE TYPE public.shift{n} AS ENUM ()");
            session.batch_execute(&shift).await.unwrap();
        }
        make(&session, schema).await;
    }
    let mut options = InstallOptions::new(ddl_role(&local));
    options.placement_check = true;
    let install = Install::plan(&config, options).await.unwrap();
    install.apply(|_| ()).await.unwrap();
    for i in 0..shards {
        let session = owner(&local, &format!("s{i}a")).await;
        for (table, key) in schema.tables {
            let select = format!(
                "SELECT t.* FROM {table} t JOIN placed p ON t.{key} = p.{} WHERE p.shard = {i} ORDER BY t.{key}",
                schema.placed
            );
            copy(&oracle, &select, &session, table).await;
        }
        for (table, filled) in schema.references {
            if !filled {
                copy(&oracle, &format!("SELECT * FROM {table}"), &session, table).await;
            }
        }
        session.batch_execute("ANALYZE").await.unwrap();
    }
    let cluster = Cluster::connect(config).unwrap();
    cluster.ready(Duration::from_secs(30)).await.unwrap();
    World {
        local,
        cluster,
        oracle,
    }
}
