//! Precedence: PGSHARD_* over the file over PG* over the default.

use std::time::Duration;

use super::*;

fn without(field: &str) -> String {
    GOOD.lines()
        .filter(|line| !line.starts_with(field))
        .map(|line| format!("{line}\n"))
        .collect()
}

fn load(text: &str, variables: &[(&str, &str)]) -> Config {
    let checked = check(text, &Environment::with(variables.iter().copied()));
    let shown = lines(&checked);
    checked.config.expect(&shown)
}

#[test]
fn a_stray_pguser_does_not_override_the_file() {
    assert_eq!(load(GOOD, &[("PGUSER", "me")]).user, "app");
    assert_eq!(load(&without("user"), &[("PGUSER", "me")]).user, "me");
    let both = [("PGUSER", "me"), ("PGSHARD_USER", "batch")];
    assert_eq!(load(GOOD, &both).user, "batch");
    assert_eq!(load(&without("user"), &both).user, "batch");
    assert_eq!(load(GOOD, &[("PGSHARD_USER", "")]).user, "app");
}

#[test]
fn each_libpq_variable_fills_what_the_file_leaves_out() {
    let text = without("database")
        .replace("connect = \"3s\"\n", "")
        .replace("mode = \"verify-full\"\n", "");
    let config = load(
        &text,
        &[
            ("PGDATABASE", "other"),
            ("PGAPPNAME", "batch"),
            ("PGCONNECT_TIMEOUT", "7"),
            ("PGSSLMODE", "verify-full"),
        ],
    );
    assert_eq!(config.database, "other");
    assert_eq!(config.application_name, "batch");
    assert_eq!(config.timeouts.connect, Duration::from_secs(7));
    assert_eq!(config.tls.mode, Some(TlsMode::VerifyFull));
    // For ever is not to be had.
    let config = load(&text, &[("PGDATABASE", "x"), ("PGCONNECT_TIMEOUT", "0")]);
    assert_eq!(config.timeouts.connect, Duration::from_secs(3));
}

#[test]
fn own_variables_reach_every_section() {
    let config = load(
        GOOD,
        &[
            ("PGSHARD_POOL_MAX_SIZE", "3"),
            ("PGSHARD_TIMEOUTS_STATEMENT", "5m"),
            ("PGSHARD_FAILOVER_STRICT", "off"),
            ("PGSHARD_SEARCH_PATH", "bank, public"),
            ("PGSHARD_APPLICATION_NAME", "ledger"),
        ],
    );
    assert_eq!(config.pool.max_size, 3);
    assert_eq!(config.timeouts.statement, Duration::from_secs(300));
    assert!(!config.failover.strict);
    assert_eq!(config.search_path, "bank, public");
    assert_eq!(config.application_name, "ledger");
}

#[test]
fn a_wrong_variable_is_named() {
    let refused = |variables: &[(&str, &str)], says: &str| {
        let checked = check(GOOD, &Environment::with(variables.iter().copied()));
        assert!(checked.config.is_none());
        assert!(lines(&checked).contains(says), "{}", lines(&checked));
    };
    refused(
        &[("PGSHARD_POOL_MAX_SIZE", "many")],
        "the environment variable PGSHARD_POOL_MAX_SIZE is not a whole number",
    );
    refused(
        &[("PGSHARD_TIMEOUTS_CONNECT", "0ms")],
        "PGSHARD_TIMEOUTS_CONNECT is 0ms: it must be from 10ms to 5m",
    );
    let checked = check(GOOD, &Environment::with([("PGSHARD_PASSWROD", "x")]));
    assert!(checked.config.is_some());
    assert!(
        lines(&checked).contains(
            "PGSHARD_PASSWROD is not a setting and has no effect: did you mean PGSHARD_PASSWORD?"
        ),
        "{}",
        lines(&checked)
    );
    let quiet = Environment::with([
        ("PGSHARD_LOG", "debug"),
        ("PGSHARD_PG_BINDIR", "/x"),
        ("PGSHARD_DDL_PASSWORD", "x"),
        ("PGSSLMODE", "prefer"),
    ]);
    assert_eq!(lines(&check(GOOD, &quiet)), "");
}

#[test]
fn plaintext_to_other_hosts_must_be_said_in_the_file() {
    let text = GOOD.replace("mode = \"verify-full\"\n", "");
    let checked = check(
        &text,
        &Environment::with([("PGSHARD_TLS_MODE", "plaintext")]),
    );
    assert!(checked.config.is_none());
    assert!(
        lines(&checked).contains(
            "connections to 10.0.0.1 and 3 other hosts are not encrypted, because \
             $PGSHARD_TLS_MODE says so and the file does not"
        ),
        "{}",
        lines(&checked)
    );
    // (A word of libpq's is noticed only where the file says nothing.)
    let checked = check(&text, &Environment::with([("PGSSLMODE", "prefer")]));
    assert!(lines(&checked).contains("PGSSLMODE=prefer is ignored"));
    // libpq's variable never makes a connection less safe.
    let config = load(&text, &[("PGSSLMODE", "disable")]);
    assert_eq!(config.tls.mode, None);
    assert_eq!(
        config.tls_mode(&config.shards[0].nodes[0]),
        TlsMode::VerifyFull
    );
    // To loopback it may.
    let mut local = text;
    for (host, loopback) in [("10.0.0.1", "127.0.0.1"), ("10.0.0.2", "127.0.0.2")] {
        local = local.replace(host, loopback);
    }
    let local = local
        .replace("10.0.1.1", "::1")
        .replace("10.0.1.2", "/run/pg");
    let config = load(&local, &[("PGSHARD_TLS_MODE", "plaintext")]);
    assert_eq!(config.tls.mode, Some(TlsMode::Plaintext));
}

#[test]
fn every_setting_says_where_it_comes_from() {
    let checked = check(
        GOOD,
        &Environment::with([("PGSHARD_POOL_MAX_SIZE", "3"), ("PGPASSWORD", "x")]),
    );
    let of = |name: &str| {
        let setting = checked.settings.iter().find(|s| s.name == name).unwrap();
        format!("{} {}", setting.value, setting.origin)
    };
    assert_eq!(of("user"), "app dir/shards.toml:3:8");
    assert_eq!(of("pool.max_size"), "3 $PGSHARD_POOL_MAX_SIZE");
    assert_eq!(of("timeouts.commit"), "30s default");
    assert_eq!(of("password"), "(from $PGPASSWORD) $PGPASSWORD");
}
