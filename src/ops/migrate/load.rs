//! Loading a reference table: the same rows on all shards.

use std::time::Duration;

use bytes::Bytes;
use futures::future::{join_all, try_join_all};
use serde::Serialize;

use crate::config::{Config, TableName};
use crate::direct::{Credentials, Session, find, get};
use crate::error::{Error, Result};
use crate::id::ShardId;
use crate::sql::ident;

use super::ledger;
use super::references::{self, DIGEST};

/// Rows beyond this are no reference table's.
const MOST: usize = 64 << 20;

/// Where the rows are until they are compared.
const STAGE: &str = "pg_temp.pgshard_load";

/// The rows that a reference table is to have.
#[derive(Clone, Debug)]
pub enum Rows {
    /// CSV as PostgreSQL reads it, with a line of column names.
    Csv {
        /// The columns, in the order of that line.
        columns: Vec<String>,
        /// The text, with that line.
        text: Vec<u8>,
    },
    /// Those that a shard has.
    Of(ShardId),
}

/// How to load.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LoadOptions {
    /// Delete rows that are on a shard and not among the new ones; without it, such a load is refused.
    pub delete: bool,
    /// How long the table's lock is waited for. Readers are never kept out.
    pub lock_timeout: Duration,
    /// How long a statement may take.
    pub limit: Duration,
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions {
            delete: false,
            lock_timeout: Duration::from_secs(2),
            limit: Duration::from_secs(300),
        }
    }
}

/// What a load does on a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Loaded {
    /// The table.
    pub table: String,
    /// The shard.
    pub shard: ShardId,
    /// Rows that it lacked.
    pub inserted: i64,
    /// Rows that it had otherwise.
    pub updated: i64,
    /// Rows that are not among the new ones.
    pub deleted: i64,
}

impl Loaded {
    /// Whether it has the rows already.
    pub fn is_nothing(&self) -> bool {
        self.inserted + self.updated + self.deleted == 0
    }
}

/// A load, compared with what all shards have.
#[derive(Debug)]
pub struct Load<'c> {
    config: &'c Config,
    role: &'c Credentials,
    options: LoadOptions,
    table: Table,
    text: Bytes,
    from: Option<ShardId>,
    changes: Vec<Loaded>,
}

#[derive(Debug)]
struct Table {
    name: TableName,
    /// For people.
    shown: String,
    columns: Vec<String>,
    key: Vec<String>,
}

struct Open {
    shard: ShardId,
    session: Session,
}

