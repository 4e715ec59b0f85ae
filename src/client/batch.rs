//! Many keys at once: grouped by shard, one statement a shard, results in input order.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSqlOwned, ToSql};

use super::core::Core;
use super::read::Read;
use super::row::FromRow;
use crate::error::{Error, Phase, Result};
use crate::id::ShardIndex;
use crate::routing::Key;

/// Shards that are asked at once.
const CONCURRENCY: usize = 16;

/// Reads the rows of many keys; made by [`Cluster::batch`](super::Cluster::batch).
#[derive(Clone)]
pub struct Batch<'a, K> {
    cluster: &'a Core,
    keys: &'a [K],
    configure: Arc<Configure<'a>>,
}

type Configure<'a> = dyn Fn(Read<'a>) -> Read<'a> + Send + Sync + 'a;

impl<'a, K> Batch<'a, K> {
    pub(super) fn new(cluster: &'a Core, keys: &'a [K]) -> Self {
        Batch {
            cluster,
            keys,
            configure: Arc::new(|read| read),
        }
    }
}

impl<'a, K> Batch<'a, K>
where
    K: Key + ToSql + FromSqlOwned + Clone + Eq + Hash + Send + Sync,
{
    /// Sets where to read, for every shard alike: `|read| read.prefer_replica().at_least(&token)`.
    pub fn reading(mut self, configure: impl Fn(Read<'a>) -> Read<'a> + Send + Sync + 'a) -> Self {
        self.configure = Arc::new(configure);
        self
    }

    /// Runs a statement on each shard that owns some of the keys, with those keys as `$1`
    /// (`WHERE customer_id = ANY($1)`), in parallel.
    ///
    /// The statement must return the key in the column `key_column`. The result has an entry for
    /// each of the given keys, in their order: the key's rows, or none. A key that was given twice
    /// gets its rows twice.
    ///
    /// # Errors
    ///
    /// The first shard's error; a key that cannot be routed, before anything is sent;
    /// [`ErrorKind::Refused`](crate::ErrorKind::Refused) for a row whose key is none of the given ones.
    pub async fn query<T: FromRow>(&self, sql: &str, key_column: &str) -> Result<Vec<Vec<T>>> {
        let mut groups: HashMap<ShardIndex, Vec<K>> = HashMap::new();
        let mut positions: HashMap<K, Vec<usize>> = HashMap::with_capacity(self.keys.len());
        for (position, key) in self.keys.iter().enumerate() {
            let location = self.cluster.config.map.locate(key)?;
            let places = positions.entry(key.clone()).or_default();
            if places.is_empty() {
                groups.entry(location.shard).or_default().push(key.clone());
            }
            places.push(position);
        }
        let answers: Vec<Vec<Row>> = stream::iter(groups)
            .map(|(shard, keys)| async move {
                let read = (self.configure)(Read::new(self.cluster, shard));
                read.rows(sql, &[&keys]).await
            })
            .buffer_unordered(CONCURRENCY)
            .try_collect()
            .await?;
        let mut results: Vec<Vec<T>> = self.keys.iter().map(|_| Vec::new()).collect();
        for row in answers.iter().flatten() {
            let key: K = super::row::Row::from(row).get(key_column)?;
            let Some(places) = positions.get(&key) else {
                return Err(not_asked_for(key_column));
            };
            for &position in places {
                if let Some(rows) = results.get_mut(position) {
                    rows.push(T::from_row(&row.into())?);
                }
            }
        }
        Ok(results)
    }
}

/// Left out, such rows would leave the keys that were meant without any.
#[cold]
fn not_asked_for(key_column: &str) -> Error {
    Error::refused(format!(
        "a row's {key_column:?} is none of the keys that were asked for: name the column that holds \
         the key, compare it with ANY($1), and cast it if its type pads or folds the key"
    ))
    .in_phase(Phase::Execute)
}

impl<K> fmt::Debug for Batch<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}
