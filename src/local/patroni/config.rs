//! The file that a Patroni reads. It is written as JSON, which YAML contains, so that no value can
//! be taken for syntax.

use serde_json::{Map, Value, json};

use crate::local::secrets::{REPLICATOR, SUPERUSER, Secrets};
use crate::local::settings;

use super::node::PatroniNode;
use super::spec::PatroniSpec;

/// The user of the REST interface.
pub(super) const REST_USER: &str = "patroni";

/// What Patroni sets itself and does not let others set.
const PATRONIS_OWN: [&str; 2] = ["listen_addresses", "hot_standby"];

/// The contents of a node's `patroni.yml`.
pub(super) fn patroni_yml(
    node: &PatroniNode,
    spec: &PatroniSpec,
    etcd: &str,
    secrets: &Secrets,
    rest_password: &str,
) -> Value {
    let rest = format!("127.0.0.1:{}", node.rest_port());
    let postgres = format!("127.0.0.1:{}", node.port());
    let login = |role: &str| json!({ "username": role, "password": secrets.password(role) });
    let parameters: Map<String, Value> = settings::list(node.major(), &spec.settings)
        .into_iter()
        .filter(|(name, _)| !PATRONIS_OWN.contains(&name.as_str()))
        .map(|(name, value)| (name, Value::String(value)))
        .collect();
    json!({
        "scope": node.shard().as_str(),
        "namespace": "/service/",
        "name": node.id().as_str(),
        "log": { "level": "INFO" },
        "restapi": {
            "listen": rest,
            "connect_address": rest,
            "authentication": { "username": REST_USER, "password": rest_password },
        },
        "etcd3": { "hosts": etcd },
        "bootstrap": {
            "dcs": {
                "ttl": spec.ttl.as_secs(),
                "loop_wait": spec.loop_wait.as_secs(),
                "retry_timeout": spec.retry_timeout.as_secs(),
                "primary_start_timeout": spec.primary_start_timeout.as_secs(),
                "maximum_lag_on_failover": 1_048_576,
                "synchronous_mode": spec.synchronous,
                "synchronous_mode_strict": spec.synchronous,
                "postgresql": {
                    "use_pg_rewind": true,
                    "remove_data_directory_on_rewind_failure": true,
                    "remove_data_directory_on_diverged_timelines": true,
                    "use_slots": true,
                    "parameters": parameters,
                },
            },
            "initdb": [
                { "encoding": "UTF8" },
                { "locale": "C" },
                { "wal-segsize": "1" },
                "data-checksums",
                "no-sync",
            ],
        },
        "postgresql": {
            "listen": postgres,
            "connect_address": postgres,
            "data_dir": node.data_dir(),
            "bin_dir": node.bindir(),
            "pgpass": node.dir().join("patroni.pgpass"),
            "authentication": {
                "superuser": login(SUPERUSER),
                "replication": login(REPLICATOR),
            },
            "pg_hba": [
                "host replication all 127.0.0.1/32 scram-sha-256",
                "host all all 127.0.0.1/32 scram-sha-256",
            ],
            "create_replica_methods": ["basebackup"],
            "basebackup": [{ "checkpoint": "fast" }, "no-sync"],
        },
        "watchdog": { "mode": "off" },
        "tags": {},
    })
}
