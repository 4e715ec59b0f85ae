//! What differs between a reporting server and what it should be, and the statements that mend it:
//! no I/O.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Result};
use crate::sql::{ident, literal};

use super::agree;
use super::catalog::Column;
use super::existing::{Existing, Relation, RelationKind, Server};
use super::name;
use super::render::{self, Detail, Kind, Object};

/// What happens to an object of a reporting server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is missing, and is made.
    Create,
    /// It is altered in place.
    Alter,
    /// It is dropped and made anew.
    Replace,
    /// It is not needed any more, and is dropped.
    Remove,
    /// It would be removed, but something else needs it.
    Keep,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Change::Create => "create",
            Change::Alter => "alter",
            Change::Replace => "replace",
            Change::Remove => "remove",
            Change::Keep => "keep",
        })
    }
}

/// One object that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is, such as `view "reporting"."customers"`.
    pub object: String,
    /// What mends it.
    pub change: Change,
    /// What differs, a line each, as (found / wanted). Holds no passwords.
    pub detail: Vec<String>,
}

/// The statements of an apply, in order.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) differences: Vec<Difference>,
    pub(super) drops: Vec<String>,
    pub(super) makes: Vec<Statement>,
}

#[derive(Debug)]
pub(super) enum Statement {
    Sql(String),
    /// A view is commented once it is there: with a digest of its definition as the server sees it.
    View {
        sql: String,
        object: Object,
    },
    /// A user mapping with a password.
    Secret {
        server: String,
        user: String,
    },
}

/// Compares.
pub(super) fn plan(
    objects: &[Object],
    existing: &Existing,
    password: Option<&SecretString>,
) -> Result<Plan> {
    let mut plan = Plan::default();
    possible(existing, password)?;
    let mut replaced: Vec<&str> = Vec::new();
    let mut drop_views = Vec::new();
    let mut drop_tables = Vec::new();
    for object in objects {
        match object.kind {
            Kind::Role if existing.reader.is_some() => {}
            Kind::Extension if existing.extension.is_some() => {}
            Kind::Schema => schema(object, existing, &mut plan)?,
            Kind::Server => server(object, existing, &mut plan)?,
            Kind::UserMapping => mapping(object, existing, password, &mut plan),
            Kind::ForeignTable => {
                let found = relation(object, existing)?;
                let detail = found.map(|found| table_differences(object, found));
                match detail {
                    None => plan.create(object),
                    Some(detail) if detail.is_empty() => {}
                    Some(detail) => {
                        replaced.push(&object.name);
                        drop_tables.push(format!("DROP FOREIGN TABLE {};\n", object.name));
                        plan.make(object, Change::Replace, detail);
                    }
                }
            }
            Kind::View => {
                let detail = relation(object, existing)?
                    .map(|found| view_differences(object, found, &replaced));
                match detail {
                    None => plan.create(object),
                    Some(detail) if detail.is_empty() => {}
                    Some(detail) => {
                        drop_views.push(format!("DROP VIEW {};\n", object.name));
                        plan.make(object, Change::Replace, detail);
                    }
                }
            }
            Kind::Role | Kind::Extension => plan.create(object),
        }
    }
    let wanted = |kind: Kind, name: &str| objects.iter().any(|o| o.kind == kind && o.name == name);
    let (views, tables, rest) = removals(existing, wanted, &mut plan.differences);
    plan.drops.extend(drop_views);
    plan.drops.extend(views);
    plan.drops.extend(drop_tables);
    plan.drops.extend(tables);
    plan.drops.extend(rest);
    Ok(plan)
}

