//! `pgpool.conf` of each shard.

use std::fmt::Write as _;

use crate::config::Config;
use crate::error::Result;

use super::{Rendered, StackOptions, direct};

/// `SHARD/pgpool.conf` and `SHARD/pool_hba.conf`, for Pgpool-II 4.3 and later: one a shard, at
/// [`port`](StackOptions::port) and two more for each shard before it; its control port is the next one.
///
/// Who is primary is decided elsewhere, by Patroni or by `shardctl failover`. Pgpool-II does not promote; it looks for the
/// primary when it starts, and is told of a change by [`Pgpool::tell`](crate::ops::proxies::Pgpool::tell).
///
/// # Errors
///
/// `Refused` for a topology of proxies; `Config` for a network that is none.
pub fn pgpool(config: &Config, options: &StackOptions) -> Result<Vec<Rendered>> {
    direct(config)?;
    let mut files = Vec::new();
    let mut port = options.port;
    for shard in &config.shards {
        let dir = options.dir.join(shard.id.as_str());
        let dir = quote(&dir.display().to_string());
        let mut text = format!(
            "# Shard {shard}. Settings of Pgpool-II 4.3; it ignores those that it does not know without a word, so look at\n\
             # SHOW POOL_STATUS.\n\
             backend_clustering_mode = 'streaming_replication'\n\
             listen_addresses = {listen}\n\
             port = {port}\n\
             unix_socket_directories = {dir}\n\
             pcp_listen_addresses = {listen}\n\
             pcp_port = {control}\n\
             pcp_socket_dir = {dir}\n\
             work_dir = {dir}\n\
             logdir = {dir}\n\
             pid_file_name = {pid}\n\
             enable_pool_hba = on\n\
             # role:TEXTpassword, or role:AES… by pg_enc, readable by Pgpool-II alone.\n\
             pool_passwd = 'pool_passwd'\n\
             allow_clear_text_frontend_auth = off\n\
             num_init_children = 32\n\
             max_pool = 1\n\
             load_balance_mode = off\n\
             memory_cache_enabled = off\n\
             # It looks for the primary when it starts, and never decides who that is: after a change shardctl pgpool\n\
             # promote tells it.\n\
             sr_check_period = 1\n\
             sr_check_user = {user}\n\
             sr_check_database = {database}\n\
             # A check of its own would detach a primary that only restarts; shardctl pgpool says what is well.\n\
             health_check_period = 0\n\
             failover_on_backend_error = off\n\
             failover_on_backend_shutdown = off\n\
             failover_command = ''\n\
             search_primary_node_timeout = 10\n",
            shard = shard.id,
            listen = quote(&options.listen),
            control = port + 1,
            pid = quote(&format!("{}/pgpool.pid", dir.trim_matches('\''))),
            user = quote(&config.user),
            database = quote(&config.database),
        );
        for (at, node) in shard.nodes.iter().enumerate() {
            let _ = write!(
                text,
                "backend_hostname{at} = {}\nbackend_port{at} = {}\nbackend_weight{at} = 1\n\
                 backend_flag{at} = 'ALLOW_TO_FAILOVER'\nbackend_application_name{at} = {}\n",
                quote(&node.host),
                node.port,
                quote(node.id.as_str()),
            );
        }
        files.push(Rendered::file(format!("{}/pgpool.conf", shard.id), text));
        let mut hba = String::new();
        let kind = if options.tls { "hostssl" } else { "host" };
        for network in options.networks()? {
            let _ = writeln!(hba, "{kind} all all {network} scram-sha-256");
        }
        files.push(Rendered::file(format!("{}/pool_hba.conf", shard.id), hba));
        port += 2;
    }
    Ok(files)
}

fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}
