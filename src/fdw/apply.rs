//! Making a reporting server as it should be.

use std::time::Duration;

use crate::direct::{Session, get};
use crate::error::{Error, Result};

use super::change::{self, Change, Difference, Plan, Statement};
use super::existing::Existing;
use super::object::{self, Detail, Object};
use super::{Fdw, catalog, report, secret};

/// What a materialised report may take to be filled.
const FILLING: Duration = Duration::from_secs(3600);

/// What any other statement may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Held by whoever applies or removes in this database: "pgsfdw" as a number.
const APPLY_LOCK: i64 = 0x7067_7366_6477;

/// What would be done; refuses what cannot be.
pub(super) async fn plan(fdw: &Fdw, session: &Session) -> Result<Plan> {
    known(fdw, session).await?;
    let options = &fdw.options;
    let existing = Existing::read(
        session,
        fdw.config.cluster,
        &options.reader,
        &options.schema,
    )
    .await?;
    let mut objects = fdw.objects.clone();
    objects.extend(report::wanted(fdw, &existing)?);
    change::plan(&objects, &existing, options.remote.password.as_ref())
}

/// Does it; refuses to do what was not `planned`.
pub(super) async fn apply(
    fdw: &Fdw,
    session: &mut Session,
    planned: Option<&[Difference]>,
) -> Result<Vec<Difference>> {
    begin(session).await?;
    let plan = plan(fdw, session).await?;
    if planned.is_some_and(|planned| planned != plan.differences) {
        return Err(Error::refused(
            "the reporting server has changed since the plan was shown: nothing was changed, run \
             this again",
        ));
    }
    if plan.differences.is_empty() {
        session.batch("ROLLBACK").await?;
        return Ok(Vec::new());
    }
    if let Some(password) = &fdw.options.remote.password
        && plan
            .makes
            .iter()
            .any(|s| matches!(s, Statement::Secret { .. }))
    {
        secret::keep_out_of_logs(session).await?;
        secret::hand_over(session, password).await?;
    }
    for sql in &plan.drops {
        session.batch(sql).await.map_err(explain)?;
    }
    for statement in &plan.makes {
        match statement {
            Statement::Sql(sql) => session.batch(sql).await?,
            Statement::Secret { server, user } => {
                secret::create_mapping(session, server, user).await?;
            }
            Statement::View(object) => make_view(fdw, session, object).await?,
        }
    }
    session.commit().await?;
    Ok(plan.differences)
}

/// Makes a view or a report, and notes what the server made of it.
async fn make_view(fdw: &Fdw, session: &mut Session, object: &Object) -> Result<()> {
    match &object.detail {
        Detail::Report { create, rest, .. } => {
            // Reports name the views without their schema.
            session
                .batch(&format!(
                    "SET LOCAL search_path = pg_catalog, {}; SET LOCAL statement_timeout = {}",
                    crate::sql::ident(&fdw.options.schema),
                    FILLING.as_millis()
                ))
                .await?;
            // Prepared, so that it is one statement, whatever is in it.
            session.set_deadline(FILLING);
            session.query(create, &[]).await?;
            session.set_deadline(DEADLINE);
            session
                .batch(&format!(
                    "SET LOCAL search_path = pg_catalog; SET LOCAL statement_timeout = {};\n{rest}",
                    DEADLINE.as_millis()
                ))
                .await?;
        }
        _ => session.batch(&object.sql).await?,
    }
    let row = session
        .one(
            "SELECT md5(pg_get_viewdef(to_regclass($1)))",
            &[&object.name],
        )
        .await?;
    let seen: String = get(&row, 0)?;
    session.batch(&object::seen_comment(object, &seen)).await
}

