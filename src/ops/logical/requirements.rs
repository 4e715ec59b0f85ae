//! What a new subscription needs of both ends: pure.

use crate::sql::ident;

use super::Endpoint;
use super::plan::{Wanted, mark};
use super::server::{Server, Table};

pub(super) fn check_publisher(
    wanted: &Wanted,
    source: &Server,
    columns: &[Option<&str>],
    problems: &mut Vec<String>,
) {
    let mut wrong = |text: String| problems.push(text);
    let from = &wanted.from;
    if source.wal_level != "logical" {
        wrong(format!(
            "wal_level = {} on {from}: set logical, and restart the server",
            source.wal_level
        ));
    }
    match &source.role {
        None => wrong(format!(
            "{from} has no role {}: CREATE ROLE {} LOGIN REPLICATION",
            wanted.user,
            ident(&wanted.user)
        )),
        Some(role) if !(role.superuser || role.login && role.replication) => wrong(format!(
            "role {} of {from} may not replicate: ALTER ROLE {} LOGIN REPLICATION",
            wanted.user,
            ident(&wanted.user)
        )),
        Some(_) => {}
    }
    let there = source.slot_names.contains(&wanted.name);
    let slots = &source.slots;
    // One more for the copy of a table.
    let needed = i64::from(!there) + i64::from(wanted.copy);
    if slots.most - slots.taken < needed {
        wrong(format!(
            "{} of {} slots of {from} are taken: raise max_replication_slots",
            slots.taken, slots.most
        ));
    }
    if source.senders.most - source.senders.taken < 1 + i64::from(wanted.copy) {
        wrong(format!(
            "{} of {} senders of {from} are taken: raise max_wal_senders",
            source.senders.taken, source.senders.most
        ));
    }
    if source.version < 150_000 && columns.iter().any(Option::is_some) {
        wrong(format!(
            "{from} is older than PostgreSQL 15: it cannot replicate some rows only"
        ));
    }
    let ours = source
        .publications
        .iter()
        .find(|(name, _)| *name == wanted.name);
    if let Some((name, comment)) = ours
        && comment.as_deref() != Some(mark(wanted).as_str())
    {
        wrong(format!(
            "{from} has another publication {name}: take another name, or drop it"
        ));
    }
    for (table, column) in source.tables.iter().zip(columns) {
        check_published(from, table, *column, problems);
    }
}

fn check_published(
    from: &Endpoint,
    table: &Table,
    column: Option<&str>,
    problems: &mut Vec<String>,
) {
    let name = &table.name;
    let mut wrong = |text: String| problems.push(text);
    if !table.exists() {
        return wrong(format!("{from} has no table {name}"));
    }
    if !matches!(table.kind.as_deref(), Some("r" | "p")) || !table.permanent {
        return wrong(format!("{name} on {from} is no permanent table"));
    }
    let whole = table.identity.as_deref() == Some("f");
    if !whole && table.identified_by.is_empty() {
        return wrong(format!(
            "{name} on {from} has no replica identity, and every UPDATE and DELETE there would fail: give it a \
             primary key, or ALTER TABLE {name} REPLICA IDENTITY FULL"
        ));
    }
    if let Some(column) = column
        && !whole
        && !table.identified_by.iter().any(|known| known == column)
    {
        wrong(format!(
            "column {column} of {name} is not in its replica identity ({}), and every UPDATE and DELETE on \
             {from} would fail: add it to the primary key, or ALTER TABLE {name} REPLICA IDENTITY FULL",
            table.identified_by.join(", ")
        ));
    }
}

pub(super) fn check_subscriber(
    wanted: &Wanted,
    source: &Server,
    target: &Server,
    problems: &mut Vec<String>,
) {
    let mut wrong = |text: String| problems.push(text);
    let to = &wanted.to;
    if source.identity == target.identity {
        return wrong("both ends are the same database".to_owned());
    }
    if !target.superuser {
        wrong(format!(
            "only a superuser of {to} may make a subscription without a password in its catalog"
        ));
    }
    // One to apply, and one to copy.
    if target.workers < target.all_subscriptions + 2 {
        wrong(format!(
            "{to} has {} workers for {} subscriptions: raise max_logical_replication_workers",
            target.workers, target.all_subscriptions
        ));
    }
    if target.origins < target.all_subscriptions + 2 {
        wrong(format!(
            "{to} may follow {} origins: raise max_replication_slots \
             (max_active_replication_origins from PostgreSQL 18)",
            target.origins
        ));
    }
    if target.subscriptions.contains(&wanted.name)
        && !source
            .publications
            .iter()
            .any(|(name, _)| *name == wanted.name)
    {
        wrong(format!("{to} has another subscription {}", wanted.name));
    }
    for (here, there) in source.tables.iter().zip(&target.tables) {
        if !there.exists() {
            wrong(format!("{to} has no table {}", there.name));
            continue;
        }
        let published = here.columns.iter().filter(|column| !column.generated);
        for column in published {
            match there.columns.iter().find(|other| other.name == column.name) {
                None => wrong(format!(
                    "{} on {to} has no column {}",
                    there.name, column.name
                )),
                Some(other) if other.generated => wrong(format!(
                    "column {} of {} is generated on {to}, and cannot take what arrives",
                    column.name, there.name
                )),
                Some(other) if other.kind != column.kind => wrong(format!(
                    "column {} of {} is {} on {to}, and {} on {}",
                    column.name, there.name, other.kind, column.kind, wanted.from
                )),
                Some(_) => {}
            }
        }
        for column in there.columns.iter().filter(|column| column.needed) {
            if !here.columns.iter().any(|other| other.name == column.name) {
                wrong(format!(
                    "column {} of {} on {to} needs a value, and none arrives: give it a default",
                    column.name, there.name
                ));
            }
        }
    }
}
