//! `[[shard]]` and `[[shard.node]]`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;

use toml::Spanned;

use crate::id::{NodeId, ShardId};

use super::scalar::BucketRange;
use super::text::{Section, Text};
use super::{NodeConfig, PatroniShard, Proxy, ShardConfig, sources};

const DEFAULT_PORT: u16 = 5432;
const MOST_SHARDS: usize = 4096;
const MOST_NODES: usize = 64;

/// A shard as the file has it. What is wrong with it is recorded already.
pub(super) struct Shard {
    pub(super) id: Option<ShardId>,
    pub(super) span: Range<usize>,
    pub(super) buckets: Option<Vec<Spanned<BucketRange>>>,
    pub(super) nodes: Vec<Node>,
    pub(super) patroni: Option<PatroniShard>,
}

/// A node as the file has it.
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) host: Spanned<String>,
    pub(super) port: u16,
    pub(super) proxy: Option<Proxy>,
}

impl Shard {
    /// The shard's name for messages.
    pub(super) fn label(&self) -> &str {
        self.id.as_ref().map_or("?", ShardId::as_str)
    }

    /// The checked shard; `None` if its name was refused.
    pub(super) fn config(&self) -> Option<ShardConfig> {
        Some(ShardConfig {
            id: self.id?,
            patroni: self.patroni.clone(),
            nodes: self
                .nodes
                .iter()
                .map(|node| NodeConfig {
                    id: node.id,
                    host: node.host.get_ref().clone(),
                    port: node.port,
                    proxy: node.proxy,
                })
                .collect(),
        })
    }
}

pub(super) fn shards(text: &Text<'_>, root: &Section<'_>) -> Vec<Shard> {
    let mut sections = root.sections("shard");
    if let Some(section) = sections.get(MOST_SHARDS) {
        text.error(
            section.span(),
            format!("there are {} shards", sections.len()),
            format!("a cluster has at most {MOST_SHARDS}; make more clusters"),
        );
        sections.truncate(MOST_SHARDS);
    }
    if sections.is_empty() {
        text.error(
            0..0,
            "there are no shards",
            "add a [[shard]] with an id and at least one [[shard.node]]",
        );
    }
    let mut seen = Seen::default();
    sections
        .into_iter()
        .map(|section| shard(text, section, &mut seen))
        .collect()
}

/// What has been named so far, and on which line.
#[derive(Default)]
struct Seen {
    shards: HashMap<ShardId, usize>,
    nodes: HashMap<NodeId, usize>,
    addresses: HashMap<(String, u16), (NodeId, usize)>,
}

fn shard(text: &Text<'_>, section: Section<'_>, seen: &mut Seen) -> Shard {
    let id = section.require::<ShardId>("id", "name the shard, such as id = \"s0\"");
    if let Some(id) = &id {
        let line = text.line(&id.span());
        if let Some(first) = seen.shards.insert(*id.get_ref(), line) {
            text.error(
                id.span(),
                format!(
                    "the shard {} is named on line {first} already",
                    id.get_ref()
                ),
                "give each shard a name of its own",
            );
        }
    }
    let nodes = section.sections("node");
    if nodes.is_empty() {
        text.error(
            section.span(),
            match &id {
                Some(id) => format!("the shard {} has no nodes", id.get_ref()),
                None => "the shard has no nodes".to_owned(),
            },
            "add a [[shard.node]] with id, host and port for each of its servers",
        );
    }
    if let Some(node) = nodes.get(MOST_NODES) {
        text.error(
            node.span(),
            format!("the shard has {} nodes", nodes.len()),
            format!("a shard has at most {MOST_NODES}; name those that clients may use"),
        );
    }
    let nodes: Vec<Node> = nodes
        .into_iter()
        .filter_map(|section| node(text, section, seen))
        .collect();
    if nodes.len() > 1
        && let Some(pool) = nodes.iter().find(|node| node.proxy == Some(Proxy::Pgpool))
    {
        text.error(
            pool.host.span(),
            format!("{} is a Pgpool-II, and the shard has other nodes", pool.id),
            "Pgpool-II stands for all servers of a shard, which would then be counted twice: make it \
             the shard's only node, or name the servers instead",
        );
    }
    let patroni = sources::shard(text, &section);
    if patroni.is_some()
        && let Some(proxied) = nodes.iter().find(|node| node.proxy.is_some())
    {
        text.error(
            proxied.host.span(),
            format!("{} is behind a proxy, and the shard has a [shard.patroni]", proxied.id),
            "Patroni tells the addresses of the servers themselves, which would replace the proxy's: \
             remove one of the two",
        );
    }
    let shard = Shard {
        id: id.map(Spanned::into_inner),
        span: section.span(),
        buckets: section.list("buckets"),
        patroni,
        nodes,
    };
    section.finish();
    shard
}