impl<'c> Load<'c> {
    /// Compares the new rows with those of all shards. Changes nothing.
    ///
    /// # Errors
    ///
    /// What a primary answers: nothing is planned while a shard is without one, or if the rows are not the table's.
    /// `Config` if it is no reference table of the configuration; `Refused` if it has no primary key, if that is not
    /// among the columns, if rows would be deleted and that is not allowed, or beyond 64 MiB.
    pub async fn plan(
        config: &'c Config,
        role: &'c Credentials,
        table: &TableName,
        rows: Rows,
        options: LoadOptions,
    ) -> Result<Load<'c>> {
        if !config.references.contains(table) {
            return Err(Error::config(format!(
                "{}.{} is no reference table of the topology file: add [[reference]] name = …",
                table.schema, table.name
            )));
        }
        if let Rows::Of(shard) = &rows
            && config.shard(*shard).is_none()
        {
            return Err(Error::config(format!("there is no shard {shard}")));
        }
        let shards = open(config, role, &options).await?;
        let (columns, from) = match &rows {
            Rows::Csv { columns, .. } => (Some(columns.clone()), None),
            Rows::Of(shard) => (None, Some(*shard)),
        };
        let source = shards
            .iter()
            .find(|open| from.is_none_or(|from| open.shard == from))
            .ok_or_else(|| Error::config("there are no shards"))?;
        let table = Table::of(&source.session, table, columns).await?;
        let text = match rows {
            Rows::Csv { text, .. } => text.into(),
            Rows::Of(_) => source.session.copy_out(&table.copy_out(), MOST).await?,
        };
        if text.len() > MOST {
            return Err(Error::refused(format!("it has more than {MOST} bytes")));
        }
        let mut load = Load {
            config,
            role,
            options,
            table,
            text,
            from,
            changes: Vec::new(),
        };
        let compared = shards.iter().map(|open| async {
            load.stage(open).await?;
            let row = open.session.one(&load.table.compare(), &[]).await?;
            // The temporary table goes with it.
            open.session.batch("ROLLBACK").await?;
            load.loaded(open.shard, (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?))
        });
        load.changes = try_join_all(compared).await?;
        Ok(load)
    }

    /// What it does on each shard.
    pub fn changes(&self) -> &[Loaded] {
        &self.changes
    }

    /// Loads the rows, in a transaction a shard. None commits before all have the same rows: a failure until then
    /// changes nothing. Readers go on; whoever writes to the table waits meanwhile.
    ///
    /// # Errors
    ///
    /// `Refused` if somebody else applies migrations or loads now, if the table was changed meanwhile on the shard
    /// that it is loaded from, or if columns that are not loaded differ between the shards; what a server answers,
    /// also that another table refers to a row that is to be deleted. If a COMMIT fails, others may have
    /// succeeded: the message says which; load again.
    pub async fn apply(self) -> Result<Vec<Loaded>> {
        let shards = open(self.config, self.role, &self.options).await?;
        for open in &shards {
            if !ledger::lock(&open.session).await? {
                return Err(
                    Error::refused("somebody else applies migrations to this shard now")
                        .on_shard(open.shard),
                );
            }
        }
        let done = shards.iter().map(|open| self.change(open));
        let done = try_join_all(done).await?;
        let digests = done.iter().map(|(_, digest)| digest);
        if digests.clone().any(|digest| digest != &done[0].1) {
            return Err(Error::refused(format!(
                "{} would not be the same on all shards: columns that are not loaded ({} are) differ, or a trigger \
                 changes the rows. Nothing was changed",
                self.table.shown,
                self.table.columns.join(", ")
            )));
        }
        let commits = join_all(shards.iter().map(|open| open.session.commit())).await;
        let failed = commits.into_iter().zip(&shards);
        let failed: Vec<(Error, ShardId)> = failed
            .filter_map(|(result, open)| Some((result.err()?, open.shard)))
            .collect();
        let Some((first, _)) = failed.first() else {
            return Ok(done.into_iter().map(|(loaded, _)| loaded).collect());
        };
        let names: Vec<String> = failed.iter().map(|(_, s)| s.to_string()).collect();
        let message = format!(
            "{} of {} shards did not say that they have the rows ({}), the others have them: load again. {}",
            failed.len(),
            shards.len(),
            names.join(", "),
            first.message()
        );
        Err(Error::new(first.kind(), message).with_label(crate::error::Label::OUTCOME_UNKNOWN))
    }

    /// Puts the new rows beside the table, in a transaction.
    async fn stage(&self, open: &Open) -> Result<()> {
        let Open { session, .. } = open;
        session.batch(&self.table.stage()).await?;
        let copy = self.table.copy_in();
        session.copy_in(&copy, self.text.clone()).await?;
        let key = list(&self.table.key);
        let unique = format!("CREATE UNIQUE INDEX ON {STAGE} ({key}); ANALYZE {STAGE}");
        session.batch(&unique).await
    }

    /// Makes the table's rows the new ones, and does not commit.
    async fn change(&self, open: &Open) -> Result<(Loaded, String)> {
        let Open { session, shard } = open;
        self.stage(open).await?;
        let lock = format!(
            "SET LOCAL lock_timeout = {}; LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE",
            self.options.lock_timeout.as_millis(),
            self.table.name
        );
        session.batch(&lock).await?;
        let count = async |sql: String| {
            let sql = format!("WITH done AS ({sql} RETURNING 1) SELECT count(*) FROM done");
            get::<i64>(&session.one(&sql, &[]).await?, 0)
        };
        let deleted = count(self.table.delete()).await?;
        let updated = match self.table.update() {
            Some(sql) => count(sql).await?,
            None => 0,
        };
        let inserted = count(self.table.insert()).await?;
        let loaded = self.loaded(*shard, (inserted, updated, deleted))?;
        if self.from == Some(*shard) && !loaded.is_nothing() {
            return Err(Error::refused(
                "the table was changed meanwhile on the shard that it is loaded from: run this again",
            )
            .on_shard(*shard));
        }
        let row = session
            .one(&references::digest(&self.table.name), &[])
            .await?;
        Ok((loaded, get(&row, DIGEST)?))
    }

    fn loaded(&self, shard: ShardId, counts: (i64, i64, i64)) -> Result<Loaded> {
        let (inserted, updated, deleted) = counts;
        if deleted > 0 && !self.options.delete {
            return Err(Error::refused(format!(
                "{} has {deleted} rows that are not among the new ones: add them, or allow that they are deleted \
                 (--delete)",
                self.table.shown
            ))
            .on_shard(shard));
        }
        Ok(Loaded {
            table: self.table.shown.clone(),
            shard,
            inserted,
            updated,
            deleted,
        })
    }
}

async fn open(config: &Config, role: &Credentials, options: &LoadOptions) -> Result<Vec<Open>> {
    let opened = config.shards.iter().map(|shard| async move {
        let mut session = find(config, shard, role).await?.session;
        session.set_deadline(options.limit);
        let settings = format!(
            "SET statement_timeout = {}; SET search_path = \"$user\", public; {}",
            options.limit.as_millis(),
            references::TEXT
        );
        session.batch(&settings).await?;
        Ok::<_, Error>(Open {
            shard: shard.id,
            session,
        })
    });
    try_join_all(opened).await
}

