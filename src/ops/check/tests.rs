//! Each rule on planted facts.

use std::collections::BTreeMap;

use super::archive::Archiver;
use super::extensions::Extensions;
use super::facts::{Answers, AppRole, Collation, HbaLine, Identity, Slot};
use super::*;

const CONFIG: &str = r#"
cluster = "bank"
database = "bankdb"
user = "app"
[routing]
hash = "pg"
key = "uuid"
buckets = 4096
version = 1
[[table]]
name = "customers"
key = "customer_id"
[[shard]]
id = "s0"
buckets = ["0-4095"]
[[shard.node]]
id = "s0a"
host = "127.0.0.1"
port = 5432
[[shard.node]]
id = "s0b"
host = "127.0.0.1"
port = 5433
"#;

fn config() -> Config {
    Config::parse(CONFIG, "shards.toml").unwrap()
}

fn good(standby: bool) -> Answers {
    let settings = [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("wal_log_hints", "off"),
        ("synchronous_standby_names", "ANY 1 (s0b)"),
        ("synchronous_commit", "on"),
        ("wal_level", "replica"),
        ("hot_standby", "on"),
        ("hot_standby_feedback", "on"),
        ("max_standby_streaming_delay", "30000"),
        ("max_slot_wal_keep_size", "1024"),
        ("max_connections", "100"),
        ("max_worker_processes", "8"),
        ("superuser_reserved_connections", "3"),
        ("password_encryption", "scram-sha-256"),
        ("ssl", "on"),
        ("ssl_min_protocol_version", "TLSv1.2"),
        ("idle_in_transaction_session_timeout", "60000"),
        ("autovacuum", "on"),
        ("archive_mode", "on"),
        ("archive_command", "shardctl wal push"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Answers {
        standby,
        version: 150_018,
        timeline: Some(1),
        clock: (0.002, 0.001),
        encrypted: true,
        settings: Ok(BTreeMap::from(settings)),
        pending: vec![],
        app_commit: None,
        app: Ok(AppRole::default()),
        hba: Ok(vec![HbaLine {
            line: 1,
            kind: "hostssl".into(),
            address: "10.0.0.0".into(),
            method: "scram-sha-256".into(),
            error: None,
        }]),
        collation: Ok(Collation {
            collate: "C.UTF-8".into(),
            ctype: "C.UTF-8".into(),
            provider: "c".into(),
            stored: Some("2.36".into()),
            actual: Some("2.36".into()),
        }),
        slots: Ok(vec![Slot {
            name: "s0b".into(),
            active: true,
            status: Some("reserved".into()),
        }]),
        senders: Ok(vec!["quorum".into()]),
        receiver: Ok(Some("streaming".into())),
        identity: Ok(Identity {
            cluster: "bank".into(),
            shard: "s0".into(),
            map_version: 1,
            schema_version: crate::ops::install::SCHEMA_VERSION,
            mode: "open".into(),
            note: String::new(),
            fenced: vec![],
        }),
        ledger_old: Ok(false),
        extensions: Ok(Extensions::default()),
        archiver: Ok(Archiver {
            last_failed: None,
            failing: false,
        }),
        tables: Ok(vec![]),
    }
}

fn facts() -> Facts {
    let node = |name: &str, standby| NodeFacts {
        shard: ShardId::new("s0").unwrap(),
        node: NodeId::new(name).unwrap(),
        local: false,
        answers: Ok(good(standby)),
    };
    Facts {
        shards: vec![ShardFacts {
            shard: ShardId::new("s0").unwrap(),
            nodes: vec![node("s0a", false), node("s0b", true)],
        }],
        patroni: vec![],
        silent: vec![],
        backups: vec![],
    }
}

fn ids(facts: &Facts) -> Vec<&'static str> {
    let config = config();
    let findings = judge(&config, &CheckOptions::new(&config), facts);
    findings.iter().map(Finding::id).collect()
}

/// What is found after the answers of a node were changed.
fn found(node: usize, change: impl FnOnce(&mut Answers)) -> Vec<&'static str> {
    let mut facts = facts();
    change(facts.shards[0].nodes[node].answers.as_mut().unwrap());
    ids(&facts)
}

