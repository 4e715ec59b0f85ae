//! Whether the reference tables have the same rows on all shards.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use serde::Serialize;

use crate::config::{Config, TableName};
use crate::direct::{Credentials, find, get};
use crate::error::{Error, Result};
use crate::id::ShardId;

/// How values are written as texts: on each shard alike, whatever a role or a database sets.
pub(super) const TEXT: &str =
    "SET timezone = 'UTC'; SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres';
    SET extra_float_digits = 1; SET bytea_output = 'hex'";

/// The column of [`digest`] that has it.
pub(super) const DIGEST: usize = 1;

/// The statement for a table's number of rows and their digest.
pub(super) fn digest(table: &TableName) -> String {
    // The order of texts under "C" is the same everywhere.
    format!(
        "SELECT count(*), coalesce(md5(string_agg(md5(t::text), '' ORDER BY t::text COLLATE \"C\")), '')
           FROM {table} t"
    )
}

/// A reference table on a shard.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Reference {
    /// The table.
    pub table: String,
    /// The shard.
    pub shard: ShardId,
    /// How many rows it has there.
    pub rows: i64,
    /// A digest of them.
    pub digest: String,
    /// Whether most shards have others; of all, where no rows are those of most.
    pub differs: bool,
}

/// Compares the rows of the reference tables on all shards' primaries. Changes nothing.
///
/// # Errors
///
/// What a primary answers; also that a table is missing.
pub async fn references(config: &Config, role: &Credentials) -> Result<Vec<Reference>> {
    let mut all = Vec::new();
    for table in &config.references {
        let sql = digest(table);
        let asked = config.shards.iter().map(|shard| {
            let sql = &sql;
            async move {
                let primary = find(config, shard, role).await?;
                primary.session.batch(TEXT).await?;
                let row = primary.session.one(sql, &[]).await?;
                Ok::<_, Error>(Reference {
                    table: format!("{}.{}", table.schema, table.name),
                    shard: shard.id,
                    rows: get(&row, 0)?,
                    digest: get(&row, DIGEST)?,
                    differs: false,
                })
            }
        });
        let mut found = try_join_all(asked).await?;
        let mut votes: BTreeMap<String, usize> = BTreeMap::new();
        for one in &found {
            *votes.entry(one.digest.clone()).or_default() += 1;
        }
        let most = votes.values().max().copied().unwrap_or_default();
        // Of two that differ nobody knows which is right.
        let tie = votes.values().filter(|count| **count == most).count() > 1;
        for one in &mut found {
            one.differs = tie || votes.get(&one.digest) != Some(&most);
        }
        all.extend(found);
    }
    Ok(all)
}
