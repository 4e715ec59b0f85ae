//! What differs between a reporting server and what it should be, and the statements that mend it:
//! no I/O. `compare` says it in words, object by object.

mod compare;

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Result};
use crate::sql::ident;

use super::existing::{Existing, Relation, Server};
use super::object::{self, Detail, Kind, Object};
use super::{name, server};

use compare::{options_differences, parent_differences, table_differences, view_differences};

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
    View(Object),
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
    existing.refuse_strangers()?;
    let mut replaced: Vec<&str> = Vec::new();
    let (mut drop_views, mut drop_tables) = (Vec::new(), Vec::new());
    for object in objects {
        match object.kind {
            Kind::Role if existing.reader.is_some() => {}
            Kind::Extension if existing.extension.is_some() => {}
            Kind::Role | Kind::Extension | Kind::Function => plan.create(object, existing),
            Kind::Schema => schema(object, existing, &mut plan)?,
            Kind::Server => foreign_server(object, existing, &mut plan)?,
            Kind::UserMapping => mapping(object, existing, password, &mut plan),
            Kind::Parent | Kind::ForeignTable | Kind::View | Kind::MaterialisedView => {
                let Some(found) = relation(object, existing)? else {
                    plan.create(object, existing);
                    continue;
                };
                let detail = match object.kind {
                    Kind::Parent => parent_differences(object, found),
                    Kind::ForeignTable => table_differences(object, found, &replaced),
                    _ => view_differences(object, found, &replaced),
                };
                if detail.is_empty() {
                    continue;
                }
                replaced.push(&object.name);
                let drop = found.drop_statement();
                if object.kind.is_seen() {
                    drop_views.push(drop);
                } else {
                    drop_tables.push(drop);
                }
                plan.make(object, Change::Replace, detail, existing);
            }
        }
    }
    let wanted = |relation: &str| objects.iter().any(|o| o.name == relation);
    let gone = removals(
        existing,
        wanted,
        |kind, name| objects.iter().any(|o| o.kind == kind && o.name == name),
        &mut plan.differences,
    );
    // What was made last may read what was made before it.
    plan.drops.extend(gone.views);
    plan.drops.extend(drop_views.into_iter().rev());
    plan.drops.extend(drop_tables.into_iter().rev());
    plan.drops.extend(gone.tables);
    plan.drops.extend(gone.rest);
    Ok(plan)
}

/// Statements that remove what is ours and not wanted, in this order.
#[derive(Debug, Default)]
pub(super) struct Removals {
    pub(super) views: Vec<String>,
    pub(super) tables: Vec<String>,
    pub(super) rest: Vec<String>,
}

/// What is ours and not wanted goes.
pub(super) fn removals(
    existing: &Existing,
    wanted_relation: impl Fn(&str) -> bool,
    wanted: impl Fn(Kind, &str) -> bool,
    differences: &mut Vec<Difference>,
) -> Removals {
    let mut gone = Removals::default();
    let mut remove = |kind: Kind, name: &str| {
        differences.push(Difference {
            object: format!("{} {name}", kind.label()),
            change: Change::Remove,
            detail: Vec::new(),
        });
    };
    let ours = existing.relations.iter().filter(|r| r.comment.is_some());
    for relation in ours.rev() {
        let Some(kind) = relation.kind.kind() else {
            continue;
        };
        if wanted_relation(&relation.name) {
            continue;
        }
        let list = if kind.is_seen() {
            &mut gone.views
        } else {
            &mut gone.tables
        };
        list.push(relation.drop_statement());
        remove(kind, &relation.name);
    }
    for function in &existing.functions {
        gone.rest.push(format!("DROP FUNCTION {function};\n"));
        remove(Kind::Function, function);
    }
    for server in existing.servers.iter().filter(|server| server.ours) {
        let name = ident(&server.name).to_string();
        if wanted(Kind::Server, &name) {
            continue;
        }
        if server.mapping.is_some() {
            gone.rest.push(format!(
                "DROP USER MAPPING FOR {} SERVER {name};\n",
                ident(&server.owner)
            ));
            remove(Kind::UserMapping, &name);
        }
        gone.rest.push(format!("DROP SERVER {name};\n"));
        remove(Kind::Server, &name);
    }
    for schema in existing.schemas.iter().filter(|schema| schema.ours) {
        let name = ident(&schema.name).to_string();
        if !wanted(Kind::Schema, &name) && schema.name != name::FOREIGN {
            gone.rest.push(format!("DROP SCHEMA {name};\n"));
            remove(Kind::Schema, &name);
        }
    }
    gone
}

impl Plan {
    fn create(&mut self, object: &Object, existing: &Existing) {
        self.make(object, Change::Create, Vec::new(), existing);
    }

    fn make(&mut self, object: &Object, change: Change, detail: Vec<String>, existing: &Existing) {
        self.makes.push(if object.kind.is_seen() {
            Statement::View(object.clone())
        } else {
            let mut sql = object.sql.clone();
            if let Detail::Options { since_15, .. } = &object.detail
                && existing.knows_parallel_commit()
            {
                sql += &server::add(&object.name, since_15);
            }
            Statement::Sql(sql + &object::comment(object, &object.comment))
        });
        self.differ(object, change, detail);
    }

    fn differ(&mut self, object: &Object, change: Change, detail: Vec<String>) {
        self.differences.push(Difference {
            object: format!("{} {}", object.kind.label(), object.name),
            change,
            detail,
        });
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
        object.kind.label(),
        object.name
    ))
}

fn schema(object: &Object, existing: &Existing, plan: &mut Plan) -> Result<()> {
    let found = existing
        .schemas
        .iter()
        .find(|schema| ident(&schema.name).to_string() == object.name);
    match found {
        None => plan.create(object, existing),
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

fn foreign_server(object: &Object, existing: &Existing, plan: &mut Plan) -> Result<()> {
    let Detail::Options { options, since_15 } = &object.detail else {
        return Ok(());
    };
    let Some(found) = find_server(object, existing) else {
        plan.create(object, existing);
        return Ok(());
    };
    if !found.ours {
        return Err(not_ours(object));
    }
    let newer = if existing.knows_parallel_commit() {
        since_15.as_slice()
    } else {
        &[]
    };
    let wanted = [options.as_slice(), newer].concat();
    let (alterations, detail) = options_differences(&found.options, &wanted);
    if !alterations.is_empty() {
        plan.makes.push(Statement::Sql(format!(
            "ALTER SERVER {} OPTIONS ({});\n{}",
            object.name,
            alterations.join(", "),
            object::comment(object, &object.comment)
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
