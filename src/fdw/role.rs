//! The role on the shards that reports read as: it may read the declared tables and nothing else.

use crate::config::{Config, ShardConfig, TableName};
use crate::direct::{self, Credentials, Session, Writable, get};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{NodeId, ShardId};
use crate::sql::{ident, literal};

use super::{marker, secret};

/// What a shard lacks of the role that reports read as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolePlan {
    /// The shard.
    pub shard: ShardId,
    /// The node that is writable, where it would be done.
    pub node: NodeId,
    /// The statements, in order. Where the password goes is psql's variable `fdw_password`.
    pub statements: Vec<String>,
    /// Whether the first statement takes the password.
    secret: bool,
}

/// What would be done on each shard so that a role may read the configured tables, and nothing else.
/// Changes nothing.
///
/// The role is created with LOGIN, without any other right, and read-only by default. Its password
/// is the one of `reports`; it is set anew where the shard does not take it.
///
/// # Errors
///
/// `Refused` if the role exists and may do more than read: with what, and how to take it away;
/// `Unavailable` or `Contested` if a shard has no writable node or two; the errors of connecting.
pub async fn role_plan(
    config: &Config,
    ddl: &Credentials,
    reports: &Credentials,
) -> Result<Vec<RolePlan>> {
    if reports.user == config.user {
        return Err(Error::refused(format!(
            "{} is the application's role, which writes: give reports a role of their own",
            reports.user
        )));
    }
    let mut plans = Vec::new();
    for shard in &config.shards {
        let writable = direct::find(config, shard, ddl).await?;
        plans.push(plan(config, shard, &writable, reports).await?);
    }
    Ok(plans)
}

/// Does on each shard, in one transaction, what [`role_plan`] says, and says what was done.
///
/// The password travels apart from the SQL, so that the servers' logs and statistics do not show it.
///
/// # Errors
///
/// As for [`role_plan`]; `Refused` if a server would log the password and the DDL role may not prevent
/// it. The shards before that one are done.
pub async fn role_apply(
    config: &Config,
    ddl: &Credentials,
    reports: &Credentials,
) -> Result<Vec<RolePlan>> {
    let mut done = Vec::new();
    for shard in &config.shards {
        let writable = direct::find(config, shard, ddl).await?;
        let plan = plan(config, shard, &writable, reports).await?;
        if !plan.statements.is_empty() {
            run(&writable.session, &plan, reports).await?;
        }
        done.push(plan);
    }
    Ok(done)
}

async fn run(session: &Session, plan: &RolePlan, reports: &Credentials) -> Result<()> {
    session
        .batch(
            "BEGIN; SET LOCAL lock_timeout = '5s'; SET LOCAL password_encryption = 'scram-sha-256'",
        )
        .await?;
    let mut statements = plan.statements.iter();
    if plan.secret
        && let (Some(statement), Some(password)) = (statements.next(), &reports.password)
    {
        secret::keep_out_of_logs(session).await?;
        secret::hand_over(session, password).await?;
        let (before, _) = statement.split_once(PASSWORD).unwrap_or((statement, ""));
        secret::with_password(session, before).await?;
    }
    for statement in statements {
        session.batch(statement).await?;
    }
    session.commit().await
}

/// Where a statement takes the password.
const PASSWORD: &str = " PASSWORD :'fdw_password'";

