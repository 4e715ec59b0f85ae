//! `patroni.yml` of each node.

use std::fmt::Write as _;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::ops::hosts::Hosts;

use super::{Rendered, StackOptions, direct, place, quoted, rest, servers};

/// A `patroni.yml` a node: `NODE/patroni.yml`.
///
/// Passwords come from Patroni's environment: `PATRONI_SUPERUSER_PASSWORD`, `PATRONI_REPLICATION_PASSWORD`,
/// `PATRONI_RESTAPI_PASSWORD`, and `PATRONI_ETCD3_USERNAME` and `PATRONI_ETCD3_PASSWORD` where etcd asks for them.
///
/// # Errors
///
/// `Config` if no etcd or no network is given, or if the hosts' file lacks a node.
pub fn patroni(config: &Config, hosts: &Hosts, options: &StackOptions) -> Result<Vec<Rendered>> {
    direct(config)?;
    options.members()?;
    if options.etcd.is_empty() {
        return Err(Error::config("name the members of etcd"));
    }
    if options.networks.is_empty() {
        return Err(Error::config(
            "name the networks from which servers and clients connect, such as 10.0.0.0/24",
        ));
    }
    let mut files = Vec::new();
    for (shard, at, node) in servers(config) {
        let host = place(hosts, node)?;
        let (rest_host, rest_port) = rest(shard, at);
        let scope = match &shard.patroni {
            Some(patroni) => patroni.scope.clone(),
            None => shard.id.to_string(),
        };
        let address = match &host.address {
            Some(address) => format!("{}:{}", address.host, address.port),
            None => format!("{}:{}", node.host, node.port),
        };
        let listen = if node.is_local() {
            &node.host
        } else {
            "0.0.0.0"
        };
        let rest_listen = if node.is_local() {
            &rest_host
        } else {
            "0.0.0.0"
        };
        let etcd: Vec<String> = options.etcd.iter().map(quoted).collect();
        let mut text = format!(
            "# {node} of shard {shard}. Passwords come from the environment: PATRONI_SUPERUSER_PASSWORD,\n\
             # PATRONI_REPLICATION_PASSWORD, PATRONI_RESTAPI_PASSWORD.\n\
             scope: {scope}\n\
             namespace: {namespace}\n\
             name: {name}\n\
             \n\
             restapi:\n  listen: {rest_listen}\n  connect_address: {rest}\n  authentication:\n    username: patroni\n\
             \n\
             etcd3:\n  hosts: [{etcd}]\n\
             \n\
             bootstrap:\n  dcs:\n\
             \x20   # ttl has to be at least loop_wait + 2 * retry_timeout.\n\
             \x20   ttl: 30\n    loop_wait: 10\n    retry_timeout: 10\n\
             \x20   maximum_lag_on_failover: 1048576\n\
             \x20   # The servers stay as they are while etcd is away, as long as all members see each other.\n\
             \x20   failsafe_mode: true\n\
             \x20   # strict: COMMIT waits rather than lose what was acknowledged.\n\
             \x20   synchronous_mode: {synchronous}\n    synchronous_mode_strict: {synchronous}\n\
             \x20   postgresql:\n      use_pg_rewind: true\n      use_slots: true\n      parameters:\n",
            node = node.id,
            shard = shard.id,
            scope = quoted(scope),
            namespace = quoted(&config.patroni.namespace),
            name = quoted(node.id),
            rest_listen = quoted(format!("{rest_listen}:{rest_port}")),
            rest = quoted(format!("{rest_host}:{rest_port}")),
            etcd = etcd.join(", "),
            synchronous = options.synchronous,
        );
        let parameters = [
            ("wal_level", "logical"),
            ("max_wal_senders", "10"),
            ("max_replication_slots", "10"),
            ("max_slot_wal_keep_size", "10GB"),
            ("wal_log_hints", "on"),
            ("max_prepared_transactions", "100"),
            ("password_encryption", "scram-sha-256"),
            ("tcp_keepalives_idle", "10"),
        ];
        for (name, value) in parameters {
            let _ = writeln!(text, "        {name}: {}", quoted(value));
        }
        if options.tls {
            text.push_str("        ssl: \"on\"\n        ssl_min_protocol_version: \"TLSv1.2\"\n");
        }
        text.push_str("  initdb:\n    - encoding: UTF8\n    - data-checksums\n");
        let _ = write!(
            text,
            "\npostgresql:\n  listen: {}\n  connect_address: {}\n  data_dir: {}\n",
            quoted(format!("{listen}:{}", node.port)),
            quoted(address),
            quoted(host.data.display()),
        );
        if let Some(bin) = &host.bin {
            let _ = writeln!(text, "  bin_dir: {}", quoted(bin.display()));
        }
        let pgpass = host.data.with_file_name(format!("{}.pgpass", node.id));
        let _ = write!(
            text,
            "  pgpass: {}\n  authentication:\n    superuser:\n      username: {}\n    replication:\n      username: {}\n",
            quoted(pgpass.display()),
            quoted(&hosts.rewind_user),
            quoted(&hosts.replication_user),
        );
        text.push_str("  pg_hba:\n    - \"local all all peer\"\n");
        let kind = if options.tls { "hostssl" } else { "host" };
        for network in options.networks()? {
            // Standbys come as the one, base backups are taken as the other.
            let replication = format!(
                "{kind} replication {},{} {network} scram-sha-256",
                hosts.replication_user, hosts.rewind_user
            );
            let _ = writeln!(text, "    - {}", quoted(replication));
            let all = format!("{kind} all all {network} scram-sha-256");
            let _ = writeln!(text, "    - {}", quoted(all));
        }
        text.push_str(
            "\n# Without a watchdog, a Patroni that hangs leaves its server writable after another took over.\n\
             watchdog:\n  mode: automatic\n\ntags: {}\n",
        );
        files.push(Rendered::file(format!("{}/patroni.yml", node.id), text));
    }
    Ok(files)
}