fn set(node: usize, name: &str, value: &str) -> Vec<&'static str> {
    found(node, |answers| {
        let settings = answers.settings.as_mut().unwrap();
        settings.insert(name.to_owned(), value.to_owned());
    })
}

#[test]
fn nothing_is_wrong_with_a_good_one() {
    assert_eq!(ids(&facts()), Vec::<&str>::new());
}

#[test]
fn settings() {
    for (node, name, value, expected) in [
        (0, "fsync", "off", "fsync-off"),
        (1, "full_page_writes", "off", "full-page-writes-off"),
        (0, "synchronous_commit", "off", "sync-commit-off"),
        (0, "synchronous_commit", "local", "sync-commit-off"),
        (0, "synchronous_standby_names", "", "sync-off"),
        (0, "synchronous_standby_names", "ANY 1 (*)", "sync-star"),
        (0, "data_checksums", "off", "rewind-impossible"),
        (0, "data_checksums", "off", "checksums-off"),
        (0, "wal_level", "minimal", "wal-level"),
        (1, "hot_standby", "off", "hot-standby-off"),
        (1, "max_connections", "50", "standby-setting"),
        (1, "max_worker_processes", "4", "standby-setting"),
        (1, "hot_standby_feedback", "off", "replica-conflicts"),
        (1, "max_standby_streaming_delay", "-1", "replay-waits"),
        (0, "max_slot_wal_keep_size", "-1", "slot-unlimited"),
        (0, "password_encryption", "md5", "password-md5"),
        (0, "ssl", "off", "tls-off"),
        (0, "ssl_min_protocol_version", "TLSv1", "tls-old"),
        (
            0,
            "idle_in_transaction_session_timeout",
            "0",
            "idle-in-transaction",
        ),
        (0, "autovacuum", "off", "autovacuum-off"),
        (0, "max_connections", "20", "max-connections"),
    ] {
        let found = set(node, name, value);
        assert!(found.contains(&expected), "{name} = {value}: {found:?}");
    }
    // With hints it can be rewound.
    let found = found(0, |answers| {
        let settings = answers.settings.as_mut().unwrap();
        settings.insert("data_checksums".into(), "off".into());
        settings.insert("wal_log_hints".into(), "on".into());
    });
    assert_eq!(found, ["checksums-off"]);
}

#[test]
fn the_applications_own_setting_counts() {
    let found = found(0, |answers| answers.app_commit = Some("off".into()));
    assert_eq!(found, ["sync-commit-off"]);
}

#[test]
fn servers_and_places() {
    let mut down = facts();
    down.shards[0].nodes[0].answers = Err("refused".into());
    assert_eq!(ids(&down), ["primary-none", "node-unreachable"]);
    assert_eq!(found(1, |a| a.standby = false), ["primary-two"]);
    assert_eq!(found(1, |a| a.timeline = Some(2)), ["timeline-differs"]);
    assert_eq!(found(1, |a| a.receiver = Ok(None)), ["not-streaming"]);
    assert_eq!(found(0, |a| a.clock = (-3.0, 0.5)), ["clock"]);
    assert_eq!(found(0, |a| a.clock = (1.3, 0.5)), Vec::<&str>::new());
    assert_eq!(found(1, |a| a.version = 150_004), ["version-differs"]);
    let old = found(0, |a| a.version = 130_004);
    assert!(old.contains(&"version-old"), "{old:?}");
    let identity = |change: fn(&mut Identity)| found(0, |a| change(a.identity.as_mut().unwrap()));
    assert_eq!(identity(|i| i.shard = "s1".into()), ["identity"]);
    assert_eq!(identity(|i| i.map_version = 2), ["map-version"]);
    assert_eq!(identity(|i| i.schema_version = 2), ["schema-version"]);
    assert_eq!(identity(|i| i.mode = "drained".into()), ["closed"]);
    assert_eq!(identity(|i| i.fenced = vec!["s0b".into()]), ["closed"]);
    assert_eq!(found(0, |a| a.ledger_old = Ok(true)), ["ledger-grows"]);
    assert_eq!(
        found(0, |a| a.pending = vec!["port".into()]),
        ["restart-pending"]
    );
    let collation =
        |change: fn(&mut Collation)| found(1, |a| change(a.collation.as_mut().unwrap()));
    let stale = collation(|c| c.stored = Some("2.31".into()));
    assert_eq!(stale, ["collation-stale"]);
    let other = collation(|c| {
        c.stored = Some("2.31".into());
        c.actual = Some("2.31".into());
    });
    assert_eq!(other, ["collation-differs"]);
    let slot = |change: fn(&mut Slot)| found(0, |a| change(&mut a.slots.as_mut().unwrap()[0]));
    assert_eq!(slot(|s| s.active = false), ["slot-inactive"]);
    assert_eq!(slot(|s| s.status = Some("lost".into())), ["slot-lost"]);
    assert_eq!(
        found(0, |a| a.senders = Ok(vec!["async".into()])),
        ["sync-unmet"]
    );
}

