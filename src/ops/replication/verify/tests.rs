//! Rules over facts.

use serde_json::{Value, json};

use super::*;

fn facts(standby: bool) -> Value {
    json!({
        "version": 150_018, "system": "7574339487217265331", "standby": standby, "timeline": 2,
        "end": "0/5000000", "replayed": "0/5000000", "replay_age": standby.then_some(0.5),
        "data_directory": "/data", "prepared": 0,
        "receiver": standby.then(|| json!({
            "status": "streaming", "host": "127.0.0.1", "port": 5432, "slot": "s0b"
        })),
        "senders": [], "slots": [],
        "settings": {
            "wal_level": "replica", "hot_standby": true, "full_page_writes": true,
            "wal_log_hints": true, "data_checksums": true, "max_wal_senders": 10,
            "max_replication_slots": 10, "wal_keep_size": 0, "max_slot_wal_keep_size": 1024,
            "max_connections": 100, "max_prepared_transactions": 0, "max_worker_processes": 8,
            "max_locks_per_transaction": 64, "synchronous_standby_names": "",
            "synchronous_commit": "on", "primary_conninfo": "", "primary_slot_name": ""
        }
    })
}

fn sender(sync: &str) -> Value {
    json!({
        "name": "s0b", "state": "streaming", "sync": sync, "slot": "s0b",
        "flushed": "0/5000000", "replayed": "0/5000000"
    })
}

fn slot(name: &str, active: bool, retained: i64, status: &str) -> Value {
    json!({
        "name": name, "kind": "physical", "active": active, "retained": retained,
        "wal_status": status, "safe": null
    })
}

/// The problems of `s0a` and `s0b`, after changes of what they say.
fn problems(change: impl FnOnce(&mut Value, &mut Value)) -> [String; 2] {
    let text = "cluster = \"bank\"\ndatabase = \"bank\"\nuser = \"app\"\n[routing]\nhash = \"pg\"\n\
                key = \"uuid\"\nbuckets = 16\nversion = 1\n[[shard]]\nid = \"s0\"\n\
                [[shard.node]]\nid = \"s0a\"\nhost = \"127.0.0.1\"\nport = 1\n\
                [[shard.node]]\nid = \"s0b\"\nhost = \"127.0.0.1\"\nport = 2\n";
    let config = Config::parse(text, "shards.toml").unwrap();
    let (mut primary, mut standby) = (facts(false), facts(true));
    primary["senders"] = json!([sender("async")]);
    primary["slots"] = json!([slot("s0b", true, 0, "reserved")]);
    change(&mut primary, &mut standby);
    let servers: Vec<Server> = [primary, standby]
        .into_iter()
        .map(|server| serde_json::from_value(server).unwrap())
        .collect();
    let shard = &config.shards[0];
    let answers: Vec<Answer<'_>> = shard.nodes.iter().zip(servers.iter().map(Ok)).collect();
    let places = judge(shard, &answers, RETAINED);
    [0, 1].map(|at: usize| places[at].problems.join("; "))
}

#[test]
fn all_is_well() {
    assert_eq!(problems(|_, _| ()), ["", ""]);
}

#[test]
fn each_problem_is_named() {
    let on_primary = |text: &str, change: fn(&mut Value)| {
        let [primary, _] = problems(|primary, _| change(primary));
        assert!(primary.contains(text), "{text}: {primary}");
    };
    on_primary("slot s0b is lost", |p| {
        p["slots"] = json!([slot("s0b", false, 0, "lost")]);
    });
    on_primary("keeps 2000000000 bytes of the log: its reader", |p| {
        p["slots"] = json!([slot("s0b", false, 2_000_000_000, "extended")]);
    });
    on_primary("slot old is inactive: nobody reads", |p| {
        p["slots"] = json!([slot("old", false, 5, "reserved")]);
    });
    on_primary("a slot that nobody reads from fills the disk", |p| {
        p["settings"]["max_slot_wal_keep_size"] = json!(-1);
    });
    on_primary("every COMMIT waits", |p| {
        p["settings"]["synchronous_standby_names"] = json!("ANY 1 (s0c)");
    });
    on_primary("COMMIT waits for no standby", |p| {
        p["settings"]["synchronous_standby_names"] = json!("ANY 1 (s0b)");
        p["settings"]["synchronous_commit"] = json!("local");
        p["senders"] = json!([sender("quorum")]);
    });
    on_primary("wal_level = minimal", |p| {
        p["settings"]["wal_level"] = json!("minimal")
    });
    on_primary("max_wal_senders = 1", |p| {
        p["settings"]["max_wal_senders"] = json!(1)
    });
    on_primary("never be rewound", |p| {
        p["settings"]["wal_log_hints"] = json!(false);
        p["settings"]["data_checksums"] = json!(false);
    });
    on_primary("no primary", |p| p["standby"] = json!(true));

    let on_standby = |text: &str, change: fn(&mut Value)| {
        let [_, standby] = problems(|_, standby| change(standby));
        assert!(standby.contains(text), "{text}: {standby}");
    };
    on_standby("streams from nobody", |s| s["receiver"] = Value::Null);
    on_standby("its receiver is waiting", |s| {
        s["receiver"]["status"] = json!("waiting")
    });
    on_standby("another cluster", |s| s["system"] = json!("1"));
    on_standby("is on timeline 1", |s| s["timeline"] = json!(1));
    on_standby("max_connections is 50, less than the primary's 100", |s| {
        s["settings"]["max_connections"] = json!(50);
    });
    on_standby("holds a password", |s| {
        s["settings"]["primary_conninfo"] = json!("host=a password=x");
    });
    on_standby("hot_standby = off", |s| {
        s["settings"]["hot_standby"] = json!(false)
    });
    on_standby("another major version", |s| s["version"] = json!(160_001));
    on_standby("two primaries", |s| s["standby"] = json!(false));
}
