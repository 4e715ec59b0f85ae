//! Reports over all shards in plain SQL, on any PostgreSQL server, through `postgres_fdw`.
//!
//! [`Fdw::plan`] reads the sharded and the reference tables' columns from every shard, refuses if the
//! shards disagree, and renders what a reporting server needs: a foreign server and a user mapping a
//! shard, a foreign table for each table and shard, and over those a view for each table. A sharded
//! table's view is the UNION ALL of its foreign tables with a constant column `shard`, by which
//! PostgreSQL leaves shards out, or reads a hash-partitioned parent ([`Layout::Partitions`]), by which
//! it leaves them out by key; a reference table's view reads one shard.
//!
//! The views belong to the role that applies them, and read with that role's user mapping; whoever
//! is granted the reader role sees the views only, never a password. [`Fdw::apply`] changes what
//! differs, in one transaction, and [`remove`] takes away exactly what was made.
//!
//! - `catalog` reads columns, `agree` compares them: pure;
//! - `object` is what is made, `name` what it is called; `server`, `layout`, `report` and `render`
//!   make the SQL: pure;
//! - `observed` says which nodes a server names: pure;
//! - `existing` reads what a reporting server has, `change` says what differs: pure;
//! - `apply`, `secret`, `refresh` and `remove` do it; `role` makes the role on the shards;
//! - `advise` measures options; `guide` is the operators' guide's own set-up, mended.

mod advise;
mod agree;
mod apply;
mod catalog;
mod change;
mod existing;
mod guide;
mod layout;
mod name;
mod object;
mod observed;
mod options;
mod refresh;
mod remove;
mod render;
mod report;
mod role;
mod secret;
mod server;

use std::fmt;

use futures::future::try_join_all;

use crate::config::{Config, TableName};
use crate::error::{Error, Result};
use crate::id::{ClusterId, ShardId};
use crate::sql::ident;

pub use advise::{Advice, AdviseOptions, Measured};
pub use change::{Change, Difference};
pub use observed::{ObservedNode, ObservedRole, ObservedShard, observe};
pub use options::{FdwOptions, Hosts, Layout, Reporting, Source};
pub use refresh::{refresh, refresh_materialised};
pub use remove::{removal, remove, remove_report, report_removal};
pub use report::{Branch, Report};
pub use role::{RolePlan, role_apply, role_plan};

use catalog::{Database, Table};
use object::Object;

/// What a reporting server needs, rendered from the shards' catalogs.
pub struct Fdw {
    config: Config,
    options: FdwOptions,
    tables: Vec<Table>,
    database: Database,
    objects: Vec<Object>,
    reports: Vec<Report>,
}

impl fmt::Debug for Fdw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fdw")
            .field("cluster", &self.config.cluster)
            .field("objects", &self.objects.len())
            .finish_non_exhaustive()
    }
}

impl Fdw {
    /// Reads the tables' columns from every shard and renders. Changes nothing anywhere.
    ///
    /// ```no_run
    /// use pgshard::fdw::{Fdw, FdwOptions};
    /// use pgshard::ops::Credentials;
    ///
    /// # async fn run(config: &pgshard::Config) -> pgshard::Result<()> {
    /// let remote = Credentials { user: "reports".into(), password: None };
    /// let fdw = Fdw::plan(config, FdwOptions::new(remote)).await?;
    /// println!("{}", fdw.sql());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `Config` if the configuration declares no table; `Refused` if the shards' tables or
    /// collations differ, with the differences, or if the role may not read a table; and the errors
    /// of connecting, if no node of a shard answers.
    pub async fn plan(config: &Config, options: FdwOptions) -> Result<Fdw> {
        if config.tables.is_empty() && config.references.is_empty() {
            return Err(Error::config(
                "the configuration declares no tables: list the sharded and the reference tables",
            ));
        }
        let shards = try_join_all(
            config
                .shards
                .iter()
                .map(|shard| catalog::read_shard(config, shard, &options)),
        )
        .await?;
        let (tables, database) = agree::agree(config, shards)?;
        let objects = render::objects(config, &options, &tables)?;
        Ok(Fdw {
            config: config.clone(),
            options,
            tables,
            database,
            objects,
            reports: Vec::new(),
        })
    }

