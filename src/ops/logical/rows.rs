//! Which rows are replicated, as a condition that a publication takes.

use std::ops::RangeInclusive;

use crate::config::{Config, TableName};
use crate::error::{Error, Result};
use crate::id::{Bucket, ShardId};
use crate::routing::{HashFunction, sql};

/// Which rows of sharded tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// All.
    #[default]
    All,
    /// Those that the shard map gives to a shard, pins included.
    OfShard(ShardId),
    /// Those of some buckets.
    OfBuckets(Vec<RangeInclusive<u32>>),
}

impl Rows {
    /// The condition for a table, and the column that it reads; none for all rows, and for tables that are
    /// the same on every shard.
    pub(super) fn condition(
        &self,
        config: &Config,
        table: &TableName,
    ) -> Result<Option<(String, String)>> {
        if *self == Rows::All || config.references.contains(table) {
            return Ok(None);
        }
        let found = config.tables.iter().find(|known| known.name == *table);
        let Some(sharded) = found else {
            return Err(Error::config(format!(
                "{table} is no table of the topology file: which of its rows belong to a bucket is not known"
            )));
        };
        if !matches!(config.map.hash(), HashFunction::Pg) {
            return Err(Error::refused(
                "a publication's condition takes built-in functions only, and this shard map's hash is none \
                 (routing.hash = \"pg\" is)",
            ));
        }
        let twin = sql::twin(&config.map);
        let condition = match self {
            Rows::All => return Ok(None),
            Rows::OfShard(shard) => {
                let (index, _) = config
                    .shard(*shard)
                    .ok_or_else(|| Error::config(format!("there is no shard {shard}")))?;
                twin.placement_check(&sharded.key, index)?
            }
            Rows::OfBuckets(ranges) => {
                let bucket = twin.bucket_expression(&sharded.key);
                let parts: Vec<String> = ranges
                    .iter()
                    .map(|range| {
                        format!("({bucket} BETWEEN {} AND {})", range.start(), range.end())
                    })
                    .collect();
                parts.join(" OR ")
            }
        };
        Ok(Some((condition, sharded.key.clone())))
    }

    /// That a shard takes all of these rows: its placement check refuses others, and replication then stops.
    pub(super) fn fit(&self, config: &Config, shard: ShardId) -> Result<()> {
        let Some((index, _)) = config.shard(shard) else {
            return Err(Error::config(format!("there is no shard {shard}")));
        };
        let advice = format!("pass --rows-of {shard}");
        match self {
            Rows::OfShard(named) if *named == shard => Ok(()),
            Rows::OfBuckets(ranges) => {
                let foreign = ranges
                    .iter()
                    .flat_map(Clone::clone)
                    .find(|bucket| config.map.owner(Bucket(*bucket)) != Some(index));
                match foreign {
                    Some(bucket) => Err(Error::refused(format!(
                        "bucket {bucket} does not belong to shard {shard}, which refuses its rows: {advice}"
                    ))),
                    None if config.map.pins().next().is_some() => Err(Error::refused(format!(
                        "keys are pinned, which buckets do not know: {advice}"
                    ))),
                    None => Ok(()),
                }
            }
            _ => Err(Error::refused(format!(
                "shard {shard} refuses rows of other shards: {advice}"
            ))),
        }
    }
}
