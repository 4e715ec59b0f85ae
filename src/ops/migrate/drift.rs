//! What shards have that others lack.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use serde::Serialize;

use crate::config::Config;
use crate::direct::{Credentials, find, get};
use crate::error::{Error, Result};
use crate::id::ShardId;

/// Columns, indexes, constraints, functions, views of all schemas but the servers' and this library's. Constraints of this
/// library differ by design.
const OBJECTS: &str = "
WITH schemas AS (
    SELECT oid, nspname FROM pg_namespace
     WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND nspname !~ '^pgshard'
)
SELECT format('column %I.%I.%I: %s%s%s', n.nspname, c.relname, a.attname,
              format_type(a.atttypid, a.atttypmod),
              CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END,
              coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), ''))
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN schemas n ON n.oid = c.relnamespace
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
UNION ALL
SELECT format('index %s%s', pg_get_indexdef(i.indexrelid),
              CASE WHEN i.indisvalid THEN '' ELSE ' (invalid)' END)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN schemas n ON n.oid = c.relnamespace
UNION ALL
SELECT format('constraint %I on %s: %s', o.conname, o.conrelid::regclass, pg_get_constraintdef(o.oid))
  FROM pg_constraint o JOIN schemas n ON n.oid = o.connamespace
 WHERE o.conrelid <> 0 AND o.conname !~ '^pgshard' AND o.contype <> 'n'
UNION ALL
SELECT format('function %s: %s', p.oid::regprocedure, md5(p.prosrc))
  FROM pg_proc p JOIN schemas n ON n.oid = p.pronamespace
 WHERE p.prokind IN ('f', 'p')
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = p.oid AND e.deptype = 'e')
UNION ALL
SELECT format('view %I.%I: %s', n.nspname, c.relname, md5(pg_get_viewdef(c.oid)))
  FROM pg_class c JOIN schemas n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm')";

/// An object that not all shards have.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// The object, with its definition.
    pub object: String,
    /// Who has it.
    pub have: Vec<ShardId>,
    /// Who lacks it.
    pub lack: Vec<ShardId>,
}

/// Compares the schemas of all shards' primaries. Changes nothing.
///
/// # Errors
///
/// What a primary answers.
pub async fn drift(config: &Config, role: &Credentials) -> Result<Vec<Difference>> {
    let asked = config.shards.iter().map(|shard| async move {
        let primary = find(config, shard, role).await?;
        let rows = primary.session.query(OBJECTS, &[]).await?;
        let objects = rows
            .iter()
            .map(|row| get(row, 0))
            .collect::<Result<Vec<String>>>()?;
        Ok::<_, Error>((shard.id, objects))
    });
    let mut all: BTreeMap<String, Vec<ShardId>> = BTreeMap::new();
    for (shard, objects) in try_join_all(asked).await? {
        for object in objects {
            let have = all.entry(object).or_default();
            if have.last() != Some(&shard) {
                have.push(shard);
            }
        }
    }
    let shards: Vec<ShardId> = config.shards.iter().map(|shard| shard.id).collect();
    let differences = all
        .into_iter()
        .filter(|(_, have)| have.len() < shards.len());
    Ok(differences
        .map(|(object, have)| Difference {
            object,
            lack: shards
                .iter()
                .filter(|shard| !have.contains(shard))
                .copied()
                .collect(),
            have,
        })
        .collect())
}