/// Gathers statistics of the foreign tables; of a parent, with its partitions.
pub(super) async fn analyze(fdw: &Fdw, session: &mut Session) -> Result<usize> {
    session.set_deadline(FILLING);
    session
        .batch(&format!("SET statement_timeout = {}", FILLING.as_millis()))
        .await?;
    let mut tables = 0;
    for object in &fdw.objects {
        let by_itself = match &object.detail {
            Detail::Parent { .. } => true,
            Detail::Foreign { partition, .. } => {
                tables += 1;
                partition.is_none()
            }
            _ => false,
        };
        if by_itself {
            session.batch(&format!("ANALYZE {}", object.name)).await?;
        }
    }
    Ok(tables)
}

/// Starts a transaction, alone.
pub(super) async fn begin(session: &Session) -> Result<()> {
    session
        .batch(&format!(
            "BEGIN; SET LOCAL lock_timeout = '5s'; \
             SET LOCAL idle_in_transaction_session_timeout = '1min'; \
             SELECT pg_advisory_xact_lock({APPLY_LOCK})"
        ))
        .await
}

/// An object of somebody's depends on one that is to be dropped.
pub(super) fn explain(error: Error) -> Error {
    if error
        .sqlstate()
        .is_some_and(|state| state.as_str() == "2BP01")
    {
        return Error::refused(format!(
            "{}; nothing was changed: drop what depends on it, or keep its definition and make it \
             again afterwards",
            error.message()
        ))
        .with_source(error);
    }
    error
}

/// Refuses columns that this server would read otherwise than the shards.
async fn known(fdw: &Fdw, session: &Session) -> Result<()> {
    let mut problems: Vec<String> = Vec::new();
    let mut types: Vec<(&str, Option<Option<String>>)> = Vec::new();
    let mut compared_by_default = None;
    for table in &fdw.tables {
        for column in &table.columns {
            let place = format!("{}.{}", table.name, crate::sql::ident(&column.name));
            if column.default_collation {
                compared_by_default.get_or_insert(place.clone());
            }
            let here = match types.iter().find(|(name, _)| *name == column.type_name) {
                Some((_, here)) => here.clone(),
                None => {
                    let here = catalog::type_here(session, &column.type_name).await?;
                    types.push((&column.type_name, here.clone()));
                    here
                }
            };
            match here {
                None => problems.push(format!(
                    "{place} has type {}, which does not exist on the reporting server: create it \
                     there",
                    column.type_name
                )),
                Some(made_of) if made_of != column.made_of => problems.push(format!(
                    "{place} has type {}, which is {} on the shards and {} on the reporting server: \
                     make them alike",
                    column.type_name,
                    column.made_of.as_deref().unwrap_or("built in"),
                    made_of.as_deref().unwrap_or("built in")
                )),
                Some(_) => {}
            }
            if let Some(collation) = &column.collation
                && !catalog::collation_here(session, collation).await?
            {
                problems.push(format!(
                    "{place} has collation {collation}, which does not exist on the reporting \
                     server: create it there"
                ));
            }
        }
    }
    for (name, version) in &fdw.database.extensions {
        match catalog::extensions(session, std::slice::from_ref(name)).await?.first() {
            Some((_, here)) if here == version => {}
            Some((_, here)) => problems.push(format!(
                "extension {name} is of version {version} on the shards and {here} on the reporting \
                 server, so that its functions may differ: make them alike"
            )),
            None => problems.push(format!(
                "extension {name} does not exist on the reporting server: create it there"
            )),
        }
    }
    let here = catalog::database(session, &[]).await?;
    if let Some(place) = compared_by_default
        && here.collation != fdw.database.collation
    {
        problems.push(format!(
            "the default collation is {} here and {} on the shards, so that {place} and others would \
             be sorted and compared otherwise: create the reporting database with the shards' \
             collation (CREATE DATABASE … TEMPLATE template0 LC_COLLATE … LC_CTYPE …)",
            here.collation, fdw.database.collation
        ));
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::refused(format!(
        "the reporting server does not know the shards' tables as they are; nothing was changed:\n  {}",
        problems.join("\n  ")
    )))
}

impl Difference {
    /// Whether anything was, or would be, made or changed, as opposed to left.
    pub fn is_change(&self) -> bool {
        self.change != Change::Keep
    }
}
