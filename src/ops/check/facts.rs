//! What is read of the servers, before it is judged.

use std::collections::BTreeMap;

use super::archive::{Archiver, Newest};
use super::extensions::Extensions;
use super::patroni::PatroniConfig;
use super::tables::Table;
use crate::id::{NodeId, ShardId};

/// What could be read, or why not.
pub(super) type Read<T> = Result<T, String>;

pub(super) struct Facts {
    pub(super) shards: Vec<ShardFacts>,
    pub(super) patroni: Vec<(ShardId, PatroniConfig)>,
    /// Shards whose Patroni did not answer, and why.
    pub(super) silent: Vec<(ShardId, String)>,
    /// The newest backups, where there is a policy for them.
    pub(super) backups: Vec<(ShardId, Newest)>,
}

pub(super) struct ShardFacts {
    pub(super) shard: ShardId,
    pub(super) nodes: Vec<NodeFacts>,
}

impl ShardFacts {
    /// The nodes that answered.
    pub(super) fn answers(&self) -> impl Iterator<Item = (&NodeFacts, &Answers)> {
        self.nodes
            .iter()
            .filter_map(|node| Some((node, node.answers.as_ref().ok()?)))
    }

    /// The nodes that take writes.
    pub(super) fn primaries(&self) -> impl Iterator<Item = (&NodeFacts, &Answers)> {
        self.answers().filter(|(_, answers)| !answers.standby)
    }

    /// The nodes in recovery.
    pub(super) fn standbys(&self) -> impl Iterator<Item = (&NodeFacts, &Answers)> {
        self.answers().filter(|(_, answers)| answers.standby)
    }
}

impl Facts {
    pub(super) fn answers(&self) -> impl Iterator<Item = (&NodeFacts, &Answers)> {
        self.shards.iter().flat_map(ShardFacts::answers)
    }
}

pub(super) struct NodeFacts {
    pub(super) shard: ShardId,
    pub(super) node: NodeId,
    /// Whether it is reached without a network.
    pub(super) local: bool,
    pub(super) answers: Read<Answers>,
}

#[derive(Clone)]
pub(super) struct Answers {
    pub(super) standby: bool,
    /// Such as 150018.
    pub(super) version: i32,
    pub(super) timeline: Option<i32>,
    /// The server's clock less this process's, in seconds, and how exact that is.
    pub(super) clock: (f64, f64),
    /// Whether this connection is encrypted.
    pub(super) encrypted: bool,
    /// Settings by name, and those that wait for a restart.
    pub(super) settings: Read<BTreeMap<String, String>>,
    pub(super) pending: Vec<String>,
    /// `synchronous_commit` as the application's sessions get it.
    pub(super) app_commit: Option<String>,
    pub(super) app: Read<AppRole>,
    pub(super) hba: Read<Vec<HbaLine>>,
    pub(super) collation: Read<Collation>,
    pub(super) slots: Read<Vec<Slot>>,
    /// On a primary: the states of its standbys, such as `sync`.
    pub(super) senders: Read<Vec<String>>,
    /// On a standby: the state of its receiver; absent where there is none.
    pub(super) receiver: Read<Option<String>>,
    pub(super) identity: Read<Identity>,
    /// Whether the ledger holds rows that should have been purged.
    pub(super) ledger_old: Read<bool>,
    pub(super) extensions: Read<Extensions>,
    pub(super) archiver: Read<Archiver>,
    /// On a primary: the tables of the topology file.
    pub(super) tables: Read<Vec<Table>>,
}

impl Answers {
    /// A setting, if it could be read.
    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.as_ref().ok()?.get(name).map(String::as_str)
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.setting(name)?.parse().ok()
    }
}

#[derive(Clone, Default)]
pub(super) struct AppRole {
    pub(super) superuser: bool,
    /// What it can do and should not, in words.
    pub(super) powers: Vec<String>,
}

#[derive(Clone)]
pub(super) struct HbaLine {
    pub(super) line: i32,
    pub(super) kind: String,
    pub(super) address: String,
    pub(super) method: String,
    pub(super) error: Option<String>,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Collation {
    pub(super) collate: String,
    pub(super) ctype: String,
    pub(super) provider: String,
    /// The version that the indexes were built with, and the operating system's.
    pub(super) stored: Option<String>,
    pub(super) actual: Option<String>,
}

#[derive(Clone)]
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) active: bool,
    pub(super) status: Option<String>,
}

#[derive(Clone)]
pub(super) struct Identity {
    pub(super) cluster: String,
    pub(super) shard: String,
    pub(super) map_version: i64,
    pub(super) schema_version: i32,
    pub(super) mode: String,
    pub(super) note: String,
    pub(super) fenced: Vec<String>,
}
