//! Reports over all shards in plain SQL, on any PostgreSQL server, through `postgres_fdw`.
//!
//! [`Fdw::plan`] reads the sharded and the reference tables' columns from every shard, refuses if the
//! shards disagree, and renders what a reporting server needs: a foreign server and a user mapping a
//! shard, a foreign table for each table and shard, and over those a view for each table. A sharded
//! table's view is the UNION ALL of its foreign tables with a constant column `shard`, by which
//! PostgreSQL leaves shards out; a reference table's view reads one shard.
//!
//! The views belong to the role that applies them, and read with that role's user mapping; whoever
//! is granted the reader role sees the views only, never a password. [`Fdw::apply`] changes what
//! differs, in one transaction, and [`remove`] takes away exactly what was made.
//!
//! - `catalog` reads columns, `agree` compares them: pure;
//! - `name` and `render` make the SQL: pure;
//! - `existing` reads what a reporting server has, `change` says what differs: pure;
//! - `apply`, `secret` and `remove` do it.

mod agree;
mod apply;
mod catalog;
mod change;
mod existing;
mod name;
mod remove;
mod render;
mod secret;

use std::fmt;

use futures::future::try_join_all;

use crate::config::{Config, NodeConfig, TlsConfig};
use crate::direct::Credentials;
use crate::direct::Session;
use crate::error::{Error, Result};
use crate::id::{ClusterId, NodeId};

pub use change::{Change, Difference};
pub use remove::{removal, remove};

use catalog::{Database, Table};
use render::Object;

/// Which nodes the reporting server reads from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// Replicas, or the primary where no replica answers. Reports may be seconds behind.
    #[default]
    Replicas,
    /// Primaries only. Reports compete with the application.
    Primaries,
}

/// How the reporting server is set up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FdwOptions {
    /// The role on the shards that reports read as. It needs SELECT on the tables and nothing else.
    pub remote: Credentials,
    /// Where reports read.
    pub source: Source,
    /// The schema of the views on the reporting server.
    pub schema: String,
    /// The role on the reporting server that may read the views. It is created, without login, if
    /// it does not exist; grant it to people.
    pub reader: String,
    /// Rows fetched from a shard at a time. More is faster for reports that read much, and slower
    /// for those that stop early, such as a top 100.
    pub fetch_size: u32,
    /// The file on the reporting server with the authorities that sign the shards' certificates;
    /// libpq's own default if absent.
    pub root_certificate: Option<String>,
}

impl FdwOptions {
    /// The defaults: from replicas, views in the schema `reporting`, for the role
    /// `pgshard_reader`, 1000 rows at a time.
    pub fn new(remote: Credentials) -> Self {
        FdwOptions {
            remote,
            source: Source::default(),
            schema: "reporting".to_owned(),
            reader: "pgshard_reader".to_owned(),
            fetch_size: 1000,
            root_certificate: None,
        }
    }
}

/// A reporting server: a database on any PostgreSQL that can reach the shards.
#[derive(Clone, Debug)]
pub struct Reporting {
    /// A host name, an address, or the directory of a Unix socket.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The role that is to own what is made. It needs the right to create schemas, and to use
    /// `postgres_fdw`; only a superuser may create the extension.
    pub role: Credentials,
    /// How the connection is encrypted.
    pub tls: TlsConfig,
}

impl Reporting {
    async fn connect(&self, config: &Config) -> Result<Session> {
        let mut settings = config.clone();
        settings.database.clone_from(&self.database);
        settings.tls = self.tls.clone();
        let node = NodeConfig {
            id: NodeId::new("reporting")
                .map_err(|error| Error::config(error.to_string()).with_source(error))?,
            host: self.host.clone(),
            port: self.port,
            proxy: None,
        };
        Session::to_server(&settings, &node, &self.role).await
    }
}

/// What a reporting server needs, rendered from the shards' catalogs.
pub struct Fdw {
    config: Config,
    options: FdwOptions,
    tables: Vec<Table>,
    database: Database,
    objects: Vec<Object>,
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
                .map(|shard| catalog::read_shard(config, shard, &options.remote)),
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
        })
    }

    /// The SQL as a script for psql, the same for the same shards. It holds no password: psql's
    /// variable `fdw_password` stands for it.
    pub fn sql(&self) -> String {
        render::script(&self.config, &self.objects)
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
        let session = reporting.connect(&self.config).await?;
        apply::apply(self, &session, None).await
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
        let session = reporting.connect(&self.config).await?;
        apply::apply(self, &session, Some(planned)).await
    }
}

/// The comment on everything that is made, by which it is known again.
fn marker(cluster: ClusterId) -> String {
    format!("pgshard fdw: cluster {cluster};")
}