fn node(text: &Text<'_>, section: Section<'_>, seen: &mut Seen) -> Option<Node> {
    section.forbid(
        "password",
        "a password does not belong in this file",
        "put it in a file of its own and name that in `password_file`, or in .pgpass",
    );
    for field in ["role", "primary"] {
        section.forbid(
            field,
            "which node is primary is not configured",
            "remove it; the servers are asked, since it changes with every failover",
        );
    }
    let id = section.require::<NodeId>("id", "name the node, such as id = \"s0a\"");
    let host = section.require::<String>("host", "name the server, such as host = \"10.0.0.1\"");
    let port = section.take::<u16>("port");
    let proxy = section.take::<Proxy>("proxy").map(Spanned::into_inner);
    // Where it is wrong, nothing is known of the address.
    let misread = port.is_none() && section.has("port");
    section.finish();
    if let Some(id) = &id {
        let line = text.line(&id.span());
        if let Some(first) = seen.nodes.insert(*id.get_ref(), line) {
            text.error(
                id.span(),
                format!("the node {} is named on line {first} already", id.get_ref()),
                "give each node a name of its own, unique in the whole cluster",
            );
        }
    }
    if let Some(port) = &port
        && *port.get_ref() == 0
    {
        text.error(
            port.span(),
            "port is 0",
            format!("write the server's port; without one it is {DEFAULT_PORT}"),
        );
    }
    if let Some(host) = &host {
        check_host(text, host);
    }
    let (id, host) = (id?, host?);
    let port = port.map_or(DEFAULT_PORT, Spanned::into_inner);
    let line = text.line(&id.span());
    let id = id.into_inner();
    let address = (canonical(host.get_ref()), port);
    if !misread && let Some((first, at)) = seen.addresses.insert(address, (id, line)) {
        text.error(
            host.span(),
            format!(
                "{}:{port} is the node {first} on line {at} already",
                host.get_ref()
            ),
            "a server is one node of one shard; correct the host or the port",
        );
    }
    Some(Node {
        id,
        host,
        port,
        proxy,
    })
}

fn check_host(text: &Text<'_>, host: &Spanned<String>) {
    let name = host.get_ref().as_str();
    let advice = if name.contains("://") {
        "write the host alone; user and database are at the top of this file"
    } else if name.contains(',') {
        "one node is one server; add a [[shard.node]] for each"
    } else if name.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
        "a server may listen there, but clients need an address that reaches it"
    } else if name.parse::<IpAddr>().is_ok() {
        return;
    } else if name.contains(':') {
        "write the port in `port`, and an IPv6 address without brackets"
    } else if name.starts_with('/') {
        if name.len() <= 100 {
            return;
        }
        "the path of a socket's directory is at most 100 bytes long"
    } else if name.len() > 253
        || !name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    {
        "write a host name, an IP address or the directory of a Unix socket"
    } else {
        return;
    };
    text.error(
        host.span(),
        format!("{name:?} is not a host"),
        advice.to_owned(),
    );
}

/// One spelling for each server, as far as that can be told without asking anybody.
fn canonical(host: &str) -> String {
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().to_string(),
        Err(_) => host.trim_end_matches('.').to_ascii_lowercase(),
    }
}
