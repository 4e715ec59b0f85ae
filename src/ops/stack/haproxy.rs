//! `haproxy.cfg`: two ports a shard, for its primary and for its standbys, as Patroni says who that is.

use std::fmt::Write as _;

use crate::config::Config;
use crate::error::Result;

use super::{Rendered, StackOptions, direct, rest};

/// `haproxy.cfg`. A shard's writing port is [`port`](StackOptions::port) and two more for each shard before it; its
/// reading port is the next one.
///
/// # Errors
///
/// `Refused` for a topology of proxies.
pub fn haproxy(config: &Config, options: &StackOptions) -> Result<Vec<Rendered>> {
    direct(config)?;
    let mut text = "\
global
    maxconn 4096

defaults
    mode tcp
    timeout connect 3s
    # Longer than any transaction is idle: an end in the middle is an unknown outcome.
    timeout client 24h
    timeout server 24h
    timeout check 3s
"
    .to_owned();
    let mut port = options.port;
    for shard in &config.shards {
        for (what, path) in [("write", "/primary"), ("read", "/replica")] {
            let _ = write!(
                text,
                "\nlisten {}-{what}\n    bind {}:{port}\n    option httpchk GET {path}\n    \
                 http-check expect status 200\n    \
                 default-server inter 2s fall 2 rise 1 on-marked-down shutdown-sessions\n",
                shard.id, options.listen
            );
            for (at, node) in shard.nodes.iter().enumerate() {
                let (host, rest_port) = rest(shard, at);
                let _ = writeln!(
                    text,
                    "    server {} {}:{} check addr {host} port {rest_port}",
                    node.id, node.host, node.port
                );
            }
            port += 1;
        }
    }
    Ok(vec![Rendered::file("haproxy.cfg", text)])
}