#[test]
fn who_may_do_what() {
    let superuser = AppRole {
        superuser: true,
        powers: vec![],
    };
    assert_eq!(found(0, |a| a.app = Ok(superuser)), ["app-superuser"]);
    let powers = vec!["has BYPASSRLS".into(), "has CREATEROLE".into()];
    let app = AppRole {
        superuser: false,
        powers,
    };
    assert_eq!(found(0, |a| a.app = Ok(app)), ["app-powers", "app-powers"]);
    let hba = |kind: &str, address: &str, method: &str, error: Option<&str>| {
        found(0, |answers| {
            answers.hba.as_mut().unwrap().push(HbaLine {
                line: 2,
                kind: kind.into(),
                address: address.into(),
                method: method.into(),
                error: error.map(Into::into),
            });
        })
    };
    assert_eq!(hba("local", "", "peer", None), Vec::<&str>::new());
    assert_eq!(
        hba("host", "127.0.0.1", "scram-sha-256", None),
        Vec::<&str>::new()
    );
    assert_eq!(hba("local", "", "trust", None), ["hba-trust"]);
    assert_eq!(hba("hostssl", "10.0.0.0", "md5", None), ["hba-md5"]);
    assert_eq!(
        hba("hostssl", "10.0.0.0", "password", None),
        ["hba-password"]
    );
    assert_eq!(
        hba("host", "10.0.0.0", "scram-sha-256", None),
        ["hba-plaintext"]
    );
    assert_eq!(hba("host", "all", "reject", None), Vec::<&str>::new());
    assert_eq!(hba("", "", "", Some("bad")), ["hba-error"]);
    assert_eq!(found(0, |a| a.encrypted = false), ["tls-off"]);
}

#[test]
fn what_cannot_be_read_is_said() {
    let no = || "permission denied".to_owned();
    assert_eq!(found(0, |a| a.hba = Err(no())), ["unread"]);
    assert_eq!(found(0, |a| a.app = Err(no())), ["unread"]);
    assert_eq!(found(0, |a| a.slots = Err(no())), ["unread"]);
    assert_eq!(found(0, |a| a.collation = Err(no())), ["unread"]);
    assert_eq!(found(0, |a| a.ledger_old = Err(no())), ["unread"]);
    assert_eq!(found(1, |a| a.receiver = Err(no())), ["unread"]);
    assert_eq!(
        found(0, |a| a.senders = Ok(vec!["hidden".into()])),
        ["unread"]
    );
    assert_eq!(found(0, |a| a.identity = Err(no())), ["identity"]);
    assert!(found(0, |a| a.settings = Err(no())).contains(&"unread"));
}

