//! A shard's foreign server and how its owner logs in there: no I/O.

use std::fmt::Write as _;

use crate::config::{Config, ShardConfig, TlsMode};
use crate::error::Result;
use crate::sql::{ident, literal};

use super::name;
use super::object::{Detail, Kind, Object, PLACEHOLDER, object};
use super::observed::{Addresses, addresses};
use super::options::{FdwOptions, Source};

/// What `target_session_attrs` says of where reports read.
pub(super) fn target(source: Source) -> &'static str {
    match source {
        // A node that is not the primary any more is passed over. Not `read-write`: that also passes
        // over a primary on which the role is read-only by default, as the role of reports is.
        Source::Primaries => "primary",
        // A replica if one answers, else whatever does.
        Source::Replicas => "prefer-standby",
    }
}

/// The values of the options `host` and `port`.
pub(super) fn host_and_port(addresses: &Addresses) -> (String, String) {
    let hosts: Vec<_> = addresses.iter().map(|(host, _)| host.as_str()).collect();
    let ports: Vec<_> = addresses.iter().map(|(_, port)| port.to_string()).collect();
    (hosts.join(","), ports.join(","))
}

pub(super) fn server(config: &Config, options: &FdwOptions, shard: &ShardConfig) -> Result<Object> {
    let list = listed(config, options, shard)?;
    let name = ident(&name::server(shard.id)).to_string();
    let mut sql = format!("CREATE SERVER {name} FOREIGN DATA WRAPPER postgres_fdw OPTIONS (\n");
    for (n, (option, value, why)) in list.iter().enumerate() {
        let comma = if n + 1 == list.len() { "" } else { "," };
        let _ = writeln!(sql, "    {option} {}{comma}  -- {why}", literal(value));
    }
    sql += ");\n";
    let mut options_since_15 = Vec::new();
    if options.parallel_commit {
        options_since_15.push(("parallel_commit".to_owned(), "true".to_owned()));
    }
    let detail = Detail::Options {
        options: list
            .into_iter()
            .map(|(option, value, _)| (option.to_owned(), value))
            .collect(),
        since_15: options_since_15,
    };
    Ok(object(config, Kind::Server, name, sql, detail))
}

/// Option, value, and why.
type Listed = Vec<(&'static str, String, &'static str)>;

fn listed(config: &Config, options: &FdwOptions, shard: &ShardConfig) -> Result<Listed> {
    let addresses = addresses(config, options, shard)?;
    let (host, port) = host_and_port(&addresses);
    let many = addresses.len() > 1;
    let encrypted = shard
        .nodes
        .iter()
        .any(|node| config.tls_mode(node) == TlsMode::VerifyFull);
    let mut list: Listed = vec![
        (
            "host",
            host,
            if many {
                "all nodes of the shard"
            } else {
                "the node to read"
            },
        ),
        ("port", port, "one each"),
        ("dbname", config.database.clone(), "the same on every node"),
        (
            "target_session_attrs",
            target(options.source_of(shard.id)).to_owned(),
            if many {
                "which of the nodes: found anew at each connect, so that a failover needs no change here"
            } else {
                "what the node must be"
            },
        ),
        (
            "sslmode",
            if encrypted { "verify-full" } else { "disable" }.to_owned(),
            "as the cluster's configuration says",
        ),
    ];
    if let Some(file) = options.root_certificate.as_ref().filter(|_| encrypted) {
        let why = "who signs the shards' certificates";
        list.push(("sslrootcert", file.clone(), why));
    }
    let fixed = [
        (
            "connect_timeout",
            "5",
            "a dead node delays a report by so many seconds",
        ),
        ("keepalives_idle", "10", "a node that vanished is noticed"),
        ("keepalives_interval", "3", "a probe each 3 s"),
        ("keepalives_count", "3", "three probes"),
        (
            "application_name",
            "pgshard_fdw",
            "tells reports in pg_stat_activity",
        ),
    ];
    list.extend(fixed.map(|(option, value, why)| (option, value.to_owned(), why)));
    if options.asynchronous {
        let why = "the shards work at the same time";
        list.push(("async_capable", "true".to_owned(), why));
    }
    if options.remote_estimate {
        let why = "the shards are asked what a part of a query would cost";
        list.push(("use_remote_estimate", "true".to_owned(), why));
    }
    list.push((
        "fetch_size",
        options.fetch_size.to_string(),
        "rows a round trip: more helps large results and harms a top 100",
    ));
    if !options.keep_connections {
        let why = "a connection ends with its transaction";
        list.push(("keep_connections", "false".to_owned(), why));
    }
    if !options.extensions.is_empty() {
        let why = "whose functions may run on the shards";
        list.push(("extensions", options.extensions.join(","), why));
    }
    list.push(("updatable", "false".to_owned(), "reports do not write"));
    Ok(list)
}

