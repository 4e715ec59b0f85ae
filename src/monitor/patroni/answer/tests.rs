use super::*;

/// The leader's own status, from Patroni 3.0.2.
const LEADER: &str = r#"{"state": "running", "postmaster_start_time": "2026-11-23 02:47:17.123456+00:00",
 "role": "master", "server_version": 150018, "xlog": {"location": 67108960}, "timeline": 1,
 "replication": [{"usename": "replicator", "application_name": "s0b", "client_addr": "127.0.0.1",
 "state": "streaming", "sync_state": "async", "sync_priority": 0}], "dcs_last_seen": 1795402050,
 "database_system_identifier": "7575757575757575757", "patroni": {"version": "3.0.2", "scope": "s0"}}"#;

/// A list from Patroni 3.0.2.
const CLUSTER: &str = r#"{"members": [{"name": "s0a", "role": "leader", "state": "running",
 "api_url": "http://127.0.0.1:8008/patroni", "host": "127.0.0.1", "port": 5433, "timeline": 1},
 {"name": "s0b", "role": "replica", "state": "running", "api_url": "http://127.0.0.1:8009/patroni",
 "host": "127.0.0.1", "port": 5434, "timeline": 1, "tags": {"noloadbalance": true}, "lag": 0}]}"#;

const S0: Expected<'static> = Expected {
    scope: "s0",
    name: Some("s0a"),
};

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn claim(code: u16, now: u64, body: &str) -> Claim {
    super::claim(code, at(now), body.as_bytes(), S0, TTL).unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_lock_is_as_fresh_as_its_store() {
    assert_eq!(claim(200, 1795402052, LEADER), Claim::Held(seconds(27)));
    // 28 seconds old at most, of 30.
    assert_eq!(claim(200, 1795402077, LEADER), Claim::Held(seconds(2)));
    assert_eq!(claim(200, 1795402079, LEADER), Claim::Stale);
    assert_eq!(claim(200, 1795412079, LEADER), Claim::Stale);
    // The two readings of its clock were rounded.
    assert_eq!(claim(200, 1795402049, LEADER), Claim::Held(seconds(29)));
    // Its clock was put back in between.
    assert_eq!(claim(200, 1795402040, LEADER), Claim::Stale);
    assert_eq!(claim(503, 1795402052, LEADER), Claim::None);
}

#[test]
fn every_version_names_the_role_in_its_own_way() {
    for role in ["master", "primary", "leader", "replica"] {
        let body = LEADER.replace("master", role);
        assert_eq!(
            claim(200, 1795402052, &body),
            Claim::Held(seconds(27)),
            "{role}"
        );
    }
    let standby = LEADER.replace("master", "standby_leader");
    assert_eq!(claim(200, 1795402052, &standby), Claim::None);
    let old = LEADER.replace("\"dcs_last_seen\": 1795402050,", "");
    assert_eq!(
        claim(200, 1795402052, &old),
        Claim::Stale,
        "before 2.1 it is not told"
    );
    let newer = LEADER.replace("\"scope\": \"s0\"", "\"scope\": \"s0\", \"name\": \"s0a\"");
    assert_eq!(claim(200, 1795402052, &newer), Claim::Held(seconds(27)));
}

#[test]
fn anothers_patroni_is_told_apart() {
    let ask = |body: &str| super::claim(200, at(1795402052), body.as_bytes(), S0, TTL).unwrap_err();
    assert!(matches!(
        ask(&LEADER.replace("\"scope\": \"s0\"", "\"scope\": \"s1\"")),
        Odd::Scope { found, .. } if found == "s1"
    ));
    assert!(matches!(
        ask(&LEADER.replace("\"scope\": \"s0\"", "\"scope\": \"s0\", \"name\": \"s0z\"")),
        Odd::Name { found, .. } if found == "s0z"
    ));
    assert!(matches!(ask("{}"), Odd::Scope { .. }));
    let listed = members(200, br#"{"scope": "s1", "members": [{"name": "x"}]}"#, S0);
    assert!(matches!(listed, Err(Odd::Scope { .. })));
}

#[test]
fn garbage_is_an_error() {
    let garbage: [&[u8]; 8] = [
        b"",
        b"\xff\xfe",
        b"<html>",
        b"[]",
        b"null",
        b"{\"role\": 7}",
        b"{\"patroni\": \"3.0.2\"}",
        b"{\"dcs_last_seen\": 1e99, \"patroni\": {\"scope\": \"s0\"}}",
    ];
    for body in garbage {
        assert!(super::claim(200, at(0), body, S0, TTL).is_err(), "{body:?}");
        assert!(members(200, body, S0).is_err(), "{body:?}");
    }
    let deep = "[".repeat(100_000);
    assert!(super::claim(200, at(0), deep.as_bytes(), S0, TTL).is_err());
    for code in [0, 100, 302, 401, 404, 500, 999] {
        assert_eq!(
            super::claim(code, at(0), LEADER.as_bytes(), S0, TTL),
            Err(Odd::Status(code))
        );
        assert_eq!(
            members(code, CLUSTER.as_bytes(), S0),
            Err(Odd::Status(code))
        );
    }
    // Times that no clock shows.
    for time in ["-1", "9223372036854775807"] {
        let body = LEADER.replace("1795402050", time);
        assert_eq!(claim(200, 1795402052, &body), Claim::Stale, "{time}");
    }
}

#[test]
fn members_are_listed_with_their_tags() {
    let listed = members(200, CLUSTER.as_bytes(), S0).unwrap();
    let names: Vec<_> = listed.iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names, ["s0a", "s0b"]);
    assert_eq!(
        (listed[1].host.as_str(), listed[1].port),
        ("127.0.0.1", 5434)
    );
    let api = listed[1].api.as_ref().map(ToString::to_string);
    assert_eq!(api.as_deref(), Some("http://127.0.0.1:8009"));
    assert!(listed[1].tags.noloadbalance && !listed[1].tags.nofailover);
    assert_eq!(listed[0].tags, Tags::default());
}

#[test]
fn tags_are_written_in_many_ways() {
    let read = |text: &str| {
        let body = CLUSTER.replace("\"noloadbalance\": true", text);
        members(200, body.as_bytes(), S0).unwrap()[1].tags
    };
    assert!(read("\"noloadbalance\": \"yes\"").noloadbalance);
    assert!(!read("\"noloadbalance\": \"false\"").noloadbalance);
    assert!(!read("\"noloadbalance\": 0, \"x\": {\"y\": []}").noloadbalance);
    assert!(read("\"nofailover\": true").nofailover);
    assert!(read("\"failover_priority\": 0").nofailover);
    assert!(!read("\"failover_priority\": 2").nofailover);
}

#[test]
fn lists_that_cannot_be_are_refused() {
    let list =
        |members_: &str| members(200, format!("{{\"members\": [{members_}]}}").as_bytes(), S0);
    assert_eq!(
        list(""),
        Err(Odd::Members(0)),
        "an empty list retires nobody"
    );
    let many = vec![r#"{"name": "x"}"#; 65].join(",");
    assert_eq!(list(&many), Err(Odd::Members(65)));
    assert_eq!(
        list(r#"{"name": "x"}, {"name": "x"}"#),
        Err(Odd::Twice("x".to_owned()))
    );
    for host in ["/tmp", "", "0.0.0.0", "a b", "a,b", "a\\u0000"] {
        let member = format!(r#"{{"name": "x", "host": "{host}", "port": 1}}"#);
        assert!(matches!(list(&member), Err(Odd::Json(_))), "{host:?}");
    }
    assert!(list(r#"{"name": "x", "host": "a", "port": 65536}"#).is_err());
    // One that has not started yet has no address, and one with an odd interface is a member still.
    assert_eq!(list(r#"{"name": "x"}"#), Ok(vec![]));
    let odd = list(r#"{"name": "x", "host": "a", "port": 1, "api_url": "ftp://x"}"#).unwrap();
    assert_eq!(odd[0].api, None);
}

#[test]
fn the_time_of_the_lock() {
    assert_eq!(
        ttl(200, br#"{"ttl": 20, "loop_wait": 10}"#),
        Ok(seconds(20))
    );
    assert_eq!(ttl(200, b"{}"), Ok(TTL));
    assert_eq!(ttl(200, br#"{"ttl": 99999999999}"#), Ok(seconds(3600)));
    assert!(ttl(502, b"{}").is_err());
    assert!(ttl(200, br#"{"ttl": -1}"#).is_err());
}

mod mutilated {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever comes over the wire, it is read or refused.
        #[test]
        fn answers_never_panic(
            code in any::<u16>(),
            cut in 0..LEADER.len(),
            at in 0..LEADER.len(),
            byte in any::<u8>(),
            clock in 0..4_000_000_000u64,
        ) {
            for text in [LEADER, CLUSTER] {
                let mut body = text.as_bytes().to_vec();
                body.truncate(text.len() - cut.min(text.len()) / 8);
                if let Some(place) = body.get_mut(at) {
                    *place = byte;
                }
                let _ = super::super::claim(code, at_time(clock), &body, S0, TTL);
                let _ = super::super::claim(200, at_time(clock), &body, S0, Duration::ZERO);
                let _ = members(200, &body, S0);
                let _ = ttl(200, &body);
            }
        }
    }

    fn at_time(seconds: u64) -> SystemTime {
        super::at(seconds)
    }
}