#[test]
fn patroni() {
    let judged = |text: &str| {
        let mut facts = facts();
        let shard = ShardId::new("s0").unwrap();
        facts.patroni = vec![(shard, patroni::parse(text).unwrap())];
        ids(&facts)
    };
    let best = r#"{"ttl": 30, "loop_wait": 10, "retry_timeout": 10, "synchronous_mode": true,
                   "synchronous_mode_strict": true, "watchdog": {"mode": "required"},
                   "postgresql": {"use_pg_rewind": true}, "maximum_lag_on_failover": 1048576}"#;
    assert_eq!(judged(best), Vec::<&str>::new());
    let plain = best.replace(r#""synchronous_mode_strict": true,"#, "");
    assert_eq!(judged(&plain), ["patroni-sync-not-strict"]);
    let none = best.replace(
        r#""synchronous_mode": true"#,
        r#""synchronous_mode": false"#,
    );
    assert_eq!(judged(&none), ["patroni-sync"]);
    assert_eq!(judged(&best.replace("30", "20")), ["patroni-ttl"]);
    assert_eq!(
        judged(&best.replace("required", "off")),
        ["patroni-watchdog"]
    );
    assert_eq!(
        judged(&best.replace(r#"rewind": true"#, r#"rewind": false"#)),
        ["patroni-rewind"]
    );
    assert!(patroni::parse("<html>").is_err());
    let mut unanswered = facts();
    unanswered.silent = vec![(ShardId::new("s0").unwrap(), "refused".into())];
    assert_eq!(ids(&unanswered), ["unread"]);
}

#[test]
fn tables_and_extensions() {
    let table = |change: fn(&mut serde_json::Value)| {
        let mut table = serde_json::json!({"name": "public.customers", "exists": true, "sharded": true,
            "identified": true, "placement": true, "hidden": false, "rows": 7.0});
        change(&mut table);
        found(0, |answers| {
            answers.tables = Ok(vec![serde_json::from_value(table).unwrap()]);
        })
    };
    assert_eq!(table(|_| ()), Vec::<&str>::new());
    assert_eq!(
        table(|t| t["identified"] = false.into()),
        ["replica-identity"]
    );
    assert_eq!(
        table(|t| t["placement"] = false.into()),
        ["placement-unchecked"]
    );
    let reference = table(|t| {
        t["sharded"] = false.into();
        t["placement"] = false.into();
    });
    assert_eq!(reference, Vec::<&str>::new());
    assert_eq!(found(0, |a| a.tables = Err("denied".into())), ["unread"]);

    let absent = found(1, |a| {
        a.extensions.as_mut().unwrap().absent.push("hstore".into())
    });
    assert_eq!(absent, ["extension-absent"]);
    let mut two = facts();
    let mut other = facts().shards.remove(0);
    other.shard = ShardId::new("s1").unwrap();
    let answers = other.nodes[0].answers.as_mut().unwrap();
    let installed = &mut answers.extensions.as_mut().unwrap().installed;
    installed.insert("hstore".into(), "1.8".into());
    two.shards.push(other);
    let config = config();
    let findings = judge(&config, &CheckOptions::new(&config), &two);
    let differs = findings
        .iter()
        .find(|found| found.id() == "extension-differs");
    assert_eq!(differs.unwrap().evidence, "hstore: 1.8 on s1, none on s0");
}

#[test]
fn archives_and_backups() {
    assert_eq!(set(0, "archive_mode", "off"), ["archive-off"]);
    assert_eq!(set(0, "archive_command", ""), ["archive-failing"]);
    assert_eq!(set(1, "archive_mode", "off"), Vec::<&str>::new());
    let failing = found(0, |a| a.archiver.as_mut().unwrap().failing = true);
    assert_eq!(failing, ["archive-failing"]);
    let slot = found(0, |a| {
        a.slots.as_mut().unwrap()[0].status = Some("unreserved".into());
    });
    assert_eq!(slot, ["slot-lost"]);
    let backups = |age: facts::Read<Option<Duration>>| {
        let mut facts = facts();
        let allowed = Duration::from_secs(3600);
        let newest = archive::Newest { age, allowed };
        facts.backups = vec![(ShardId::new("s0").unwrap(), newest)];
        ids(&facts)
    };
    assert_eq!(
        backups(Ok(Some(Duration::from_secs(60)))),
        Vec::<&str>::new()
    );
    assert_eq!(backups(Ok(Some(Duration::from_secs(7200)))), ["backup-old"]);
    assert_eq!(backups(Ok(None)), ["backup-old"]);
    assert_eq!(backups(Err("no directory".into())), ["unread"]);
}
