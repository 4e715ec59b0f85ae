//! What is allowed, and what somebody should know nevertheless.

use super::nodes::Shard;
use super::text::Text;
use crate::routing::HashFunction;

/// About the servers.
pub(super) fn shards(text: &Text<'_>, shards: &[Shard]) {
    for shard in shards {
        match shard.nodes.as_slice() {
            [] => continue,
            [_] => text.warning(
                shard.span.clone(),
                format!("the shard {} has one node", shard.label()),
                "its customers cannot be served while that server is down; add a replica",
            ),
            [first, rest @ ..] => {
                let host = first.host.get_ref();
                // Several servers on loopback are a test.
                let together = rest.iter().all(|node| node.host.get_ref() == host);
                if together && !super::model::is_local(host) {
                    text.warning(
                        shard.span.clone(),
                        format!("all nodes of the shard {} are on {host}", shard.label()),
                        "one machine's failure takes the whole shard; spread its nodes",
                    );
                }
            }
        }
        if shard.buckets.as_ref().is_some_and(Vec::is_empty) {
            text.warning(
                shard.span.clone(),
                format!("the shard {} owns no buckets", shard.label()),
                "it serves pinned keys only; fine while it is being filled or emptied",
            );
        }
    }
}

/// About the hash.
pub(super) fn hash(text: &Text<'_>, span: std::ops::Range<usize>, hash: HashFunction) {
    match hash {
        HashFunction::UuidPrefix { .. } => text.warning(
            span,
            "hash \"uuid-prefix\" places by the first 32 bits of the key",
            "use random UUIDs (version 4): those of version 7 begin with the time, so that all \
             new customers of some minute share a bucket; new clusters take hash \"pg\"",
        ),
        HashFunction::Xxh3 => text.warning(
            span,
            "hash \"xxh3\" is unknown to the servers' publications and partitions",
            "buckets cannot be moved by filtered logical replication; hash \"pg\" has no such limit",
        ),
        _ => {}
    }
}
