//! Taking away what was made.

use crate::config::Config;
use crate::direct::{Session, get};
use crate::error::{Error, Result};
use crate::sql::ident;

use super::change::{self, Change, Difference, Removals};
use super::existing::Existing;
use super::object::Kind;
use super::{Reporting, apply, marker, name};

/// Removes everything that was made on a reporting server for this cluster, in one transaction, and
/// nothing else. The shards are not asked.
///
/// The extension goes if it was made with the rest and no other server uses it; the reader, if it was
/// made with the rest and owns nothing and has no privileges elsewhere.
///
/// # Errors
///
/// `Refused`, and nothing is removed, if something that somebody made depends on what would go; the
/// errors of connecting.
pub async fn remove(config: &Config, reporting: &Reporting) -> Result<Vec<Difference>> {
    let session = reporting.connect(config).await?;
    let differences = within_transaction(&session, config).await?;
    session.commit().await?;
    Ok(differences)
}

/// What [`remove`] would do. It is done and taken back, so it finds all that stands in the way; for
/// that moment it holds the locks of the removal.
///
/// # Errors
///
/// As for [`remove`].
pub async fn removal(config: &Config, reporting: &Reporting) -> Result<Vec<Difference>> {
    let session = reporting.connect(config).await?;
    let differences = within_transaction(&session, config).await?;
    session.batch("ROLLBACK").await?;
    Ok(differences)
}

/// Removes one report, by its schema and its plain name.
///
/// # Errors
///
/// `Config` if there is no such report; `Refused`, and nothing is removed, if something that somebody
/// made depends on it.
pub async fn remove_report(
    config: &Config,
    reporting: &Reporting,
    schema: &str,
    report: &str,
) -> Result<Vec<Difference>> {
    let session = reporting.connect(config).await?;
    let difference = drop_report(&session, config, schema, report).await?;
    session.commit().await?;
    Ok(vec![difference])
}

/// What [`remove_report`] would do, done and taken back.
///
/// # Errors
///
/// As for [`remove_report`].
pub async fn report_removal(
    config: &Config,
    reporting: &Reporting,
    schema: &str,
    report: &str,
) -> Result<Vec<Difference>> {
    let session = reporting.connect(config).await?;
    let difference = drop_report(&session, config, schema, report).await?;
    session.batch("ROLLBACK").await?;
    Ok(vec![difference])
}

async fn drop_report(
    session: &Session,
    config: &Config,
    schema: &str,
    report: &str,
) -> Result<Difference> {
    apply::begin(session).await?;
    let existing = Existing::read(session, config.cluster, "", schema).await?;
    let name = format!("{}.{}", ident(schema), ident(report));
    let known = existing.reports(schema).any(|(known, _)| known == name);
    let found = existing
        .relations
        .iter()
        .find(|relation| known && relation.name == name);
    let (Some(found), Some(kind)) = (found, found.and_then(|found| found.kind.kind())) else {
        let names: Vec<&str> = existing.reports(schema).map(|(name, _)| name).collect();
        return Err(Error::config(format!(
            "there is no report {name}; there are: {}",
            names.join(", ")
        )));
    };
    session
        .batch(&found.drop_statement())
        .await
        .map_err(apply::explain)?;
    Ok(Difference {
        object: format!("{} {name}", kind.label()),
        change: Change::Remove,
        detail: Vec::new(),
    })
}

async fn within_transaction(session: &Session, config: &Config) -> Result<Vec<Difference>> {
    apply::begin(session).await?;
    let existing = Existing::read(session, config.cluster, "", name::FOREIGN).await?;
    let mut differences = Vec::new();
    existing.refuse_strangers()?;
    let Removals {
        views,
        tables,
        rest,
    } = change::removals(&existing, |_| false, |_, _| false, &mut differences);
    for sql in views.iter().chain(&tables).chain(&rest) {
        session.batch(sql).await.map_err(apply::explain)?;
    }
    if existing
        .schemas
        .iter()
        .any(|schema| schema.ours && schema.name == name::FOREIGN)
    {
        drop_schema(session, &existing, &mut differences).await?;
    }
    drop_reader(session, config, &mut differences).await?;
    Ok(differences)
}

/// Drops the schema of the foreign tables, with the extension if that is in it.
async fn drop_schema(
    session: &Session,
    existing: &Existing,
    differences: &mut Vec<Difference>,
) -> Result<()> {
    let schema = ident(name::FOREIGN).to_string();
    if existing.extension.as_deref() == Some(name::FOREIGN) {
        let row = session
            .one(
                "SELECT count(*) FROM pg_foreign_server s
                   JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
                  WHERE w.fdwname = 'postgres_fdw'",
                &[],
            )
            .await?;
        if get::<i64>(&row, 0)? > 0 {
            for object in [
                "extension postgres_fdw".to_owned(),
                format!("schema {schema}"),
            ] {
                differences.push(Difference {
                    object,
                    change: Change::Keep,
                    detail: vec!["foreign servers of somebody else's use the extension".to_owned()],
                });
            }
            return Ok(());
        }
        let sql = "DROP EXTENSION postgres_fdw";
        run(session, differences, Kind::Extension, "postgres_fdw", sql).await?;
    }
    let sql = format!("DROP SCHEMA {schema}");
    run(session, differences, Kind::Schema, &schema, &sql).await
}

async fn run(
    session: &Session,
    differences: &mut Vec<Difference>,
    kind: Kind,
    name: &str,
    sql: &str,
) -> Result<()> {
    session.batch(sql).await.map_err(apply::explain)?;
    differences.push(Difference {
        object: format!("{} {name}", kind.label()),
        change: Change::Remove,
        detail: Vec::new(),
    });
    Ok(())
}

/// Roles belong to the whole server, so the reader may be in use in another database.
async fn drop_reader(
    session: &Session,
    config: &Config,
    differences: &mut Vec<Difference>,
) -> Result<()> {
    let rows = session
        .query(
            "SELECT rolname::text,
                    EXISTS (SELECT FROM pg_shdepend
                             WHERE refclassid = 'pg_authid'::regclass AND refobjid = r.oid)
               FROM pg_roles r
              WHERE shobj_description(r.oid, 'pg_authid') = $1",
            &[&marker(config.cluster)],
        )
        .await?;
    for row in &rows {
        let role = ident(&get::<String>(row, 0)?).to_string();
        if get(row, 1)? {
            differences.push(Difference {
                object: format!("role {role}"),
                change: Change::Keep,
                detail: vec!["it has privileges or objects elsewhere".to_owned()],
            });
        } else {
            let sql = format!("DROP ROLE {role}");
            run(session, differences, Kind::Role, &role, &sql).await?;
        }
    }
    Ok(())
}
