//! Whole files: what is accepted, what is refused and how it is said.

use super::*;

mod documentation;
mod overlay;
mod refusals;
mod secrets;
mod sources;

/// A configuration that is accepted without a warning.
const GOOD: &str = r#"cluster = "bank"
database = "bankdb"
user = "app"
[routing]
hash = "pg"
key = "uuid"
buckets = 8
version = 3
[tls]
mode = "verify-full"
[pool]
max_size = 16
[timeouts]
connect = "3s"
[failover]
strict = true
[[table]]
name = "customers"
key = "customer_id"
[[reference]]
name = "currencies"
[[shard]]
id = "s0"
[[shard.node]]
id = "s0a"
host = "10.0.0.1"
port = 5432
[[shard.node]]
id = "s0b"
host = "10.0.0.2"
[[shard]]
id = "s1"
[[shard.node]]
id = "s1a"
host = "10.0.1.1"
[[shard.node]]
id = "s1b"
host = "10.0.1.2"
"#;

fn check(text: &str, environment: &Environment) -> Checked {
    Loader::new()
        .environment(environment.clone())
        .check_text(text, "dir/shards.toml")
}

fn check_alone(text: &str) -> Checked {
    check(text, &Environment::default())
}

fn lines(checked: &Checked) -> String {
    let problems: Vec<String> = checked.problems.iter().map(Problem::to_string).collect();
    problems.join("\n")
}

#[test]
fn a_good_file_is_accepted_silently() {
    let checked = check_alone(GOOD);
    assert_eq!(lines(&checked), "");
    let config = checked.into_config().unwrap();
    assert_eq!(config.cluster.as_str(), "bank");
    assert_eq!(config.map.version().0, 3);
    assert_eq!(config.map.buckets(), 8);
    assert_eq!(config.map.shards(), 2);
    assert_eq!(config.tls.mode, Some(TlsMode::VerifyFull));
    assert_eq!(config.application_name, "pgshard bank");
    assert_eq!(config.search_path, "public");
    assert!(config.failover.strict);
    assert_eq!(
        config.tables[0].name.to_string(),
        "\"public\".\"customers\""
    );
    let nodes: Vec<_> = config
        .nodes()
        .map(|(shard, node, config)| (shard.0, node.0, config.id.to_string(), config.port))
        .collect();
    assert_eq!(nodes[1], (0, 1, "s0b".into(), 5432));
    assert_eq!(nodes.len(), 4);
    let id = |text: &str| text.parse().unwrap();
    let (shard, node, found) = config.node(crate::id::NodeId::new("s1b").unwrap()).unwrap();
    assert_eq!((shard.0, node.0, found.host.as_str()), (1, 1, "10.0.1.2"));
    assert_eq!(config.shard(id("s1")).unwrap().0.0, 1);
    assert!(config.shard(id("s2")).is_none());
}

#[test]
fn buckets_may_have_named_owners_and_keys_be_pinned() {
    let text = GOOD
        .replace("id = \"s0\"\n", "id = \"s0\"\nbuckets = [\"0-4\", 7]\n")
        .replace("id = \"s1\"\n", "id = \"s1\"\nbuckets = [\"5-6\"]\n")
        .replace(
            "[tls]",
            "[[routing.pin]]\nkey = \"00000000-0000-0000-0000-00000000002A\"\nshard = \"s1\"\n[tls]",
        );
    let checked = check_alone(&text);
    assert_eq!(lines(&checked), "");
    let map = checked.into_config().unwrap().map;
    let owners: Vec<u16> = (0..8)
        .map(|bucket| map.owner(crate::id::Bucket(bucket)).unwrap().0)
        .collect();
    assert_eq!(owners, [0, 0, 0, 0, 0, 1, 1, 0]);
    let pinned = uuid::Uuid::from_u128(42);
    assert_eq!(map.locate(&pinned).unwrap().shard.0, 1);
}

#[test]
fn uuid_prefix_has_buckets_by_its_modulus_and_a_warning() {
    let text = GOOD.replace(
        "hash = \"pg\"\nkey = \"uuid\"\nbuckets = 8\n",
        "hash = \"uuid-prefix\"\nmodulus = 10\nnegative = \"floor\"\n",
    );
    let checked = check_alone(&text);
    assert_eq!(checked.problems.len(), 1, "{}", lines(&checked));
    assert_eq!(checked.problems[0].severity, Severity::Warning);
    assert!(lines(&checked).contains("shards.toml:5:8: hash \"uuid-prefix\""));
    assert!(lines(&checked).contains("version 7"));
    assert_eq!(checked.into_config().unwrap().map.buckets(), 10);
}

#[test]
fn every_problem_is_reported_at_once() {
    let text = GOOD
        .replace("user = \"app\"\n", "")
        .replace("buckets = 8", "buckets = 12")
        .replace("max_size = 16", "max_size = 0\nmaxwaiting = 3")
        .replace("connect = \"3s\"", "connect = 3")
        .replace("\"10.0.1.2\"", "\"10.0.1.1\"");
    let error = check_alone(&text).into_config().unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Config);
    let message = error.to_string();
    assert!(message.starts_with("dir/shards.toml cannot be used, for 6 reasons:\n"));
    for part in [
        "`user` is missing",
        "dir/shards.toml:6:11: buckets is 12",
        "pool.max_size is 0",
        "unknown field `maxwaiting` in [pool]: did you mean `max_waiting`?",
        "write \"3s\" or \"3ms\"",
        "10.0.1.1:5432 is the node s1a on line",
    ] {
        assert!(message.contains(part), "{part}\n{message}");
    }
    // In the order of the file.
    let lines: Vec<usize> = check_alone(&text)
        .problems
        .iter()
        .map(|problem| problem.place.as_ref().unwrap().line)
        .collect();
    assert!(lines.is_sorted(), "{lines:?}");
}

#[test]
fn debug_and_settings_never_show_a_secret() {
    let environment = Environment::with([("PGSHARD_PASSWORD", "hunter2")]);
    let checked = check(GOOD, &environment);
    let shown = format!("{environment:?} {checked:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let config = checked.into_config().unwrap();
    assert!(matches!(config.password, Some(PasswordSource::Given(_))));
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_file_that_is_missing_or_no_text_says_what_to_do() {
    let loader = Loader::new().environment(Environment::default());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shards.toml");
    let message = loader.load(&path).unwrap_err().to_string();
    assert!(message.contains("shardctl init"), "{message}");
    std::fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
    let message = loader.load(&path).unwrap_err().to_string();
    assert!(message.contains("not UTF-8"), "{message}");
    let large = vec![b'#'; (4 << 20) + 1];
    std::fs::write(&path, large).unwrap();
    let message = loader.load(&path).unwrap_err().to_string();
    assert!(message.contains("larger than 4 MiB"), "{message}");
}