/// Adds options that older servers do not know.
pub(super) fn add(server: &str, options: &[(String, String)]) -> String {
    let options: Vec<String> = options
        .iter()
        .map(|(option, value)| format!("ADD {option} {}", literal(value)))
        .collect();
    if options.is_empty() {
        return String::new();
    }
    format!("ALTER SERVER {server} OPTIONS ({});\n", options.join(", "))
}

pub(super) fn mapping(config: &Config, options: &FdwOptions, shard: &ShardConfig) -> Object {
    let server = name::server(shard.id);
    let password = match options.remote.password {
        Some(_) => format!(", password {PLACEHOLDER}"),
        None => String::new(),
    };
    let sql = format!(
        "CREATE USER MAPPING FOR CURRENT_USER SERVER {} OPTIONS (user {}{password});\n",
        ident(&server),
        literal(&options.remote.user),
    );
    let detail = Detail::Mapping {
        server: server.clone(),
        user: options.remote.user.clone(),
    };
    let name = ident(&server).to_string();
    object(config, Kind::UserMapping, name, sql, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::direct::Credentials;
    use crate::fdw::options::Hosts;
    use crate::fdw::{ObservedNode, ObservedRole, ObservedShard};

    const CLUSTER: &str = "cluster = \"bank\"\ndatabase = \"bankdb\"\nuser = \"app\"\n\
        [routing]\nhash = \"pg\"\n[tls]\nmode = \"verify-full\"\n\
        [[table]]\nname = \"customers\"\nkey = \"customer_id\"\n\
        [[shard]]\nid = \"s0\"\n\
        [[shard.node]]\nid = \"s0a\"\nhost = \"a.example.com\"\nport = 5432\n\
        [[shard.node]]\nid = \"s0b\"\nhost = \"b.example.com\"\nport = 5433\n";

    fn options(config: &Config, change: impl FnOnce(&mut FdwOptions)) -> Vec<(String, String)> {
        let mut options = FdwOptions::new(Credentials {
            user: "reports".to_owned(),
            password: None,
        });
        change(&mut options);
        let made = server(config, &options, &config.shards[0]).unwrap();
        match made.detail {
            Detail::Options { options, since_15 } => [options, since_15].concat(),
            other => panic!("{other:?}"),
        }
    }

    fn value<'a>(options: &'a [(String, String)], name: &str) -> Option<&'a str> {
        let found = options.iter().find(|(option, _)| option == name);
        found.map(|(_, value)| value.as_str())
    }

    #[test]
    fn options_are_those_that_were_asked_for() {
        let config = Config::parse(CLUSTER, "shards.toml").unwrap();
        let plain = options(&config, |_| ());
        for (name, expected) in [
            ("host", Some("a.example.com,b.example.com")),
            ("port", Some("5432,5433")),
            ("target_session_attrs", Some("prefer-standby")),
            ("sslmode", Some("verify-full")),
            ("sslrootcert", None),
            ("async_capable", Some("true")),
            ("fetch_size", Some("100")),
            ("use_remote_estimate", None),
            ("parallel_commit", None),
            ("keep_connections", None),
            ("extensions", None),
            ("updatable", Some("false")),
        ] {
            assert_eq!(value(&plain, name), expected, "{name}");
        }
        let other = options(&config, |options| {
            options.source = Source::Primaries;
            options.root_certificate = Some("/etc/ca.pem".to_owned());
            options.asynchronous = false;
            options.remote_estimate = true;
            options.parallel_commit = true;
            options.keep_connections = false;
            options.extensions = vec!["pg_trgm".to_owned(), "citext".to_owned()];
            options.hosts = Hosts::Current;
            let node = |host: &str, role| ObservedNode {
                host: host.to_owned(),
                port: 1,
                role,
            };
            options.observed = vec![ObservedShard {
                shard: config.shards[0].id,
                nodes: vec![
                    node("a", ObservedRole::Replica),
                    node("b", ObservedRole::Primary),
                ],
            }];
        });
        for (name, expected) in [
            ("host", Some("b")),
            ("target_session_attrs", Some("primary")),
            ("sslrootcert", Some("/etc/ca.pem")),
            ("async_capable", None),
            ("use_remote_estimate", Some("true")),
            ("parallel_commit", Some("true")),
            ("keep_connections", Some("false")),
            ("extensions", Some("pg_trgm,citext")),
        ] {
            assert_eq!(value(&other, name), expected, "{name}");
        }
    }
}