impl Table {
    /// Looks at the table; without columns, all that can be written are meant.
    async fn of(
        session: &Session,
        name: &TableName,
        columns: Option<Vec<String>>,
    ) -> Result<Table> {
        let shown = format!("{}.{}", name.schema, name.name);
        let sql = "
            SELECT coalesce(array_agg(a.attname::text ORDER BY a.attnum), '{}'),
                   coalesce(array_agg(a.attname::text ORDER BY array_position(i.indkey::int2[], a.attnum))
                                FILTER (WHERE a.attnum = ANY (i.indkey)), '{}')
              FROM pg_catalog.pg_attribute a
              LEFT JOIN pg_catalog.pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
             WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''";
        let row = session.one(sql, &[&name.to_string()]).await?;
        let (all, key): (Vec<String>, Vec<String>) = (get(&row, 0)?, get(&row, 1)?);
        let refused = |why: String| Err(session.fail(Error::refused(why)));
        if key.is_empty() {
            return refused(format!(
                "{shown} has no primary key, by which rows are compared: add one"
            ));
        }
        let columns = columns.unwrap_or_else(|| all.clone());
        if let Some(unknown) = columns.iter().find(|column| !all.contains(column)) {
            return refused(format!(
                "{shown} has no column {unknown:?} that can be written; it has {}. The first line of the file names the \
                 columns",
                all.join(", ")
            ));
        }
        if let Some(twice) = (1..columns.len()).find(|at| columns[..*at].contains(&columns[*at])) {
            return refused(format!("the column {:?} is named twice", columns[twice]));
        }
        if let Some(missing) = key.iter().find(|column| !columns.contains(column)) {
            return refused(format!(
                "the column {missing:?} of the primary key of {shown} is not among the columns: {}",
                columns.join(", ")
            ));
        }
        Ok(Table {
            name: name.clone(),
            shown: shown.clone(),
            columns,
            key,
        })
    }

    fn stage(&self) -> String {
        format!(
            "BEGIN; CREATE TEMPORARY TABLE pgshard_load ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA",
            list(&self.columns),
            self.name
        )
    }

    fn copy_in(&self) -> String {
        let columns = list(&self.columns);
        format!("COPY {STAGE} ({columns}) FROM STDIN (FORMAT csv, HEADER)")
    }

    fn copy_out(&self) -> String {
        format!(
            "COPY (SELECT {} FROM {} ORDER BY {}) TO STDOUT (FORMAT csv, HEADER)",
            list(&self.columns),
            self.name,
            list(&self.key)
        )
    }

    fn same_key(&self) -> String {
        let equal = |column: &String| format!("have.{0} = want.{0}", ident(column));
        self.key.iter().map(equal).collect::<Vec<_>>().join(" AND ")
    }

    /// That the columns differ, as texts: 1.0 and 1.00 do, and not all types can be compared otherwise.
    fn differ(&self) -> String {
        let row = |side: &str| {
            let columns = self.columns.iter();
            let columns: Vec<String> = columns.map(|c| format!("{side}.{}", ident(c))).collect();
            format!("ROW({})::text", columns.join(", "))
        };
        format!("{} IS DISTINCT FROM {}", row("have"), row("want"))
    }

    /// How many rows would be inserted, updated, deleted.
    fn compare(&self) -> String {
        let (name, same, differ) = (&self.name, self.same_key(), self.differ());
        format!(
            "SELECT (SELECT count(*) FROM {STAGE} want WHERE NOT EXISTS (SELECT FROM {name} have WHERE {same})),
                    (SELECT count(*) FROM {STAGE} want JOIN {name} have ON {same} WHERE {differ}),
                    (SELECT count(*) FROM {name} have WHERE NOT EXISTS (SELECT FROM {STAGE} want WHERE {same}))"
        )
    }

    fn delete(&self) -> String {
        let (name, same) = (&self.name, self.same_key());
        format!("DELETE FROM {name} have WHERE NOT EXISTS (SELECT FROM {STAGE} want WHERE {same})")
    }

    fn update(&self) -> Option<String> {
        let others = self.columns.iter().filter(|c| !self.key.contains(c));
        let set: Vec<String> = others
            .map(|column| format!("{0} = want.{0}", ident(column)))
            .collect();
        let (name, same, differ) = (&self.name, self.same_key(), self.differ());
        (!set.is_empty()).then(|| {
            format!(
                "UPDATE {name} have SET {} FROM {STAGE} want WHERE {same} AND {differ}",
                set.join(", ")
            )
        })
    }

    fn insert(&self) -> String {
        let (name, same, columns) = (&self.name, self.same_key(), list(&self.columns));
        format!(
            "INSERT INTO {name} ({columns}) OVERRIDING SYSTEM VALUE
             SELECT {columns} FROM {STAGE} want WHERE NOT EXISTS (SELECT FROM {name} have WHERE {same})"
        )
    }
}

fn list(columns: &[String]) -> String {
    let quoted: Vec<String> = columns.iter().map(|c| ident(c).to_string()).collect();
    quoted.join(", ")
}
