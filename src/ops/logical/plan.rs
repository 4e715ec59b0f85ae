//! A new subscription: checked on both ends before anything is changed.

use serde::Serialize;

use crate::config::{Config, TableName};
use crate::direct::{Credentials, Session, get};
use crate::error::{Error, Result};
use crate::ops::hosts::Hosts;
use crate::sql::{ident, literal};

use super::requirements::{check_publisher, check_subscriber};
use super::server::Server;
use super::{Endpoint, Rows};

/// What is to be replicated, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Wanted {
    /// The name of the publication, the slot and the subscription.
    pub name: String,
    /// Where the rows come from.
    pub from: Endpoint,
    /// Where they go.
    pub to: Endpoint,
    /// The tables.
    pub tables: Vec<TableName>,
    /// Which of their rows.
    pub rows: Rows,
    /// Whether to copy the rows that are there already.
    pub copy: bool,
    /// Whether the subscriber's tables may hold rows when the copy begins.
    pub allow_rows: bool,
    /// The role as which the subscriber comes.
    pub user: String,
    /// Where the subscriber's server finds that role's password, on its machine.
    pub passfile: Option<String>,
    /// More of the connection string, such as `sslmode=verify-full`; no password.
    pub conninfo: String,
}

impl Wanted {
    /// All rows of tables, with a copy of what is there, as the role `replicator`.
    pub fn new(name: &str, from: Endpoint, to: Endpoint, tables: Vec<TableName>) -> Self {
        Wanted {
            name: name.to_owned(),
            from,
            to,
            tables,
            rows: Rows::All,
            copy: true,
            allow_rows: false,
            user: "replicator".to_owned(),
            passfile: None,
            conninfo: String::new(),
        }
    }

    fn check(&self) -> Result<()> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if self.name.is_empty() || self.name.len() > 63 || !self.name.chars().all(allowed) {
            return Err(Error::config(format!(
                "{:?} cannot be the name of a slot: a-z, 0-9 and _ are allowed, 63 at most",
                self.name
            )));
        }
        if self.conninfo.contains("password=") {
            return Err(Error::config(
                "the connection string would be kept with its password in the catalog: name a passfile",
            ));
        }
        match self.tables.is_empty() {
            true => Err(Error::config("no table is named")),
            false => Ok(()),
        }
    }

    /// With which the subscriber reaches the publisher, wherever that shard's primary is.
    fn connection(&self, config: &Config, hosts: Option<&Hosts>) -> String {
        let quote = |text: &str| format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"));
        let addresses = self.from.addresses(config, hosts);
        let names: Vec<&str> = addresses.iter().map(|(host, _)| host.as_str()).collect();
        let ports: Vec<String> = addresses.iter().map(|(_, port)| port.to_string()).collect();
        let mut text = format!(
            "host={} port={} dbname={} user={} connect_timeout=5 target_session_attrs=primary",
            quote(&names.join(",")),
            quote(&ports.join(",")),
            quote(self.from.database(config)),
            quote(&self.user),
        );
        if let Some(file) = &self.passfile {
            text.push_str(&format!(" passfile={}", quote(file)));
        }
        format!("{text} {}", self.conninfo).trim_end().to_owned()
    }
}

/// Which end a change is made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// Where the rows come from.
    Publisher,
    /// Where they go.
    Subscriber,
}

/// A change.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// Where.
    pub end: End,
    /// The statement.
    pub sql: String,
}

/// What makes a subscription.
pub struct Plan {
    publisher: Session,
    subscriber: Session,
    changes: Vec<Change>,
    notes: Vec<String>,
    name: String,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan")
            .field("changes", &self.changes)
            .finish_non_exhaustive()
    }
}

impl Plan {
    /// Looks at both ends. Changes nothing.
    ///
    /// # Errors
    ///
    /// `Refused` with all that stands in the way; `Config` for what makes no sense; what a server answers.
    pub async fn new(
        config: &Config,
        hosts: Option<&Hosts>,
        wanted: &Wanted,
        role: &Credentials,
    ) -> Result<Plan> {
        wanted.check()?;
        let conditions = wanted
            .tables
            .iter()
            .map(|table| wanted.rows.condition(config, table))
            .collect::<Result<Vec<_>>>()?;
        if let Endpoint::Shard(shard) = &wanted.to {
            let sharded = |table: &&TableName| config.tables.iter().any(|t| t.name == **table);
            if wanted.tables.iter().any(|table| sharded(&table)) {
                wanted.rows.fit(config, *shard)?;
            }
        }
        let publisher = wanted.from.open(config, role).await?;
        let subscriber = wanted.to.open(config, role).await?;
        let source = Server::read(&publisher, &wanted.tables, &wanted.user).await?;
        let target = Server::read(&subscriber, &wanted.tables, &wanted.user).await?;

        let mut problems = Vec::new();
        let columns: Vec<Option<&str>> = conditions
            .iter()
            .map(|condition| condition.as_ref().map(|(_, column)| column.as_str()))
            .collect();
        check_publisher(wanted, &source, &columns, &mut problems);
        check_subscriber(wanted, &source, &target, &mut problems);
        if wanted.copy && !wanted.allow_rows {
            for table in target.tables.iter().filter(|table| table.exists()) {
                let sql = format!("SELECT EXISTS (SELECT FROM {})", table.name);
                if get::<bool>(&subscriber.one(&sql, &[]).await?, 0)? {
                    problems.push(format!(
                        "{} has rows on the subscriber, and a copy of one that is there already stops \
                         everything: empty it, or pass --no-copy or --allow-rows",
                        table.name
                    ));
                }
            }
        }
        if !problems.is_empty() {
            return Err(Error::refused(problems.join("; ")));
        }
        let connection = wanted.connection(config, hosts);
        let mut plan = Plan {
            publisher,
            subscriber,
            changes: Vec::new(),
            notes: Vec::new(),
            name: wanted.name.clone(),
        };
        plan.find_changes(wanted, &source, &target, &conditions, &connection);
        plan.note(wanted, &source, &target);
        Ok(plan)
    }

