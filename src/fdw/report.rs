//! Reports that stay on a reporting server: views whose branches the shards aggregate, and
//! materialised ones. No I/O.
//!
//! A report's definition is kept in its comment there, so that whoever applies later, with the
//! configuration alone, can make it again.

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::id::ShardId;
use crate::sql::ident;

use super::Fdw;
use super::existing::Existing;
use super::object::{self, Detail, Kind, Object};
use super::options::FdwOptions;

/// What a combine reads: the rows of all branches.
const PARTIALS: &str = "partials";

/// A report on a reporting server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Report {
    /// A view of what each shard answers by itself, combined. A branch that aggregates is pushed down
    /// to its shard whole, and the shards work at the same time, which PostgreSQL does not do for an
    /// aggregate over a UNION ALL.
    Split {
        /// The view's plain name.
        name: String,
        /// What each shard is asked: one branch for every shard, else the report is refused, also when a
        /// shard has joined since.
        branches: Vec<Branch>,
        /// A SELECT from `partials`, which has the rows of all branches.
        combine: String,
    },
    /// A materialised view: the answer is kept until it is refreshed.
    Materialised {
        /// The view's plain name.
        name: String,
        /// A SELECT, in which the views need no schema.
        select: String,
        /// Columns that together are unique and without which a refresh blocks readers.
        unique: Vec<String>,
    },
}

/// One shard's part of a [`Report::Split`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branch {
    /// The shard.
    pub shard: ShardId,
    /// A SELECT from that shard's [foreign tables](Fdw::foreign_table). All branches have the same
    /// columns.
    pub sql: String,
}

impl Report {
    /// The plain name of its view.
    pub fn name(&self) -> &str {
        match self {
            Report::Split { name, .. } | Report::Materialised { name, .. } => name,
        }
    }
}

/// A report as an object in the schema of the views.
pub(super) fn object(config: &Config, options: &FdwOptions, report: &Report) -> Result<Object> {
    let plain = report.name();
    if plain.is_empty() || plain.len() > 63 || plain.contains('\0') {
        return Err(Error::config(format!(
            "the report's name {plain:?} is not an identifier: use 1 to 63 bytes"
        )));
    }
    let name = format!("{}.{}", ident(&options.schema), ident(plain));
    let grant = format!("GRANT SELECT ON {name} TO {};\n", ident(&options.reader));
    let (kind, create, rest, unique) = match report {
        Report::Split {
            branches, combine, ..
        } => (
            Kind::View,
            format!("CREATE VIEW {name} AS\n{}", split(branches, combine)?),
            grant,
            false,
        ),
        Report::Materialised { select, unique, .. } => {
            let columns: Vec<_> = unique.iter().map(|c| ident(c).to_string()).collect();
            let index = match columns.is_empty() {
                true => String::new(),
                false => format!("CREATE UNIQUE INDEX ON {name} ({});\n", columns.join(", ")),
            };
            (
                Kind::MaterialisedView,
                format!("CREATE MATERIALIZED VIEW {name} AS\n{}", statement(select)),
                index + &grant,
                !unique.is_empty(),
            )
        }
    };
    let definition = serde_json::to_string(report)
        .map_err(|error| Error::config(error.to_string()).with_source(error))?;
    let sql = format!("{create};\n{rest}");
    let detail = Detail::Report {
        definition,
        create,
        rest,
        unique,
    };
    Ok(object::object(config, kind, name, sql, detail))
}

/// One view's SELECT from branches and a combine.
fn split(branches: &[Branch], combine: &str) -> Result<String> {
    if branches.is_empty() {
        return Err(Error::config("a report needs a branch a shard at least"));
    }
    let branches: Vec<String> = branches
        .iter()
        .map(|branch| format!("-- {}\n({}\n)", branch.shard, statement(&branch.sql)))
        .collect();
    // In parentheses, the combine may have a WITH of its own, and each branch an ORDER BY.
    Ok(format!(
        "WITH {PARTIALS} AS (\n{}\n)\n({}\n)",
        branches.join("\nUNION ALL\n"),
        statement(combine)
    ))
}

