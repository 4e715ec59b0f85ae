//! A machine whose shard is steady.

use std::sync::Arc;
use std::time::Duration;

use pgshard::id::{
    ClusterId, Epoch, Lsn, MapVersion, NodeIndex, ReignId, ShardId, SystemId, Timeline,
};
use pgshard::topology::{Event, Identity, Machine, NodeFacts, Reign, ReignHistory, Settings};
use uuid::Uuid;

/// A machine, the last answer of each of its nodes, and the primary's epoch.
pub(crate) struct Steady {
    pub(crate) machine: Machine,
    pub(crate) facts: Vec<NodeFacts>,
    pub(crate) epoch: Epoch,
}

impl Steady {
    /// A primary and its replicas, in the third reign.
    pub(crate) fn new(nodes: usize) -> Self {
        let (cluster, shard) = (ClusterId::new("bank").unwrap(), ShardId::new("s0").unwrap());
        let reigns = (1..=3_u128).map(|number| Reign {
            id: ReignId(Uuid::from_u128(number)),
            parent: (number > 1).then(|| ReignId(Uuid::from_u128(number - 1))),
            timeline: Timeline(number as u32),
            start: Lsn(0x1000 * number as u64),
        });
        let history = ReignHistory::new(reigns.collect()).unwrap();
        let facts: Vec<NodeFacts> = (0..nodes)
            .map(|node| NodeFacts {
                system: SystemId(1),
                identity: Identity {
                    cluster,
                    shard,
                    map_version: MapVersion(1),
                },
                in_recovery: node > 0,
                timeline: Timeline(3),
                lsn: Lsn(0x9000),
                recovered_to: (node == 0).then_some(Lsn(0x3000)),
                received: (node > 0).then_some(Lsn(0x9000)),
                streaming: (node > 0).then_some(true),
                history: history.clone(),
                orders: Some(Arc::default()),
            })
            .collect();
        let settings = Settings::default();
        let mut machine = Machine::new(settings, cluster, shard, nodes, Duration::ZERO);
        for second in 1..=4 {
            let now = Duration::from_secs(second);
            for (node, facts) in facts.iter().enumerate() {
                let event = Event::Answered {
                    node: NodeIndex(node as u16),
                    asked_at: now,
                    facts: facts.clone(),
                };
                machine.step(event, now);
            }
        }
        let (_, epoch) = machine.view().primary.expect("a primary");
        Steady {
            machine,
            facts,
            epoch,
        }
    }
}