    /// The SQL under the names of the operators' guide, as a script for psql: the function
    /// `shard_customer_id`, servers `shard0` …, foreign tables `customers_shard0` …, and views
    /// `customers_all` with a column `shard`, the shard's number. It holds no password.
    ///
    /// # Errors
    ///
    /// `Refused` for `hash = "xxh3"`, which PostgreSQL does not have; `Config` if the options do not
    /// fit.
    pub fn guide_sql(&self) -> Result<String> {
        guide::script(&self.config, &self.options, &self.tables)
    }

    /// Gathers statistics of what was made on a reporting server, reading the shards' tables, and says
    /// of how many foreign tables. With them, the planner there knows how large the tables are.
    ///
    /// # Errors
    ///
    /// The errors of connecting, there and to the shards.
    pub async fn analyze(&self, reporting: &Reporting) -> Result<usize> {
        let mut session = reporting.connect(&self.config).await?;
        apply::analyze(self, &mut session).await
    }

    /// With one more report, which takes the place of another of its name. Reports stay on the
    /// reporting server: later plans keep them, and make them again where what they read is replaced.
    #[must_use]
    pub fn with_report(mut self, report: Report) -> Self {
        self.reports.retain(|other| other.name() != report.name());
        self.reports.push(report);
        self
    }

    /// The SQL of a report, as it is made on the reporting server.
    ///
    /// # Errors
    ///
    /// `Config` if its name is not an identifier, or it has no branches.
    pub fn report_sql(&self, report: &Report) -> Result<String> {
        let object = report::object(&self.config, &self.options, report)?;
        Ok(object.sql.clone() + &object::comment(&object, &object.comment))
    }

    /// The name, as SQL, under which a shard's table is read on the reporting server; `None` if the
    /// configuration does not have the table or the shard.
    pub fn foreign_table(&self, shard: ShardId, table: &TableName) -> Option<String> {
        let names: Vec<_> = self.tables.iter().map(|table| &table.name).collect();
        self.tables.iter().find(|found| found.name == *table)?;
        let asked = self.config.shards.iter().find(|s| s.id == shard)?;
        let name = name::foreign_table(asked.id, table, &names);
        Some(format!("{}.{}", ident(name::FOREIGN), ident(&name)))
    }

    /// The SQL as a script for psql, the same for the same shards. It holds no password: psql's
    /// variable `fdw_password` stands for it.
    pub fn sql(&self) -> String {
        render::script(&self.config, &self.options, &self.objects)
    }

    /// What differs on a reporting server from what [`Fdw::apply`] would leave. Changes nothing.
    ///
    /// # Errors
    ///
    /// As for [`Fdw::apply`].
    pub async fn diff(&self, reporting: &Reporting) -> Result<Vec<Difference>> {
        let session = reporting.connect(&self.config).await?;
        Ok(apply::plan(self, &session).await?.differences)
    }

    /// Makes a reporting server as rendered, in one transaction, and says what was changed. Nothing
    /// is touched that is as it should be.
    ///
    /// The passwords of the user mappings travel apart from the SQL, so that the server's log and
    /// statistics do not show them.
    ///
    /// # Errors
    ///
    /// `Refused`, before anything is changed, if a column's type or collation is not known to the
    /// reporting server or its own default collation is not the shards', if objects of the same
    /// names were made by somebody else, if objects that somebody made depend on one that must be
    /// replaced, or if the server would log passwords and this role may not prevent it.
    pub async fn apply(&self, reporting: &Reporting) -> Result<Vec<Difference>> {
        let mut session = reporting.connect(&self.config).await?;
        apply::apply(self, &mut session, None).await
    }

    /// As [`Fdw::apply`], if what would be changed still is what [`Fdw::diff`] said.
    ///
    /// # Errors
    ///
    /// As for [`Fdw::apply`]; `Refused`, and nothing is changed, if the server has changed since.
    pub async fn apply_planned(
        &self,
        reporting: &Reporting,
        planned: &[Difference],
    ) -> Result<Vec<Difference>> {
        let mut session = reporting.connect(&self.config).await?;
        apply::apply(self, &mut session, Some(planned)).await
    }
}

/// The comment on everything that is made, by which it is known again.
fn marker(cluster: ClusterId) -> String {
    format!("pgshard fdw: cluster {cluster};")
}
