//! Everything that is parsed, as functions that take any bytes and must neither panic nor hang. The fuzz
//! targets in `fuzz/` call them, and the tests with mutated examples.

use std::path::Path;

use crate::client::{Token, refuse_control};
use crate::config::{Environment, Loader, Pgpass, parse_duration};
use crate::fanout::{Aggregate, Merge, SortKey};
use crate::id::{ClusterId, CustomerId, Lsn, NodeId, ShardId};
use crate::monitor::stored::{StoredOrders, reign};
use crate::topology::{ReignHistory, Relation};

/// What the bench of planning calls.
#[cfg(feature = "sql")]
pub use crate::query::probe::{Planning, located};

/// All targets, by name, each with texts of the kind that it reads.
#[allow(clippy::type_complexity)]
pub const TARGETS: &[(&str, fn(&[u8]), &[&str])] = &[
    (
        "config",
        config,
        &[
            include_str!("bin/shardctl/init/shards.toml"),
            "cluster = \"bank\"\ndatabase = \"d\"\nuser = \"u\"\n[routing]\nhash = \"pg\"\nkey = \"uuid\"\n\
             buckets = 4096\nversion = 1\n[[shard]]\nid = \"s0\"\n[[shard.node]]\nid = \"a\"\nhost = \"h\"\n",
        ],
    ),
    (
        "token",
        token,
        &["1:bank:s2=67e55044-10b1-426f-9247-bb680e5fe0c8@0/16B3748"],
    ),
    (
        "pgpass",
        pgpass,
        &["# a comment\nhost:5432:*:user:pass\\:word\n*:*:*:*:x\n"],
    ),
    ("duration", duration, &["1500ms", "2s", "10min", "1h", "0"]),
    (
        "reigns",
        reigns,
        &["00000000-0000-0000-0000-000000000001||1|0/10\n\
             00000000-0000-0000-0000-000000000002|00000000-0000-0000-0000-000000000001|2|0/20"],
    ),
    (
        "orders",
        orders,
        &[
            r#"{"acts": 3, "mode": "drained", "mode_note": "", "fenced_nodes": ["a"],
              "fenced_reigns": [null], "chosen": null, "system_identifier": 7}"#,
        ],
    ),
    (
        "patroni",
        patroni,
        &[
            r#"{"state": "running", "role": "master", "dcs_last_seen": 1699999999,
              "patroni": {"version": "3.0.2", "scope": "s0", "name": "a"}}"#,
            r#"{"members": [{"name": "a", "role": "leader", "state": "running", "host": "10.0.0.1",
              "port": 5432, "api_url": "http://10.0.0.1:8008/patroni", "tags": {"noloadbalance": true}}],
              "scope": "s0"}"#,
            r#"{"ttl": 30, "loop_wait": 10}"#,
        ],
    ),
    (
        "etcd",
        etcd,
        &[
            r#"{"header": {"revision": "17"}, "kvs": [{"key": "L3M=", "value": "YQ==", "lease": "9"}]}"#,
            r#"{"result": {"header": {"revision": "18"}, "events": [{"type": "DELETE"}]}}"#,
            r#"{"result": {"canceled": true, "compact_revision": "12"}}"#,
        ],
    ),
    (
        "statement",
        statement,
        &[
            "SELECT a, count(DISTINCT b) FROM t /* c /* d */ */ WHERE x = $$y$$ OR y = E'\\'' LIMIT 10",
            "begin; select \"q\"\"\" -- x\n; commit",
        ],
    ),
    (
        "names",
        names,
        &["bank", "0/16B3748", "123e4567-e89b-12d3-a456-426614174000"],
    ),
];

fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

/// A configuration file.
pub fn config(data: &[u8]) {
    let loader = Loader::new()
        .environment(Environment::default())
        .without_secrets();
    let checked = loader.check_text(&text(data), Path::new("shards.toml"));
    for problem in &checked.problems {
        assert!(!problem.to_string().is_empty());
    }
    if let Ok(config) = checked.into_config() {
        let key = CustomerId(uuid::Uuid::from_u128(7));
        let _ = config.map.locate(&key);
        let _ = format!("{config:?}");
    }
}

/// A consistency token; one that is valid is written as it was meant.
pub fn token(data: &[u8]) {
    if let Ok(token) = text(data).parse::<Token>() {
        assert_eq!(token.to_string().parse(), Ok(token));
    }
}

/// A password file.
pub fn pgpass(data: &[u8]) {
    let _ = Pgpass::parse(&text(data)).find("host", 5432, "database", "user");
}

/// A duration of the configuration.
pub fn duration(data: &[u8]) {
    let _ = parse_duration(&text(data));
}

/// Rows of `pgshard.reign`, one a line, as a probe reads them.
pub fn reigns(data: &[u8]) {
    let rows: Option<Vec<_>> = text(data).lines().map(reign).collect();
    if let Some(Ok(history)) = rows.map(ReignHistory::new) {
        assert_eq!(history.relation(&history), Relation::Equal);
        assert!(history.contains(history.newest().id));
        assert_eq!(history.leaves(&history), None);
    }
}

/// Operators' decisions in `pgshard.identity`.
pub fn orders(data: &[u8]) {
    if let Ok(orders) = serde_json::from_slice::<StoredOrders>(data) {
        let _ = (orders.mode(), orders.system());
    }
}

/// Answers of Patroni's REST interface.
pub fn patroni(data: &[u8]) {
    crate::monitor::patroni::read_any(data);
}

/// Answers of etcd's JSON gateway.
pub fn etcd(data: &[u8]) {
    crate::monitor::etcd::read_any(data);
}

/// A statement: the lint of a fan-out, and the refusal of transaction control.
pub fn statement(data: &[u8]) {
    let sql = text(data);
    for merge in [
        Merge::concat(),
        Merge::ordered([SortKey::asc(1)]).limit(3),
        Aggregate::new().group_by(1).count(2).into(),
    ] {
        let _ = merge.lint(&sql);
    }
    let _ = refuse_control(&sql);
}

/// Names, keys and log positions; one that is valid is written as it was meant.
pub fn names(data: &[u8]) {
    let text = text(data);
    let _ = (
        ClusterId::new(&text),
        ShardId::new(&text),
        NodeId::new(&text),
    );
    let _ = text.parse::<CustomerId>();
    if let Ok(lsn) = text.parse::<Lsn>() {
        assert_eq!(lsn.to_string().parse(), Ok(lsn));
    }
}
