//! What a shard's servers lack for streaming replication, and how they get it.

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::direct::{Session, get};
use crate::error::{Error, Result};
use crate::id::{NodeId, ShardId};
use crate::ops::primary::Admin;
use crate::sql::{ident, literal};

use super::{Member, Server, members, slot_name};

/// What the servers are to be.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PlanOptions {
    /// The password of the role that standbys stream as, if the role is not there yet. Servers are given a
    /// verifier, never the password.
    pub replication_password: Option<SecretString>,
    /// For how many standbys COMMIT waits; none: as it is.
    pub synchronous: Option<Synchronous>,
    /// MiB of log that a slot may keep; where there is no limit yet, 10 GiB.
    pub max_slot_wal: Option<u64>,
}

/// For whom COMMIT waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronous {
    /// For nobody.
    Off,
    /// For so many of the shard's standbys, whichever are the fastest.
    Any(usize),
    /// For the first so many of the shard's standbys, in the order of the topology file.
    First(usize),
}

/// How a change is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// By SQL, at once.
    Apply,
    /// By SQL; it takes effect when you restart the server.
    ApplyAndRestart,
    /// By you, in a file.
    ByHand,
}

/// A change of a server.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// The server.
    pub node: NodeId,
    /// What and why.
    pub what: String,
    /// How.
    pub how: How,
    /// The SQL, or the line of a file. Without passwords: a role's verifier is left out.
    pub text: String,
    sql: Option<String>,
}

/// The changes that a shard needs.
pub struct Plan<'c> {
    members: Vec<Member<'c>>,
    changes: Vec<Change>,
}

impl<'c> Plan<'c> {
    /// Looks at the servers of a shard. Changes nothing.
    ///
    /// # Errors
    ///
    /// `Refused` where Patroni manages the shard; what a server answers; `Unavailable` or `Contested` where there is not one primary; `Config` where
    /// the replication role is missing and its password was not given.
    pub async fn new(admin: &Admin<'c>, shard: ShardId, options: &PlanOptions) -> Result<Plan<'c>> {
        let shard = admin.shard(shard)?;
        let members = members(admin.config, shard, admin.role).await?;
        let writable: Vec<usize> = members
            .iter()
            .enumerate()
            .filter(|(_, member)| member.server().is_some_and(|server| !server.standby))
            .map(|(at, _)| at)
            .collect();
        let [primary] = writable[..] else {
            return Err(Error::refused(format!(
                "{} servers of the shard take writes: it needs one primary first",
                writable.len()
            ))
            .on_shard(shard.id));
        };
        let standbys: Vec<NodeId> = members
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != primary)
            .map(|(_, member)| member.node.id)
            .collect();
        let mut changes = Vec::new();
        for member in &members {
            if let Some(server) = member.server() {
                settings(
                    member.node.id,
                    server,
                    standbys.len(),
                    options,
                    &mut changes,
                );
            }
        }
        let main = &members[primary];
        if let Ok((session, server)) = &main.answer {
            let user = &admin.hosts.replication_user;
            role(main.node.id, session, user, options, &mut changes).await?;
            slots(main.node.id, server, &standbys, &mut changes);
            synchronous(main.node.id, server, &standbys, options, &mut changes)?;
            for &standby in &standbys {
                access(admin, main.node.id, standby, user, &mut changes).await;
            }
        }
        Ok(Plan { members, changes })
    }

    /// The changes, in order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Makes those that SQL can make. They are idempotent, and looked for anew by the next plan.
    ///
    /// # Errors
    ///
    /// What a server answers; the changes before it are made.
    pub async fn apply(&self, mut done: impl FnMut(&Change)) -> Result<()> {
        for change in &self.changes {
            let Some(sql) = &change.sql else { continue };
            let member = self
                .members
                .iter()
                .find(|member| member.node.id == change.node);
            if let Some(Ok((session, _))) = member.map(|member| &member.answer) {
                // ALTER SYSTEM is refused inside a transaction block, such as several statements are.
                session.batch(sql).await?;
                if sql.starts_with("ALTER SYSTEM") {
                    session.batch("SELECT pg_reload_conf()").await?;
                }
                done(change);
            }
        }
        Ok(())
    }
}

fn set(node: NodeId, name: &str, value: &str, how: How, why: &str) -> Change {
    let sql = format!("ALTER SYSTEM SET {name} = {}", literal(value));
    Change {
        node,
        what: format!("{name} = {value}: {why}"),
        how,
        text: sql.clone(),
        sql: Some(sql),
    }
}

