//! What the nodes hold.

use pgshard::id::{NodeId, ReignId, ShardId};
use pgshard::local::{LocalCluster, NodeState};
use pgshard::{Config, CustomerId};
use tokio_postgres::Client;
use uuid::Uuid;

use super::{History, Verdict, check};
use crate::support::superuser;

/// A node's rows of the workload's table.
#[derive(Clone, Debug)]
pub(crate) struct Holding {
    pub(crate) node: NodeId,
    pub(crate) shard: ShardId,
    /// Whether it is its shard's primary now.
    pub(crate) surviving: bool,
    /// Its reigns, oldest first.
    pub(crate) reigns: Vec<ReignId>,
    pub(crate) rows: Vec<Row>,
}

impl Holding {
    pub(crate) fn new(node: &str, shard: &str, surviving: bool, reigns: Vec<ReignId>) -> Self {
        Holding {
            node: NodeId::new(node).unwrap(),
            shard: ShardId::new(shard).unwrap(),
            surviving,
            reigns,
            rows: Vec::new(),
        }
    }
}

/// One run of an operation that was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) operation: Uuid,
    pub(crate) run: Uuid,
    pub(crate) customer: CustomerId,
    /// The newest reign when it was written, as the server saw it.
    pub(crate) reign: ReignId,
}

/// Nothing in it keeps an operation from being there twice.
const TABLE: &str = "
CREATE TABLE history (customer_id uuid NOT NULL, operation uuid NOT NULL, run uuid PRIMARY KEY,
                      reign uuid NOT NULL);
CREATE INDEX ON history (customer_id);
GRANT SELECT, INSERT ON history TO app";

/// Writes the operation `$2`, run `$3`, of the customer `$1`.
pub(super) const INSERT: &str = "
INSERT INTO history (customer_id, operation, run, reign)
SELECT $1, $2, $3, r.reign FROM pgshard.reign r
 WHERE NOT EXISTS (SELECT FROM pgshard.reign c WHERE c.parent = r.reign)";

/// The operations of the customer `$1`.
pub(super) const SELECT: &str = "SELECT operation FROM history WHERE customer_id = $1";

/// Makes the workload's table on every shard, which must be installed.
pub(crate) async fn prepare(local: &LocalCluster) {
    for shard in local.shards() {
        prepare_on(&superuser(local, shard.primary().id().as_str()).await).await;
    }
}

/// Makes the workload's table on one primary.
pub(crate) async fn prepare_on(primary: &Client) {
    primary.batch_execute(TABLE).await.expect("a table");
}

/// Compares histories with what the nodes hold. `primaries` are those that count at the end, one a
/// shard; of the others, those that run are looked at too.
pub(crate) async fn verify(
    local: &LocalCluster,
    histories: &[History],
    primaries: &[&str],
) -> Verdict {
    let mut holdings = Vec::new();
    for node in local.nodes() {
        let surviving = primaries.contains(&node.id().as_str());
        if surviving || node.state() == NodeState::Running {
            let client = superuser(local, node.id().as_str()).await;
            holdings.push(held(&client, node.id(), node.shard(), surviving).await);
        }
    }
    let config = local.config().expect("a configuration");
    compare(&config, histories, &holdings)
}

/// Compares histories with what is known of the nodes.
pub(crate) fn compare(config: &Config, histories: &[History], holdings: &[Holding]) -> Verdict {
    check(histories, holdings, |customer| {
        let location = config.map.locate(customer).expect("a shard");
        config.shards[location.shard.index()].id
    })
}

/// What a node holds, seen by a superuser.
pub(crate) async fn held(
    client: &Client,
    node: NodeId,
    shard: ShardId,
    surviving: bool,
) -> Holding {
    let reigns = client
        .query(
            "WITH RECURSIVE chain AS (
                 SELECT reign, 1 AS place FROM pgshard.reign WHERE parent IS NULL
                 UNION ALL
                 SELECT r.reign, place + 1 FROM pgshard.reign r JOIN chain c ON r.parent = c.reign)
             SELECT reign FROM chain ORDER BY place",
            &[],
        )
        .await
        .expect("the reigns");
    let rows = client
        .query(
            "SELECT operation, run, customer_id, reign FROM history",
            &[],
        )
        .await
        .expect("the rows");
    Holding {
        node,
        shard,
        surviving,
        reigns: reigns.iter().map(|row| ReignId(row.get(0))).collect(),
        rows: rows
            .iter()
            .map(|row| Row {
                operation: row.get(0),
                run: row.get(1),
                customer: CustomerId(row.get(2)),
                reign: ReignId(row.get(3)),
            })
            .collect(),
    }
}