/// The statements that remove what is ours and not wanted: views, foreign tables, then the rest.
pub(super) fn removals(
    existing: &Existing,
    wanted: impl Fn(Kind, &str) -> bool,
    differences: &mut Vec<Difference>,
) -> (Vec<String>, Vec<String>, Vec<String>) {
    let (mut views, mut tables, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    let mut remove = |kind: Kind, name: &str| {
        differences.push(Difference {
            object: format!("{} {name}", label(kind)),
            change: Change::Remove,
            detail: Vec::new(),
        });
    };
    for relation in existing.relations.iter().filter(|r| r.comment.is_some()) {
        let (kind, list) = match relation.kind {
            RelationKind::View(_) => (Kind::View, &mut views),
            RelationKind::Foreign { .. } => (Kind::ForeignTable, &mut tables),
            RelationKind::Other => continue,
        };
        if !wanted(kind, &relation.name) {
            list.push(format!(
                "DROP {} {};\n",
                label(kind).to_uppercase(),
                relation.name
            ));
            remove(kind, &relation.name);
        }
    }
    for server in existing.servers.iter().filter(|server| server.ours) {
        let name = ident(&server.name).to_string();
        if wanted(Kind::Server, &name) {
            continue;
        }
        if server.mapping.is_some() {
            rest.push(format!(
                "DROP USER MAPPING FOR {} SERVER {name};\n",
                ident(&server.owner)
            ));
            remove(Kind::UserMapping, &name);
        }
        rest.push(format!("DROP SERVER {name};\n"));
        remove(Kind::Server, &name);
    }
    for schema in existing.schemas.iter().filter(|schema| schema.ours) {
        let name = ident(&schema.name).to_string();
        if !wanted(Kind::Schema, &name) && schema.name != name::FOREIGN {
            rest.push(format!("DROP SCHEMA {name};\n"));
            remove(Kind::Schema, &name);
        }
    }
    (views, tables, rest)
}

impl Plan {
    fn create(&mut self, object: &Object) {
        self.make(object, Change::Create, Vec::new());
    }

    fn make(&mut self, object: &Object, change: Change, detail: Vec<String>) {
        self.makes.push(if object.kind == Kind::View {
            Statement::View {
                sql: object.sql.clone(),
                object: object.clone(),
            }
        } else {
            Statement::Sql(object.sql.clone() + &render::comment(object, &object.comment))
        });
        self.differ(object, change, detail);
    }

    fn differ(&mut self, object: &Object, change: Change, detail: Vec<String>) {
        self.differences.push(Difference {
            object: format!("{} {}", label(object.kind), object.name),
            change,
            detail,
        });
    }
}

/// What a kind is called in SQL and to people.
pub(super) fn label(kind: Kind) -> &'static str {
    match kind {
        Kind::Role => "role",
        Kind::Schema => "schema",
        Kind::Extension => "extension",
        Kind::Server => "server",
        Kind::UserMapping => "user mapping",
        Kind::ForeignTable => "foreign table",
        Kind::View => "view",
    }
}

fn possible(existing: &Existing, password: Option<&SecretString>) -> Result<()> {
    if existing.extension.is_none() && !existing.superuser {
        return Err(Error::refused(format!(
            "the extension postgres_fdw is missing, and {} may not create it: as a superuser, CREATE \
             EXTENSION postgres_fdw and GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO {}",
            existing.me,
            ident(&existing.me)
        )));
    }
    if password.is_none() && !existing.superuser {
        return Err(Error::refused(format!(
            "the role on the shards has no password here, and postgres_fdw connects for {} with one \
             only: give the password",
            existing.me
        )));
    }
    let servers = existing.servers.iter().filter(|server| server.ours);
    if let Some(server) = servers
        .into_iter()
        .find(|server| server.owner != existing.me)
    {
        return Err(Error::refused(format!(
            "the server {} belongs to {}, whose views read through it: apply as that role, or remove \
             everything first",
            ident(&server.name),
            server.owner
        )));
    }
    Ok(())
}

fn not_ours(object: &Object) -> Error {
    Error::refused(format!(
        "the {} {} exists and was not made for this cluster: choose another database or schema for \
         the reports, or rename it",
        label(object.kind),
        object.name
    ))
}

fn schema(object: &Object, existing: &Existing, plan: &mut Plan) -> Result<()> {
    let found = existing
        .schemas
        .iter()
        .find(|schema| ident(&schema.name).to_string() == object.name);
    match found {
        None => plan.create(object),
        Some(found) if !found.ours => return Err(not_ours(object)),
        Some(found) if !found.readable && found.name != name::FOREIGN => {
            // The statements after CREATE SCHEMA.
            let (_, grants) = object.sql.split_once(";\n").unwrap_or_default();
            plan.makes.push(Statement::Sql(grants.to_owned()));
            plan.differ(
                object,
                Change::Alter,
                vec!["USAGE of the reader: missing".into()],
            );
        }
        Some(_) => {}
    }
    Ok(())
}

