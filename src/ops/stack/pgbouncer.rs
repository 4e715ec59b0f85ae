//! `pgbouncer.ini`: a database a shard's node.

use std::fmt::Write as _;

use crate::config::Config;
use crate::error::Result;

use super::{Rendered, StackOptions, direct, servers};

/// `pgbouncer.ini`, and the lines that `userlist.txt` needs.
///
/// Each node is a database of its name, so that one PgBouncer serves a machine's servers, or all of them, and each shard is
/// one that leads to its first node, until [`Follow`](crate::ops::proxies::Follow) has it follow the primary. This library's
/// nodes with `proxy = "pgbouncer"` have the PgBouncer's address.
///
/// # Errors
///
/// `Refused` for a topology of proxies.
pub fn pgbouncer(config: &Config, options: &StackOptions) -> Result<Vec<Rendered>> {
    direct(config)?;
    let dir = options.dir.display();
    let mut text = "; No \"*\": a database that is not named is refused.\n[databases]\n".to_owned();
    for (_, _, node) in servers(config) {
        let _ = writeln!(
            text,
            "{} = host={} port={} dbname={}",
            node.id, node.host, node.port, config.database
        );
    }
    text.push_str("; A shard's primary: shardctl pgbouncer follow keeps them right.\n");
    for shard in &config.shards {
        let nodes: Vec<&str> = shard.nodes.iter().map(|node| node.id.as_str()).collect();
        if let Some(node) = shard.nodes.first()
            && !nodes.contains(&shard.id.as_str())
        {
            let _ = writeln!(
                text,
                "{} = host={} port={} dbname={}",
                shard.id, node.host, node.port, config.database
            );
        }
    }
    let _ = write!(
        text,
        "\n[pgbouncer]\n\
         listen_addr = {listen}\n\
         listen_port = {port}\n\
         unix_socket_dir =\n\
         auth_type = scram-sha-256\n\
         ; \"role\" \"password\", a line each, readable by PgBouncer alone. Not a verifier: those of a role differ from\n\
         ; shard to shard, by their salt, and PgBouncer could log in only where its own came from.\n\
         auth_file = {dir}/userlist.txt\n\
         admin_users = pgbouncer_admin\n\
         ; Clients' state is not kept: this library uses unnamed statements here.\n\
         pool_mode = transaction\n\
         default_pool_size = 20\n\
         reserve_pool_size = 5\n\
         max_client_conn = 1000\n\
         ; Short: a client that waits does not know whether its server is gone.\n\
         query_wait_timeout = 10\n\
         server_connect_timeout = 3\n\
         server_login_retry = 1\n\
         server_lifetime = 1800\n\
         ; A server that became a standby is not lent again.\n\
         server_check_delay = 0\n\
         server_check_query = select 1\n\
         ignore_startup_parameters = extra_float_digits,options\n",
        listen = options.listen,
        port = options.port,
    );
    if options.tls {
        let _ = write!(
            text,
            "server_tls_sslmode = verify-full\nserver_tls_ca_file = {dir}/ca.pem\n\
             client_tls_sslmode = require\nclient_tls_cert_file = {dir}/server.pem\nclient_tls_key_file = {dir}/server.key\n"
        );
    }
    Ok(vec![Rendered::file("pgbouncer.ini", text)])
}
