//! What the servers say a statement is: the types, names and collations of its columns.

use tokio::time::Instant;
use tokio_postgres::types::Type;

use super::params::is_collatable;
use crate::client::Core;
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::fanout::Reading;
use crate::id::ShardIndex;
use crate::monitor::Choice;
use crate::pool::Lease;

/// A column as the server describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) ty: Type,
    /// The collation of its values, quoted, for types that have one.
    pub(super) collation: Option<String>,
    /// The domain that its values are of, quoted.
    pub(super) domain: Option<String>,
}

/// A connection to describe statements on.
pub(super) struct Describer {
    lease: Lease,
    deadline: Instant,
}

impl Describer {
    /// Takes a connection to any shard that answers.
    pub(super) async fn open(core: &Core, reading: &Reading, deadline: Instant) -> Result<Self> {
        let mut last = None;
        for (shard, _) in core.shards() {
            match Self::on(core, reading, shard, deadline).await {
                Ok(describer) => return Ok(describer),
                Err(error) => last = Some(error),
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(last.unwrap_or_else(|| Error::new(ErrorKind::Unavailable, "there is no shard")))
    }

    async fn on(
        core: &Core,
        reading: &Reading,
        shard: ShardIndex,
        deadline: Instant,
    ) -> Result<Self> {
        let read = reading.read(core, shard);
        let lease = read
            .lease_until(Choice::default(), Instant::now(), deadline)
            .await?;
        Ok(Describer { lease, deadline })
    }

    /// The types of a statement's parameters, and its columns.
    pub(super) async fn describe(&self, sql: &str) -> Result<(Vec<Type>, Vec<Described>)> {
        let statement = self.lease.describe(sql, self.deadline).await?;
        let columns = statement.columns().iter().map(|column| Described {
            name: column.name().to_owned(),
            ty: column.type_().clone(),
            collation: None,
            domain: None,
        });
        Ok((statement.params().to_vec(), columns.collect()))
    }

    /// The same of a query without parameters of its own that were not cast, with collations and domains.
    pub(super) async fn in_full(&self, sql: &str, params: &[Type]) -> Result<Vec<Described>> {
        let (_, mut columns) = self.describe(sql).await?;
        if columns.is_empty() {
            return Ok(columns);
        }
        let names: Vec<String> = (1..=columns.len()).map(|n| format!("c{n}")).collect();
        let asked: Vec<String> = columns
            .iter()
            .zip(&names)
            .map(|(column, name)| {
                let collation = match is_collatable(&column.ty) {
                    true => format!("pg_catalog.pg_collation_for(q.{name})"),
                    false => "NULL::pg_catalog.text".to_owned(),
                };
                // The description of a statement tells of a domain what is under it.
                format!(
                    "{collation}, CASE WHEN pg_catalog.pg_typeof(q.{name})::pg_catalog.oid <> {} THEN \
                     pg_catalog.format_type(pg_catalog.pg_typeof(q.{name})::pg_catalog.oid, NULL) END",
                    column.ty.oid()
                )
            })
            .collect();
        // Its one row is known without running the query.
        let question = format!(
            "SELECT {} FROM (SELECT 1) one LEFT JOIN (\n{sql}\n) q ({}) ON false",
            asked.join(", "),
            names.join(", ")
        );
        let nulls: Vec<crate::fanout::Encoded> = params
            .iter()
            .map(|ty| crate::fanout::Encoded {
                ty: ty.clone(),
                bytes: None,
            })
            .collect();
        let nulls: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = nulls
            .iter()
            .map(|null| null as &(dyn tokio_postgres::types::ToSql + Sync))
            .collect();
        let rows = self
            .lease
            .query(&question, &nulls, Phase::Prepare, self.deadline)
            .await?;
        let row = rows.first();
        let text =
            |at: usize| row.and_then(|row| row.try_get::<_, Option<String>>(at).ok().flatten());
        for (at, column) in columns.iter_mut().enumerate() {
            column.collation = text(2 * at);
            column.domain = text(2 * at + 1);
        }
        Ok(columns)
    }
}