fn server(object: &Object, existing: &Existing, plan: &mut Plan) -> Result<()> {
    let Detail::Options(wanted) = &object.detail else {
        return Ok(());
    };
    let Some(found) = find_server(object, existing) else {
        plan.create(object);
        return Ok(());
    };
    if !found.ours {
        return Err(not_ours(object));
    }
    let get = |list: &[(String, String)], name: &str| {
        list.iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.clone())
    };
    let mut alterations = Vec::new();
    let mut detail = Vec::new();
    for (option, value) in wanted {
        let old = get(&found.options, option);
        if old.as_ref() == Some(value) {
            continue;
        }
        let verb = if old.is_some() { "SET" } else { "ADD" };
        alterations.push(format!("{verb} {} {}", ident(option), literal(value)));
        let old = old.map_or("missing".to_owned(), |old| literal(&old).to_string());
        detail.push(format!("{option}: {old} / {}", literal(value)));
    }
    for (option, value) in &found.options {
        if get(wanted, option).is_none() {
            alterations.push(format!("DROP {}", ident(option)));
            detail.push(format!("{option}: {} / missing", literal(value)));
        }
    }
    if !alterations.is_empty() {
        plan.makes.push(Statement::Sql(format!(
            "ALTER SERVER {} OPTIONS ({});\n{}",
            object.name,
            alterations.join(", "),
            render::comment(object, &object.comment)
        )));
        plan.differ(object, Change::Alter, detail);
    }
    Ok(())
}

fn mapping(object: &Object, existing: &Existing, password: Option<&SecretString>, plan: &mut Plan) {
    let Detail::Mapping { server, user } = &object.detail else {
        return;
    };
    let found = find_server(object, existing).and_then(|server| server.mapping.as_ref());
    let get = |name: &str| {
        found.and_then(|list| list.iter().find(|(n, _)| n == name).map(|(_, value)| value))
    };
    let same_user = get("user") == Some(user);
    let wanted = password.map(|password| password.expose_secret());
    let same_password = get("password").map(String::as_str) == wanted;
    if found.is_some() && same_user && same_password {
        return;
    }
    let mut detail = Vec::new();
    let change = if found.is_some() {
        Change::Alter
    } else {
        Change::Create
    };
    if found.is_some() && !same_user {
        detail.push("user".to_owned());
    }
    if found.is_some() && !same_password {
        detail.push("password".to_owned());
    }
    plan.differ(object, change, detail);
    // Made anew, so that whatever options there were, these are the only ones.
    if found.is_some() {
        plan.drops.push(format!(
            "DROP USER MAPPING FOR CURRENT_USER SERVER {};\n",
            object.name
        ));
    }
    plan.makes.push(match password {
        Some(_) => Statement::Secret {
            server: server.clone(),
            user: user.clone(),
        },
        None => Statement::Sql(object.sql.clone()),
    });
}

fn find_server<'a>(object: &Object, existing: &'a Existing) -> Option<&'a Server> {
    existing
        .servers
        .iter()
        .find(|server| ident(&server.name).to_string() == object.name)
}

fn relation<'a>(object: &Object, existing: &'a Existing) -> Result<Option<&'a Relation>> {
    let found = existing.relations.iter().find(|r| r.name == object.name);
    match found {
        Some(found) if found.comment.is_none() => Err(not_ours(object)),
        found => Ok(found),
    }
}

fn table_differences(object: &Object, found: &Relation) -> Vec<String> {
    let (
        Detail::Foreign {
            server,
            options,
            columns,
        },
        RelationKind::Foreign {
            server: found_server,
            options: found_options,
            columns: found_columns,
        },
    ) = (&object.detail, &found.kind)
    else {
        return vec!["not a foreign table".to_owned()];
    };
    let mut lines = agree::between(found_columns, columns);
    let order = |list: &[Column]| -> Vec<String> {
        list.iter().map(|column| column.name.clone()).collect()
    };
    if lines.is_empty() && order(found_columns) != order(columns) {
        lines.push("the order of the columns".to_owned());
    }
    if server != found_server || options != found_options {
        lines.push("the server, or the table that it stands for".to_owned());
    }
    lines
}

fn view_differences(object: &Object, found: &Relation, replaced: &[&str]) -> Vec<String> {
    let (Detail::Reads(reads), RelationKind::View(seen)) = (&object.detail, &found.kind) else {
        return vec!["not a view".to_owned()];
    };
    let mut lines: Vec<String> = reads
        .iter()
        .filter(|name| replaced.contains(&name.as_str()))
        .map(|name| format!("reads {name}, which is replaced"))
        .collect();
    let comment = found.comment.as_deref().unwrap_or_default();
    if !comment.starts_with(&object.comment) {
        lines.push("the shards or the columns that it shows".to_owned());
    } else if let Some((_, noted)) = comment.split_once(" seen ")
        && noted.trim_end_matches(';') != seen
    {
        lines.push("altered by somebody".to_owned());
    }
    if !found.readable {
        lines.push("SELECT of the reader: missing".to_owned());
    }
    lines
}

/// The comment of a view, with what the server made of it.
pub(super) fn view_comment(object: &Object, seen: &str) -> String {
    render::comment(object, &format!("{} seen {seen};", object.comment))
}
