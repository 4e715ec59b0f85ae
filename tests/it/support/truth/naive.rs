//! Planners that are wrong in ways that peers were: a corpus that does not find them out is none.

use pgshard::local::LocalCluster;
use pgshard::raw::Client;

use super::super::app;
use super::{Ask, Outcome, Params};

/// How answers of the shards become one, wrongly.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// They follow each other.
    Concatenated,
    /// Only the first shard is asked.
    FirstShardOnly,
}

/// Sends the whole query to the shards.
pub(crate) struct Naive {
    shards: Vec<Client>,
    fault: Fault,
}

impl Naive {
    pub(crate) async fn new(local: &LocalCluster, fault: Fault) -> Self {
        let mut shards = Vec::new();
        for shard in local.shards() {
            let session = app(local, shard.primary().id().as_str()).await;
            // As the library's reading connections are.
            let read_only = "SET default_transaction_read_only = on";
            session.batch_execute(read_only).await.unwrap();
            shards.push(session);
        }
        Naive { shards, fault }
    }
}

impl Ask for Naive {
    async fn ask(&self, sql: &str, params: &Params) -> Outcome {
        let mut all: Option<super::Answer> = None;
        for shard in &self.shards {
            match (shard.ask(sql, params).await, &mut all) {
                (Outcome::Answer(answer, _), None) => all = Some(answer),
                (Outcome::Answer(answer, _), Some(all)) => all.rows.extend(answer.rows),
                (other, _) => return other,
            }
            if matches!(self.fault, Fault::FirstShardOnly) {
                break;
            }
        }
        let all = all.expect("there is a shard");
        Outcome::Answer(all, format!("{:?}", self.fault))
    }
}
