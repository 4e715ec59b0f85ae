//! `[patroni]`, `[etcd]` and `[shard.patroni]`.

use super::*;

fn with(sources: &str) -> String {
    GOOD.replace(
        "id = \"s0\"\n",
        "id = \"s0\"\n[shard.patroni]\nscope = \"bank-s0\"\nurls = [\"http://10.0.0.1:8008\"]\n",
    )
    .replace("[[table]]", &format!("{sources}\n[[table]]"))
}

#[test]
fn sources_are_read_with_their_defaults() {
    let checked = check_alone(&with("[etcd]\nendpoints = [\"http://10.0.0.5:2379\"]"));
    assert_eq!(lines(&checked), "");
    let config = checked.into_config().unwrap();
    let patroni = config.shards[0].patroni.as_ref().unwrap();
    assert_eq!(patroni.scope, "bank-s0");
    assert_eq!(patroni.urls[0].to_string(), "http://10.0.0.1:8008");
    assert!(config.shards[1].patroni.is_none());
    assert_eq!(config.patroni.namespace, "/service/");
    assert_eq!(config.etcd.unwrap().endpoints.len(), 1);
    let plain = check_alone(GOOD).into_config().unwrap();
    assert!(plain.etcd.is_none() && plain.patroni.login.is_none());
}

#[test]
fn the_environment_overrides_the_pace() {
    let environment = Environment::with([("PGSHARD_PATRONI_POLL_INTERVAL", "250ms")]);
    let config = check(&with(""), &environment).into_config().unwrap();
    assert_eq!(
        config.patroni.poll_interval,
        std::time::Duration::from_millis(250)
    );
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (sources, complaint) in [
        ("[etcd]", "`endpoints` is missing in [etcd]"),
        ("[etcd]\nendpoints = []", "`endpoints` has 0 addresses"),
        (
            "[etcd]\nendpoints = [\"10.0.0.5:2379\"]",
            "`endpoints` is not an HTTP address: write http://host:port",
        ),
        (
            "[patroni]\nuser = \"reader\"",
            "patroni.user and patroni.password_file go together",
        ),
        (
            "[patroni]\npassword = \"x\"",
            "a password does not belong in this file",
        ),
        (
            "[patroni]\nuser = \"reader\"\npassword_file = \"p\"",
            "patroni's password would be sent to http://10.0.0.1:8008 in clear",
        ),
        ("[patroni]\nnamespace = \"service\"", "patroni.namespace is"),
        (
            "[patroni]\npoll_interval = \"1ms\"",
            "patroni.poll_interval is 1ms",
        ),
        ("[patroni]\nurls = []", "unknown field `urls` in [patroni]"),
    ] {
        let checked = check_alone(&with(sources));
        assert!(checked.config.is_none(), "{sources}");
        assert!(lines(&checked).contains(complaint), "{}", lines(&checked));
    }
    for scope in ["\"a/b\"", "\"\"", "7"] {
        let checked = check_alone(&with("").replace("\"bank-s0\"", scope));
        assert!(checked.config.is_none(), "{scope}");
    }
}

#[test]
fn sources_without_a_shard_are_pointed_out() {
    let text = GOOD.replace("[[table]]", "[patroni]\ntimeout = \"2s\"\n[[table]]");
    let checked = check_alone(&text);
    assert!(lines(&checked).contains("no shard has a [shard.patroni]"));
    assert!(checked.config.is_some());
}