async fn plan(
    config: &Config,
    shard: &ShardConfig,
    writable: &Writable,
    reports: &Credentials,
) -> Result<RolePlan> {
    let session = &writable.session;
    let mut plan = RolePlan {
        shard: shard.id,
        node: writable.node,
        statements: Vec::new(),
        secret: false,
    };
    let role = ident(&reports.user).to_string();
    let password = match reports.password {
        Some(_) => PASSWORD,
        None => "",
    };
    let found = session
        .query(
            "SELECT concat_ws(', ', CASE WHEN rolsuper THEN 'SUPERUSER' END,
                        CASE WHEN rolbypassrls THEN 'BYPASSRLS' END,
                        CASE WHEN rolcreaterole THEN 'CREATEROLE' END,
                        CASE WHEN rolcreatedb THEN 'CREATEDB' END,
                        CASE WHEN rolreplication THEN 'REPLICATION' END,
                        (SELECT 'IN ROLE ' || string_agg(quote_ident(pg_get_userbyid(m.roleid)), ', ')
                           FROM pg_auth_members m WHERE m.member = r.oid)),
                    EXISTS (SELECT FROM pg_db_role_setting s
                             WHERE s.setrole = r.oid AND s.setdatabase = 0
                               AND 'default_transaction_read_only=on' = ANY (s.setconfig)),
                    rolcanlogin
               FROM pg_roles r WHERE rolname = $1",
            &[&reports.user],
        )
        .await?;
    let read_only = match found.first() {
        None => {
            plan.secret = reports.password.is_some();
            plan.statements.push(format!(
                "CREATE ROLE {role} LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB \
                 NOREPLICATION{password};\n"
            ));
            plan.statements.push(format!(
                "COMMENT ON ROLE {role} IS {};\n",
                literal(&marker(config.cluster))
            ));
            false
        }
        Some(row) => {
            let more: String = get(row, 0)?;
            if !more.is_empty() {
                return Err(session.fail(Error::refused(format!(
                    "the role {role} may do more than read ({more}): take that away, or choose another \
                     role for reports"
                ))));
            }
            let login: bool = get(row, 2)?;
            if reports.password.is_some()
                && (!login || !takes(config, shard, writable.node, reports).await?)
            {
                plan.secret = true;
                plan.statements
                    .push(format!("ALTER ROLE {role} LOGIN{password};\n"));
            }
            excess(session, reports, &role).await?;
            get(row, 1)?
        }
    };
    if !read_only {
        plan.statements.push(format!(
            "ALTER ROLE {role} SET default_transaction_read_only = on;\n"
        ));
    }
    let tables = config.tables.iter().map(|table| &table.name);
    for table in tables.chain(&config.references) {
        grants(session, reports, table, &role, &mut plan.statements).await?;
    }
    Ok(plan)
}

/// Whether the shard lets the role in with its password.
async fn takes(
    config: &Config,
    shard: &ShardConfig,
    node: NodeId,
    reports: &Credentials,
) -> Result<bool> {
    let Some(node) = shard.nodes.iter().find(|known| known.id == node) else {
        return Ok(true);
    };
    match Session::to_node(config, shard.id, node, reports).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Auth => Ok(false),
        Err(error) => Err(error),
    }
}

/// Refuses a role that may write, be it by a grant to everybody.
async fn excess(session: &Session, reports: &Credentials, role: &str) -> Result<()> {
    let rows = session
        .query(
            "SELECT format('%I.%I', n.nspname, c.relname)
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
                AND n.nspname <> 'information_schema' AND NOT starts_with(n.nspname, 'pg_')
                AND (has_table_privilege($1, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
                     OR has_any_column_privilege($1, c.oid, 'INSERT, UPDATE'))
              ORDER BY 1 LIMIT 10",
            &[&reports.user],
        )
        .await?;
    let names: Vec<String> = rows.iter().map(|row| get(row, 0)).collect::<Result<_>>()?;
    if names.is_empty() {
        return Ok(());
    }
    Err(session.fail(Error::refused(format!(
        "the role {role} may write to {}: REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON them FROM {role} (or \
         from PUBLIC), or choose another role for reports",
        names.join(", ")
    ))))
}

async fn grants(
    session: &Session,
    reports: &Credentials,
    table: &TableName,
    role: &str,
    statements: &mut Vec<String>,
) -> Result<()> {
    let rows = session
        .query(
            "SELECT coalesce(has_schema_privilege(r.oid, n.oid, 'USAGE'), false),
                    coalesce(has_table_privilege(r.oid, c.oid, 'SELECT'), false)
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               LEFT JOIN pg_roles r ON r.rolname = $3
              WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm')",
            &[&table.schema, &table.name, &reports.user],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Err(session.fail(Error::refused(format!(
            "there is no table {table}: create it, or take it out of the configuration"
        ))));
    };
    let (usage, select): (bool, bool) = (get(row, 0)?, get(row, 1)?);
    if !usage {
        let grant = format!(
            "GRANT USAGE ON SCHEMA {} TO {role};\n",
            ident(&table.schema)
        );
        if !statements.contains(&grant) {
            statements.push(grant);
        }
    }
    if !select {
        statements.push(format!("GRANT SELECT ON {table} TO {role};\n"));
    }
    Ok(())
}
