//! Whether the tables are as the topology file has them: identified, and with rows of their own shard only.

use serde::Deserialize;

use super::Findings;
use super::facts::{Facts, NodeFacts, Read};
use super::rules::{MISPLACED, PLACEMENT, REPLICA_IDENTITY, UNREAD};
use crate::config::{Config, TableName};
use crate::direct::{Session, get};
use crate::error::{Error, ErrorKind, Result};
use crate::id::ShardId;
use crate::routing::sql::twin;
use crate::sql::{ident, literal};

/// A table of the topology file, as a primary has it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) exists: bool,
    pub(super) sharded: bool,
    /// Whether its rows can be told apart by who replicates it.
    pub(super) identified: bool,
    /// Whether there is a constraint for rows of this shard only.
    pub(super) placement: bool,
    /// Whether row security hides rows from who asks.
    hidden: bool,
    rows: f64,
    /// What a sample of the rows says; none of a table that is not sharded.
    #[serde(skip)]
    pub(super) sample: Option<Read<Sample>>,
}

/// A sample of a table's rows.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) rows: i64,
    /// How many of them belong to another shard, and the key of one.
    pub(super) misplaced: i64,
    pub(super) key: Option<String>,
}

const TABLES: &str = "
SELECT coalesce(json_agg(json_build_object(
    'name', t.name, 'exists', c.oid IS NOT NULL, 'sharded', t.sharded,
    'identified', CASE c.relreplident WHEN 'f' THEN true WHEN 'n' THEN false ELSE EXISTS (
        SELECT FROM pg_index i WHERE i.indrelid = c.oid
           AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END) END IS NOT FALSE,
    'placement', EXISTS (SELECT FROM pg_constraint o WHERE o.conrelid = c.oid AND o.conname = 'pgshard_placement'),
    'hidden', c.oid IS NOT NULL AND has_table_privilege(c.oid, 'SELECT') AND row_security_active(c.oid),
    'rows', greatest(c.reltuples, 0)) ORDER BY t.place), '[]')::text
  FROM unnest($1::text[], $2::bool[]) WITH ORDINALITY AS t (name, sharded, place)
  LEFT JOIN pg_class c ON c.oid = to_regclass(t.name)";

/// Reads them on a primary, with a sample of so many rows of each sharded table.
pub(super) async fn read(
    session: &Session,
    config: &Config,
    shard: ShardId,
    sample: u32,
) -> Result<Vec<Table>> {
    let sharded = config.tables.iter().map(|table| (&table.name, true));
    let references = config.references.iter().map(|name| (name, false));
    let all: Vec<(&TableName, bool)> = sharded.chain(references).collect();
    let names: Vec<String> = all.iter().map(|(name, _)| name.to_string()).collect();
    let kinds: Vec<bool> = all.iter().map(|(_, sharded)| *sharded).collect();
    let row = session.one(TABLES, &[&names, &kinds]).await?;
    let mut tables: Vec<Table> = serde_json::from_str(get(&row, 0)?).map_err(|error| {
        Error::new(
            ErrorKind::Decode,
            "the answer about the tables cannot be read",
        )
        .with_source(error)
    })?;
    if sample == 0 {
        return Ok(tables);
    }
    let Some((index, _)) = config.shard(shard) else {
        return Ok(tables);
    };
    for (table, known) in tables.iter_mut().zip(&config.tables) {
        if table.exists {
            let check = twin(&config.map).placement_check(&known.key, index)?;
            let read = look(session, table, &known.key, &check, sample).await;
            table.sample = Some(read.map_err(|error| error.message().to_owned()));
        }
    }
    Ok(tables)
}

async fn look(
    session: &Session,
    table: &Table,
    key: &str,
    check: &str,
    sample: u32,
) -> Result<Sample> {
    if table.hidden {
        return Err(Error::refused(
            "row security hides its rows from the role: ask as one with BYPASSRLS",
        ));
    }
    // Twice what is wanted, of pages all over the table; all of a small one.
    let share = match table.rows > 0.0 {
        true => (200.0 * f64::from(sample) / table.rows).clamp(0.000_1, 100.0),
        false => 100.0,
    };
    let key = ident(key);
    let sql = format!(
        "SELECT count(*), count(*) FILTER (WHERE NOT ({check})), min({key}::text) FILTER (WHERE NOT ({check}))
           FROM (SELECT {key} FROM {} TABLESAMPLE SYSTEM ({share}) LIMIT {sample}) AS sample",
        table.name
    );
    let row = session.one(&sql, &[]).await?;
    Ok(Sample {
        rows: get(&row, 0)?,
        misplaced: get(&row, 1)?,
        key: get(&row, 2)?,
    })
}

pub(super) fn check(facts: &Facts, findings: &mut Findings) {
    for shard in &facts.shards {
        for (node, answers) in shard.primaries() {
            match &answers.tables {
                Ok(tables) => {
                    for table in tables.iter().filter(|table| table.exists) {
                        judge(node, table, findings);
                    }
                }
                Err(reason) => findings.node(&UNREAD, node, format!("the tables: {reason}")),
            }
        }
    }
}

fn judge(node: &NodeFacts, table: &Table, findings: &mut Findings) {
    let name = &table.name;
    if !table.identified {
        let evidence = format!("{name} has neither a primary key nor another replica identity");
        findings.node(&REPLICA_IDENTITY, node, evidence);
    }
    if !table.sharded {
        return;
    }
    if !table.placement {
        findings.node(
            &PLACEMENT,
            node,
            format!("{name} has no constraint pgshard_placement"),
        );
    }
    match &table.sample {
        Some(Ok(sample)) if sample.misplaced > 0 => {
            let evidence = format!(
                "{} of {} sampled rows of {name}, such as that of {}",
                sample.misplaced,
                sample.rows,
                literal(sample.key.as_deref().unwrap_or("NULL"))
            );
            findings.node(&MISPLACED, node, evidence);
        }
        Some(Err(reason)) => {
            findings.node(&UNREAD, node, format!("a sample of {name}: {reason}"));
        }
        _ => {}
    }
}