/// Without the semicolon that people end a statement with.
fn statement(sql: &str) -> &str {
    sql.trim().trim_end_matches(';').trim_end()
}

/// The reports that are to be: those that are there, with what this plan adds or replaces.
pub(super) fn wanted(fdw: &Fdw, existing: &Existing) -> Result<Vec<Object>> {
    let mut reports: Vec<Report> = Vec::new();
    for (name, definition) in existing.reports(&fdw.options.schema) {
        let report: Report = serde_json::from_str(definition).map_err(|error| {
            Error::refused(format!(
                "the comment on {name} is not the definition of a report ({error}): drop it, or make \
                 it again with the shardctl that made it"
            ))
        })?;
        reports.push(report);
    }
    for new in &fdw.reports {
        match reports.iter_mut().find(|old| old.name() == new.name()) {
            Some(old) => *old = new.clone(),
            None => reports.push(new.clone()),
        }
    }
    reports
        .iter()
        .try_for_each(|report| of_all_shards(report, &fdw.config))?;
    let objects: Vec<Object> = reports
        .iter()
        .map(|report| object(&fdw.config, &fdw.options, report))
        .collect::<Result<_>>()?;
    if let Some(taken) = objects
        .iter()
        .find(|object| fdw.objects.iter().any(|other| other.name == object.name))
    {
        return Err(Error::refused(format!(
            "{} is the view of a table: give the report another name",
            taken.name
        )));
    }
    Ok(objects)
}

/// Refuses a report of some shards: after a shard has joined, its total would be too small without a
/// word.
fn of_all_shards(report: &Report, config: &Config) -> Result<()> {
    let Report::Split { name, branches, .. } = report else {
        return Ok(());
    };
    let asks = |shard: &ShardId| branches.iter().filter(|b| b.shard == *shard).count();
    let once = config.shards.iter().all(|shard| asks(&shard.id) == 1);
    if once && branches.len() == config.shards.len() {
        return Ok(());
    }
    let list = |shards: Vec<&ShardId>| {
        let shards: Vec<String> = shards.iter().map(ToString::to_string).collect();
        shards.join(", ")
    };
    Err(Error::refused(format!(
        "the report {} asks the shards {}, and there are {}: make it again by `shardctl fdw report`, or drop it \
         by `shardctl fdw drop --report {}`; nothing was changed",
        ident(name),
        list(branches.iter().map(|branch| &branch.shard).collect()),
        list(config.shards.iter().map(|shard| &shard.id).collect()),
        ident(name),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn branch(shard: &str, sql: &str) -> Branch {
        Branch {
            shard: ShardId::new(shard).unwrap(),
            sql: sql.to_owned(),
        }
    }

    #[test]
    fn branches_and_a_combine_are_one_select() {
        let branches = [
            branch("s0", "SELECT count(*) AS n FROM a -- all of them"),
            branch("s1", "SELECT count(*) AS n FROM b;\n"),
        ];
        assert_eq!(
            split(&branches, "SELECT sum(n)::bigint FROM partials;").unwrap(),
            "WITH partials AS (\n\
             -- s0\n(SELECT count(*) AS n FROM a -- all of them\n)\n\
             UNION ALL\n\
             -- s1\n(SELECT count(*) AS n FROM b\n)\n\
             )\n(SELECT sum(n)::bigint FROM partials\n)"
        );
        assert!(split(&[], "SELECT 1").is_err());
    }

    #[test]
    fn a_definition_survives_its_comment() {
        let report = Report::Materialised {
            name: "it's \"mine\"".to_owned(),
            select: "SELECT ' seen x; report {' AS a".to_owned(),
            unique: vec!["a".to_owned()],
        };
        let text = serde_json::to_string(&report).unwrap();
        let comment = format!(
            "pgshard fdw: cluster c; sql 0; seen 1;{}{text}",
            object::REPORT
        );
        let (_, read) = comment.split_once(object::REPORT).unwrap();
        assert_eq!(serde_json::from_str::<Report>(read).unwrap(), report);
    }
}
