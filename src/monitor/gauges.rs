//! What a shard looks like, as gauges.

use metrics::gauge;

use super::shard::Shard;
use crate::observe;

/// Sets the gauges of a shard and its nodes.
pub(super) fn set(shard: &Shard) {
    let name = shard.id().to_string();
    let view = shard.view();
    let on = |yes: bool| f64::from(u8::from(yes));
    gauge!(observe::SHARD_WRITABLE, "shard" => name.clone()).set(on(view.primary.is_some()));
    gauge!(observe::PRIMARY_WAITING, "shard" => name.clone()).set(shard.waiting() as f64);
    for (pool, seen) in shard.nodes().zip(&view.nodes) {
        let labels = [("shard", name.clone()), ("node", pool.node().to_string())];
        gauge!(observe::NODE_READABLE, &labels).set(on(seen.readable));
        if let Some(lag) = seen.lag {
            gauge!(observe::NODE_LAG_BYTES, &labels).set(lag as f64);
        }
        let status = pool.status();
        gauge!(observe::POOL_OPEN, &labels).set((status.read + status.write) as f64);
        gauge!(observe::POOL_LENT, &labels).set(status.lent as f64);
        gauge!(observe::POOL_WAITING, &labels).set(status.waiting as f64);
    }
}