    /// What is to be done; nothing, if all of it is there.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What somebody should know who has not done this before.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    fn find_changes(
        &mut self,
        wanted: &Wanted,
        source: &Server,
        target: &Server,
        conditions: &[Option<(String, String)>],
        connection: &str,
    ) {
        let mut add = |end, sql| self.changes.push(Change { end, sql });
        let name = ident(&wanted.name);
        let user = ident(&wanted.user);
        let all_powers = source.role.as_ref().is_some_and(|role| role.superuser);
        for table in source.tables.iter().filter(|t| !t.readable && !all_powers) {
            let schema = ident(&table.schema);
            add(
                End::Publisher,
                format!("GRANT USAGE ON SCHEMA {schema} TO {user}"),
            );
            add(
                End::Publisher,
                format!("GRANT SELECT ON {} TO {user}", table.name),
            );
        }
        if !source.publications.iter().any(|(n, _)| *n == wanted.name) {
            let tables: Vec<String> = source
                .tables
                .iter()
                .zip(conditions)
                .map(|(table, condition)| match condition {
                    Some((condition, _)) => format!("{} WHERE ({condition})", table.name),
                    None => table.name.clone(),
                })
                .collect();
            // One transaction: an interrupted run leaves both, or neither.
            add(
                End::Publisher,
                format!(
                    "CREATE PUBLICATION {name} FOR TABLE {} WITH (publish_via_partition_root = true); \
                     COMMENT ON PUBLICATION {name} IS {}",
                    tables.join(", "),
                    literal(&mark(wanted))
                ),
            );
        }
        let failover = source.version >= 170_000 && target.version >= 170_000;
        if !source.slot_names.contains(&wanted.name) {
            let more = if failover { ", false, false, true" } else { "" };
            add(
                End::Publisher,
                format!(
                    "SELECT pg_create_logical_replication_slot({}, 'pgoutput'{more})",
                    literal(&wanted.name)
                ),
            );
        }
        if !target.subscriptions.contains(&wanted.name) {
            let mut options = format!(
                "create_slot = false, slot_name = {}, copy_data = {}",
                literal(&wanted.name),
                wanted.copy
            );
            if target.version >= 150_000 {
                options.push_str(", disable_on_error = true");
            }
            if failover {
                options.push_str(", failover = true");
            }
            add(
                End::Subscriber,
                format!(
                    "CREATE SUBSCRIPTION {name} CONNECTION {} PUBLICATION {name} WITH ({options})",
                    literal(connection)
                ),
            );
        }
    }

    fn note(&mut self, wanted: &Wanted, source: &Server, target: &Server) {
        let mut note = |text: String| self.notes.push(text);
        note(
            "sequences and changes of the schema are not replicated; foreign keys are not checked for what \
             arrives"
                .to_owned(),
        );
        match source.version >= 170_000 && target.version >= 170_000 {
            true => note(
                "the slot survives a failover where standbys have sync_replication_slots = on, \
                 hot_standby_feedback = on and a dbname in primary_conninfo"
                    .to_owned(),
            ),
            false => note(format!(
                "before PostgreSQL 17 a slot is not on the standbys: after a failover of {}, drop the \
                 subscription and make it anew with a copy (shardctl logical drop)",
                wanted.from
            )),
        }
        for table in target.tables.iter().filter(|t| !t.triggers.is_empty()) {
            note(format!(
                "triggers of {} fire for what arrives: {}",
                table.name,
                table.triggers.join(", ")
            ));
        }
    }

    /// Makes it. When the subscription cannot be made, what was made for it is taken back: a slot that nobody
    /// reads keeps the log until the disk is full.
    ///
    /// # Errors
    ///
    /// What a server answers.
    pub async fn apply(&self, mut progress: impl FnMut(&Change)) -> Result<()> {
        let mut made: Vec<String> = Vec::new();
        for change in &self.changes {
            progress(change);
            let session = match change.end {
                End::Publisher => &self.publisher,
                End::Subscriber => &self.subscriber,
            };
            if let Err(error) = session.batch(&change.sql).await {
                for sql in made.iter().rev() {
                    // What cannot be taken back is found by the next run.
                    let _ = self.publisher.batch(sql).await;
                }
                return Err(error);
            }
            if change.sql.starts_with("CREATE PUBLICATION") {
                made.push(format!("DROP PUBLICATION {}", ident(&self.name)));
            } else if change.sql.starts_with("SELECT pg_create") {
                made.push(format!(
                    "SELECT pg_drop_replication_slot({})",
                    literal(&self.name)
                ));
            }
        }
        Ok(())
    }
}

/// By which an interrupted run knows its own publication.
pub(super) fn mark(wanted: &Wanted) -> String {
    let tables: Vec<String> = wanted.tables.iter().map(ToString::to_string).collect();
    format!("pgshard: {} {:?}", tables.join(", "), wanted.rows)
}
