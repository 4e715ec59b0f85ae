//! One row a refusal: an edit of the good file, and what must be said, with its line.

use super::*;

/// Replaces in the good file; the first occurrence only.
fn edited(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

struct Case {
    from: &'static str,
    to: &'static str,
    line: usize,
    says: &'static str,
}

const fn case(from: &'static str, to: &'static str, line: usize, says: &'static str) -> Case {
    Case {
        from,
        to,
        line,
        says,
    }
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    // Names at the top.
    case("cluster = \"bank\"", "", 1, "`cluster` is missing: name the cluster"),
    case("\"bank\"", "\"the bank\"", 1, "`cluster` is not a valid name: \"the bank\" is not a valid name: use 1 to 32"),
    case("\"bank\"", "\"bänk\"", 1, "use 1 to 32 characters of a-z"),
    case("\"bank\"", "\"abcdefghijklmnopqrstuvwxyz0123456\"", 1, "use 1 to 32 characters"),
    case("\"bankdb\"", "\"\"", 2, "`database` is not a text: it is empty"),
    case("database = \"bankdb\"", "", 1, "`database` is missing: name the database"),
    case("\"app\"", "7", 3, "`user` is not a text: write a string in quotes"),
    case("user = \"app\"", "user = \"app\"\npassword = \"x\"", 4, "a password does not belong in this file: put it in a file"),
    case("user = \"app\"", "user = \"app\"\nusr = \"x\"", 4, "unknown field `usr` at the top level: did you mean `user`?"),
    case("user = \"app\"", "user = \"app\"\ncertificate = \"x\"", 4, "unknown field `certificate` at the top level: remove it; the fields here are"),
    case("user = \"app\"", "user = \"a\\nb\"", 3, "user is not a name"),
    case("user = \"app\"", "user = \"app\"\nsearch_path = \"a\\tb\"", 4, "search_path holds a control character"),
    // Syntax.
    case("user = \"app\"", "user = \"app", 3, "this is not TOML"),
    case("user = \"app\"", "user = \"app\"\nuser = \"b\"", 4, "this is not TOML: duplicate key"),
    case("[routing]", "[routing", 4, "this is not TOML"),
    // Routing.
    case("[routing]\nhash = \"pg\"\nkey = \"uuid\"\nbuckets = 8\nversion = 3\n", "", 1, "`[routing]` is missing: add it, with hash = \"pg\""),
    case("hash = \"pg\"\n", "", 4, "`hash` is missing in [routing]: write hash = \"pg\", or the one"),
    case("\"pg\"", "\"postgres\"", 5, "`hash` is not a hash function: write one of \"pg\", \"xxh3\", \"uuid-prefix\""),
    case("\"pg\"", "\"xxh4\"", 5, "did you mean \"xxh3\"?"),
    case("hash = \"pg\"\nkey = \"uuid\"", "hash = \"xxh3\"\nkey = \"text\"", 5, "hash \"xxh3\" does not take keys of type text: use hash \"pg\""),
    case("hash = \"pg\"\nkey = \"uuid\"\nbuckets = 8", "hash = \"uuid-prefix\"\nkey = \"bigint\"\nmodulus = 8\nnegative = \"abs\"", 5, "does not take keys of type bigint"),
    case("\"uuid\"", "\"guid\"", 6, "`key` is not a type of keys: did you mean \"uuid\"?"),
    case("buckets = 8", "buckets = 12", 7, "buckets is 12: it must be a power of two"),
    case("buckets = 8", "buckets = 0", 7, "buckets is 0: it must be a power of two"),
    case("buckets = 8", "buckets = 131072", 7, "buckets is 131072: it must be a power of two, at most 65536"),
    case("buckets = 8", "buckets = -8", 7, "`buckets` is not a whole number"),
    case("buckets = 8", "buckets = \"8\"", 7, "without quotes"),
    case("buckets = 8", "buckets = 1", 4, "there are 2 shards but only 1 buckets"),
    case("buckets = 8", "modulus = 8", 7, "`modulus` is for hash \"uuid-prefix\" only"),
    case("version = 3", "version = 0", 8, "version is 0: start at 1"),
    case("hash = \"pg\"\nkey = \"uuid\"\nbuckets = 8", "hash = \"uuid-prefix\"", 4, "`modulus` is missing in [routing]: write the one that"),
    case("hash = \"pg\"\nkey = \"uuid\"\nbuckets = 8", "hash = \"uuid-prefix\"\nmodulus = 4", 4, "`negative` is missing in [routing]: half of all UUIDs"),
    case("hash = \"pg\"\nkey = \"uuid\"\nbuckets = 8", "hash = \"uuid-prefix\"\nmodulus = 0\nnegative = \"abs\"", 6, "modulus is 0"),
    case("hash = \"pg\"\nkey = \"uuid\"\n", "hash = \"uuid-prefix\"\nmodulus = 8\nnegative = \"abs\"\n", 8, "as many buckets as its modulus: remove `buckets`"),
    case("version = 3", "[[routing.pin]]\nkey = \"x\"\nshard = \"s1\"", 9, "\"x\" is not a uuid: correct the key"),
    case("version = 3", "[[routing.pin]]\nkey = 5\nshard = \"s1\"", 9, "\"5\" is not a uuid"),
    case("version = 3", "[[routing.pin]]\nkey = \"00000000-0000-0000-0000-000000000000\"\nshard = \"s9\"", 10, "there is no shard s9: pin the key"),
    case("version = 3", "[[routing.pin]]\nkey = \"00000000-0000-0000-0000-000000000000\"", 8, "`shard` is missing in [routing.pin]"),
    case("version = 3", "[[routing.pin]]\nkey = \"ab000000-0000-0000-0000-000000000000\"\nshard = \"s0\"\n[[routing.pin]]\nkey = \"AB000000-0000-0000-0000-000000000000\"\nshard = \"s1\"", 12, "is pinned already: keep one"),
    // Owners of buckets.
    case("id = \"s0\"", "id = \"s0\"\nbuckets = [\"0-7\"]", 32, "the shard s1 does not say which buckets it owns: give `buckets` to all shards"),
    case("id = \"s0\"", "id = \"s0\"\nbuckets = [\"7-0\"]", 24, "it runs backwards; write \"0-7\""),
    case("id = \"s0\"", "id = \"s0\"\nbuckets = [\"all\"]", 24, "`buckets` is not a range of buckets: write \"0-1023\""),
    case("id = \"s0\"", "id = \"s0\"\nbuckets = \"0-7\"", 24, "`buckets` is not an array: write buckets = [\"0-1023\", …]"),
    // Shards and nodes.
    case("id = \"s1\"", "id = \"s0\"", 32, "the shard s0 is named on line 23 already"),
    case("id = \"s1\"\n", "", 31, "`id` is missing in [shard]: name the shard"),
    case("id = \"s1\"\n[[shard.node]]\nid = \"s1a\"\nhost = \"10.0.1.1\"\n[[shard.node]]\nid = \"s1b\"\nhost = \"10.0.1.2\"\n", "id = \"s1\"\n", 31, "the shard s1 has no nodes: add a [[shard.node]]"),
    case("\"s1b\"", "\"s0a\"", 37, "the node s0a is named on line 25 already"),
    case("\"10.0.1.2\"", "\"10.0.0.1\"", 38, "10.0.0.1:5432 is the node s0a on line 25 already"),
    case("\"10.0.1.2\"", "\"::ffff:10.0.0.1\"", 38, "is the node s0a on line 25 already"),
    case("host = \"10.0.1.2\"\n", "", 36, "`host` is missing in [shard.node]"),
    case("\"10.0.1.2\"", "\"postgres://h/db\"", 38, "is not a host: write the host alone"),
    case("\"10.0.1.2\"", "\"a,b\"", 38, "is not a host: one node is one server"),
    case("\"10.0.1.2\"", "\"h:5432\"", 38, "is not a host: write the port in `port`"),
    case("\"10.0.1.2\"", "\"0.0.0.0\"", 38, "is not a host: a server may listen there"),
    case("\"10.0.1.2\"", "\"a b\"", 38, "is not a host: write a host name"),
    case("port = 5432", "port = 0", 27, "port is 0"),
    case("port = 5432", "port = 5432\nproxy = \"haproxy\"", 28, "`proxy` is not a proxy: write one of \"pgbouncer\", \"pgpool\""),
    case("port = 5432", "port = 5432\nproxy = \"pgpool\"", 26, "s0a is a Pgpool-II, and the shard has other nodes"),
    case("port = 5432", "port = 65536", 27, "`port` is not a whole number from 0 to 65535"),
    case("port = 5432", "primary = true", 27, "which node is primary is not configured: remove it"),
    case("port = 5432", "password = \"x\"", 27, "a password does not belong in this file"),
    case("[[shard]]\nid = \"s1\"", "[[shards]]\nid = \"s1\"", 31, "unknown field `shards` at the top level: did you mean `shard`?"),
    // Tables.
    case("\"customers\"", "\"a.b.c\"", 18, "is not the name of a table: write \"table\" or \"schema.table\""),
    case("\"currencies\"", "\"public.customers\"", 21, "the table public.customers is on line 18 already"),
    case("key = \"customer_id\"\n", "", 17, "`key` is missing in [table]: name the column"),
    case("\"customer_id\"", "\"a123456789012345678901234567890123456789012345678901234567890123\"", 19, "is too long for a name in PostgreSQL"),
    case("[[table]]", "[table]", 17, "`table` is not an array of tables: write [[table]], with two brackets"),
    case("name = \"currencies\"", "name = \"currencies\"\nkey = \"code\"", 22, "a reference table has no key"),
    // Limits.
    case("max_size = 16", "max_size = 0", 12, "pool.max_size is 0: it must be from 1 to 1000; the default is 16"),
    case("max_size = 16", "max_size = 100000", 12, "pool.max_size is 100000"),
    case("max_size = 16", "max_waiting = 0", 12, "pool.max_waiting is 0"),
    case("max_size = 16", "max_lifetime = \"400d\"", 12, "pool.max_lifetime is 400d: it must be from 1s to 7d; the default is 30m"),
    case("[pool]", "[pol]", 11, "unknown field `pol` at the top level: did you mean `pool`?"),
    case("connect = \"3s\"", "connect = \"0s\"", 14, "timeouts.connect is 0ms: it must be from 10ms to 5m"),
    case("connect = \"3s\"", "statement = \"2d\"", 14, "timeouts.statement is 2d"),
    case("connect = \"3s\"", "connect = 3", 14, "`connect` is not a duration: a unit is missing; write \"3s\" or \"3ms\", in quotes"),
    case("connect = \"3s\"", "connect = \"3 weeks\"", 14, "write a whole number and a unit of ms, s, m, h or d"),
    case("strict = true", "strict = \"yes\"", 16, "`strict` is not true or false"),
    case("strict = true", "down_after = \"0s\"", 16, "failover.down_after is 0ms"),
    case("strict = true", "probe_timeout = \"5s\"", 15, "failover.probe_timeout is longer than failover.down_after"),
    // Encryption.
    case("\"verify-full\"", "\"require\"", 10, "`mode` is not a TLS mode: write one of \"verify-full\", \"plaintext\""),
    case("mode = \"verify-full\"", "ca_file = \"absent.pem\"", 10, "cannot read dir/absent.pem"),
    case("mode = \"verify-full\"", "cert_file = \"/dev/null\"", 9, "tls.cert_file and tls.key_file go together"),
];

#[test]
fn each_is_refused_with_its_line_and_what_to_do() {
    for case in CASES {
        let checked = check_alone(&edited(case.from, case.to));
        let found = checked.problems.iter().any(|problem| {
            let line = problem.place.as_ref().map(|place| place.line);
            problem.severity == Severity::Error
                && line == Some(case.line)
                && problem.to_string().contains(case.says)
        });
        assert!(
            found,
            "{:?} -> {:?}: expected on line {}: {}\ngot:\n{}",
            case.from,
            case.to,
            case.line,
            case.says,
            lines(&checked)
        );
        assert!(checked.config.is_none(), "{} was accepted", case.to);
    }
}

#[test]
fn a_port_that_is_wrong_is_no_second_server_at_the_default_one() {
    let text = edited("10.0.0.2", "10.0.0.1").replace("port = 5432", "port = 65536");
    let said = lines(&check_alone(&text));
    assert!(said.contains("`port` is not a whole number"), "{said}");
    assert!(!said.contains("already"), "{said}");
}

#[test]
fn a_bucket_has_exactly_one_owner() {
    let with = |first: &str, second: &str| {
        let text = edited(
            "id = \"s0\"\n",
            &format!("id = \"s0\"\nbuckets = {first}\n"),
        );
        let text = text.replace(
            "id = \"s1\"\n",
            &format!("id = \"s1\"\nbuckets = {second}\n"),
        );
        let checked = check_alone(&text);
        assert!(checked.config.is_none());
        lines(&checked)
    };
    let twice = with("[\"0-4\"]", "[\"4-7\"]");
    assert!(
        twice.contains("shards.toml:34:12: the shard s0 owns bucket 4 already"),
        "{twice}"
    );
    let nobody = with("[\"0-2\"]", "[4, 6]");
    assert!(
        nobody.contains("shards.toml:4:1: no shard owns the buckets 3, 5, 7: add them"),
        "{nobody}"
    );
    let beyond = with("[\"0-3\"]", "[\"4-8\"]");
    assert!(
        beyond.contains("there is no bucket 8: the buckets are numbered 0 to 7"),
        "{beyond}"
    );
}

#[test]
fn numbers_of_shards_and_nodes_are_bounded() {
    let mut text = GOOD.to_owned();
    for shard in 2..=4096 {
        text.push_str(&format!(
            "[[shard]]\nid = \"s{shard}\"\n[[shard.node]]\nid = \"n{shard}\"\nhost = \"h{shard}\"\n"
        ));
    }
    let shown = lines(&check_alone(&text));
    assert!(shown.contains("there are 4097 shards: a cluster has at most 4096"));
    let mut text = GOOD.to_owned();
    for node in 2..=64 {
        text.push_str(&format!(
            "[[shard.node]]\nid = \"n{node}\"\nhost = \"h{node}\"\n"
        ));
    }
    let shown = lines(&check_alone(&text));
    assert!(shown.contains("the shard has 65 nodes: a shard has at most 64"));
}

#[test]
fn an_empty_file_says_all_that_is_needed() {
    let text = lines(&check_alone(""));
    for part in [
        "`cluster` is missing",
        "`database` is missing",
        "`user` is missing",
        "`[routing]` is missing",
        "there are no shards",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn hazards_that_are_allowed_are_warned_of() {
    let warned = |from, to, says: &str| {
        let checked = check_alone(&edited(from, to));
        let found = checked
            .problems
            .iter()
            .any(|p| p.severity == Severity::Warning && p.to_string().contains(says));
        assert!(found, "{says}\n{}", lines(&checked));
        assert!(checked.config.is_some(), "{}", lines(&checked));
    };
    warned(
        "\"verify-full\"",
        "\"plaintext\"",
        "connections to 10.0.0.1 and 3 other hosts are not encrypted",
    );
    warned(
        "host = \"10.0.0.2\"",
        "host = \"10.0.0.1\"\nport = 5433",
        "all nodes of the shard s0 are on 10.0.0.1",
    );
    warned(
        "[[shard.node]]\nid = \"s1b\"\nhost = \"10.0.1.2\"\n",
        "",
        "the shard s1 has one node",
    );
    warned(
        "connect = \"3s\"",
        "connect = \"10s\"",
        "timeouts.checkout is shorter than timeouts.connect",
    );
    warned(
        "hash = \"pg\"",
        "hash = \"xxh3\"",
        "cannot be moved by filtered logical replication",
    );
}

proptest::proptest! {
    /// Whatever the text: no panic, and never a refusal without a reason.
    #[test]
    fn mangled_files_are_refused_with_a_reason(
        from in 0..GOOD.len(),
        length in 0usize..40,
        put in "[a-z0-9=\"\\[\\]\n.# é-]{0,12}",
    ) {
        let to = (from + length).min(GOOD.len());
        let text = format!("{}{put}{}", &GOOD[..from], &GOOD[to..]);
        let checked = check_alone(&text);
        let refused = checked.problems.iter().any(|p| p.severity == Severity::Error);
        proptest::prop_assert_eq!(refused, checked.config.is_none(), "{}", lines(&checked));
    }
}
