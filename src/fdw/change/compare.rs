//! What differs between an object as it is and as it should be, in words: no I/O.

use crate::sql::{ident, literal};

use super::super::agree;
use super::super::catalog::Column;
use super::super::existing::{Relation, RelationKind};
use super::super::object::{Detail, Kind, Object};

/// What makes one list of options the other, and the same in words.
pub(super) fn options_differences(
    found: &[(String, String)],
    wanted: &[(String, String)],
) -> (Vec<String>, Vec<String>) {
    let get = |list: &[(String, String)], name: &str| {
        list.iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.clone())
    };
    let mut alterations = Vec::new();
    let mut detail = Vec::new();
    for (option, value) in wanted {
        let old = get(found, option);
        if old.as_ref() == Some(value) {
            continue;
        }
        let verb = if old.is_some() { "SET" } else { "ADD" };
        alterations.push(format!("{verb} {} {}", ident(option), literal(value)));
        let old = old.map_or("missing".to_owned(), |old| literal(&old).to_string());
        detail.push(format!("{option}: {old} / {}", literal(value)));
    }
    for (option, value) in found {
        if get(wanted, option).is_none() {
            alterations.push(format!("DROP {}", ident(option)));
            detail.push(format!("{option}: {} / missing", literal(value)));
        }
    }
    (alterations, detail)
}

fn column_differences(found: &[Column], wanted: &[Column]) -> Vec<String> {
    let mut lines = agree::between(found, wanted);
    let order = |list: &[Column]| -> Vec<String> {
        list.iter().map(|column| column.name.clone()).collect()
    };
    if lines.is_empty() && order(found) != order(wanted) {
        lines.push("the order of the columns".to_owned());
    }
    lines
}

pub(super) fn parent_differences(object: &Object, found: &Relation) -> Vec<String> {
    let (
        Detail::Parent { key, columns },
        RelationKind::Parent {
            key: found_key,
            columns: found_columns,
            ..
        },
    ) = (&object.detail, &found.kind)
    else {
        return vec!["not a partitioned table".to_owned()];
    };
    let mut lines = column_differences(found_columns, columns);
    if found_key.as_ref() != Some(key) {
        lines.push(format!(
            "partitioned by: {} / hash of {}",
            found_key.as_deref().unwrap_or("something else"),
            ident(key)
        ));
    }
    lines
}

pub(super) fn table_differences(
    object: &Object,
    found: &Relation,
    replaced: &[&str],
) -> Vec<String> {
    let (
        Detail::Foreign {
            server,
            options,
            columns,
            partition,
        },
        RelationKind::Foreign {
            server: found_server,
            options: found_options,
            columns: found_columns,
            partition: found_partition,
        },
    ) = (&object.detail, &found.kind)
    else {
        return vec!["not a foreign table".to_owned()];
    };
    let mut lines = column_differences(found_columns, columns);
    if server != found_server || options != found_options {
        lines.push("the server, or the table that it stands for".to_owned());
    }
    let shown = |partition: &Option<(String, String)>| match partition {
        None => "none".to_owned(),
        Some((parent, bound)) => format!("{parent} {bound}"),
    };
    let lower = |(parent, bound): &(String, String)| (parent.clone(), bound.to_lowercase());
    if partition.as_ref().map(lower) != found_partition.as_ref().map(lower) {
        lines.push(format!(
            "partition of: {} / {}",
            shown(found_partition),
            shown(partition)
        ));
    }
    if let Some((parent, _)) = partition
        && replaced.contains(&parent.as_str())
    {
        lines.push(format!("partition of {parent}, which is replaced"));
    }
    lines
}

pub(super) fn view_differences(
    object: &Object,
    found: &Relation,
    replaced: &[&str],
) -> Vec<String> {
    let (seen, has_unique) = match (&found.kind, object.kind) {
        (RelationKind::View(seen), Kind::View) => (seen, false),
        (RelationKind::Materialised { seen, unique }, Kind::MaterialisedView) => (seen, *unique),
        _ => return vec![format!("not a {}", object.kind.label())],
    };
    let reads = match &object.detail {
        Detail::Reads(reads) => reads,
        _ => &found.reads,
    };
    let mut lines: Vec<String> = reads
        .iter()
        .filter(|name| replaced.contains(&name.as_str()))
        .map(|name| format!("reads {name}, which is replaced"))
        .collect();
    let comment = found.comment.as_deref().unwrap_or_default();
    if !comment.starts_with(&object.comment) {
        lines.push(match object.detail {
            Detail::Report { .. } => "what it reports".to_owned(),
            _ => "the shards or the columns that it shows".to_owned(),
        });
    } else if let Some((_, noted)) = comment.split_once(" seen ")
        && noted.split(';').next() != Some(seen)
    {
        lines.push("altered by somebody".to_owned());
    }
    if let Detail::Report { unique: true, .. } = object.detail
        && !has_unique
    {
        lines.push("unique index: missing".to_owned());
    }
    if !found.readable {
        lines.push("SELECT of the reader: missing".to_owned());
    }
    lines
}