fn settings(
    node: NodeId,
    server: &Server,
    standbys: usize,
    options: &PlanOptions,
    changes: &mut Vec<Change>,
) {
    let settings = &server.settings;
    let restart = How::ApplyAndRestart;
    if settings.wal_level == "minimal" {
        let why = "without it no standby can stream";
        changes.push(set(node, "wal_level", "replica", restart, why));
    }
    if !settings.hot_standby {
        changes.push(set(node, "hot_standby", "on", restart, "to read from it"));
    }
    if !settings.full_page_writes {
        let why = "a crash tears pages without it";
        changes.push(set(node, "full_page_writes", "on", How::Apply, why));
    }
    if !settings.wal_log_hints && !settings.data_checksums {
        let why = "pg_rewind needs it, there are no checksums";
        changes.push(set(node, "wal_log_hints", "on", restart, why));
    }
    let needed = i64::try_from(standbys + 2).unwrap_or(i64::MAX).max(10);
    for (name, has) in [
        ("max_wal_senders", settings.max_wal_senders),
        ("max_replication_slots", settings.max_replication_slots),
    ] {
        if has < needed {
            let why = "for the standbys, a base backup, and more";
            changes.push(set(node, name, &needed.to_string(), restart, why));
        }
    }
    let limit = match (options.max_slot_wal, settings.max_slot_wal_keep_size) {
        (Some(wanted), has) if i64::try_from(wanted) != Ok(has) => Some(wanted),
        (None, -1) => Some(10 << 10),
        _ => None,
    };
    if let Some(limit) = limit {
        let why = "a slot that nobody reads from would fill the disk";
        let value = format!("{limit}MB");
        changes.push(set(node, "max_slot_wal_keep_size", &value, How::Apply, why));
    }
}

async fn role(
    node: NodeId,
    session: &Session,
    user: &str,
    options: &PlanOptions,
    changes: &mut Vec<Change>,
) -> Result<()> {
    let rows = session
        .query(
            "SELECT rolreplication AND rolcanlogin FROM pg_roles WHERE rolname = $1",
            &[&user],
        )
        .await?;
    let fine: Option<bool> = rows.first().map(|row| get(row, 0)).transpose()?;
    let name = ident(user);
    match fine {
        Some(true) => {}
        Some(false) => {
            let sql = format!("ALTER ROLE {name} REPLICATION LOGIN");
            changes.push(Change {
                node,
                what: format!("role {user} may stream"),
                how: How::Apply,
                text: sql.clone(),
                sql: Some(sql),
            });
        }
        None => {
            let password = options.replication_password.as_ref().ok_or_else(|| {
                Error::config(format!(
                    "role {user} is not there: give the password that it is to have"
                ))
                .on_node(node)
            })?;
            let verifier =
                postgres_protocol::password::scram_sha_256(password.expose_secret().as_bytes());
            let create = format!("CREATE ROLE {name} REPLICATION LOGIN PASSWORD ");
            changes.push(Change {
                node,
                what: format!("role {user}, whom standbys stream as"),
                how: How::Apply,
                text: format!("{create}…"),
                sql: Some(format!("{create}{}", literal(&verifier))),
            });
        }
    }
    Ok(())
}

fn slots(node: NodeId, server: &Server, standbys: &[NodeId], changes: &mut Vec<Change>) {
    for &standby in standbys {
        let name = slot_name(standby);
        if server.slots.iter().any(|slot| slot.name == name) {
            continue;
        }
        let sql = format!(
            "SELECT pg_create_physical_replication_slot({}, true)",
            literal(&name)
        );
        changes.push(Change {
            node,
            what: format!("a slot for {standby}: its log is kept while it is away"),
            how: How::Apply,
            text: sql.clone(),
            sql: Some(sql),
        });
    }
}

fn synchronous(
    node: NodeId,
    server: &Server,
    standbys: &[NodeId],
    options: &PlanOptions,
    changes: &mut Vec<Change>,
) -> Result<()> {
    let (method, count) = match options.synchronous {
        None => return Ok(()),
        Some(Synchronous::Off) => ("ANY", 0),
        Some(Synchronous::Any(count)) => ("ANY", count),
        Some(Synchronous::First(count)) => ("FIRST", count),
    };
    let streaming = standbys
        .iter()
        .filter(|standby| {
            let sender = server.sender(**standby, Some(&slot_name(**standby)));
            sender.is_some_and(|sender| sender.state.as_deref() == Some("streaming"))
        })
        .count();
    if count > streaming {
        return Err(Error::refused(format!(
            "every COMMIT would wait for {count} standbys, and {streaming} stream: add standbys first"
        ))
        .on_node(node));
    }
    let names: Vec<String> = standbys
        .iter()
        .map(|standby| ident(standby.as_str()).to_string())
        .collect();
    let value = match count {
        0 => String::new(),
        _ => format!("{method} {count} ({})", names.join(", ")),
    };
    if value != server.settings.synchronous_standby_names {
        let name = "synchronous_standby_names";
        let why = "COMMIT waits for them";
        changes.push(set(node, name, &value, How::Apply, why));
    }
    Ok(())
}

/// Whether a standby's machine can log in to the primary: tried, not guessed from `pg_hba.conf`.
async fn access(
    admin: &Admin<'_>,
    primary: NodeId,
    standby: NodeId,
    user: &str,
    changes: &mut Vec<Change>,
) {
    let hosts = admin.hosts;
    let pair = (
        hosts.host(admin.config, standby),
        hosts.host(admin.config, primary),
    );
    let (Ok(own), Ok(source)) = pair else { return };
    if let Err(error) = own.identify(&source).await {
        let from = match admin.config.node(standby) {
            Some((_, _, node)) => node.host.clone(),
            None => return,
        };
        changes.push(Change {
            node: primary,
            what: error.message().to_owned(),
            how: How::ByHand,
            text: format!("hostssl replication {user} {from} scram-sha-256"),
            sql: None,
        });
    }
}
