//! Whether every shard still is as it was installed.

use crate::config::{Config, GuardMode};
use crate::direct;
use crate::direct::Credentials;
use crate::direct::{Session, get};
use crate::error::{ErrorKind, Result};
use crate::id::{NodeId, ShardId, ShardIndex};

use super::observe::Observed;
use super::{InstallOptions, guard, plan, steps};

/// Something that [`verify`] found wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The shard.
    pub shard: ShardId,
    /// The node it was seen on.
    pub node: NodeId,
    /// What is wrong.
    pub what: String,
}

/// Checks every shard: identity, schema version, reigns, the functions' definitions and owner, and
/// what the application's role can do, by whatever way it came to the right. Changes nothing.
///
/// `role` must be able to read the schema; the DDL role is. An empty answer: all is well.
///
/// # Errors
///
/// As for [`Install::plan`](super::Install::plan), if a shard cannot be looked at. What is looked at
/// and found wrong is a [`Finding`].
pub async fn verify(config: &Config, role: &Credentials) -> Result<Vec<Finding>> {
    let mut options = InstallOptions::new(role.clone());
    options.guard = config.guard != GuardMode::Off;
    let mut findings = Vec::new();
    for (number, shard) in (0..).zip(&config.shards) {
        let found = direct::find(config, shard, role).await?;
        let mut problems = Vec::new();
        match look(&found.session, config, &options, ShardIndex(number)).await {
            Ok(list) => problems = list,
            Err(error) if matches!(error.kind(), ErrorKind::Refused | ErrorKind::WrongNode) => {
                problems.push(error.message().to_owned());
            }
            Err(error) => return Err(error),
        }
        findings.extend(problems.into_iter().map(|what| Finding {
            shard: shard.id,
            node: found.node,
            what,
        }));
    }
    Ok(findings)
}

async fn look(
    session: &Session,
    config: &Config,
    options: &InstallOptions,
    index: ShardIndex,
) -> Result<Vec<String>> {
    let observed = Observed::read(session, config).await?;
    let missing = plan::actions(config, options, index, &observed)?;
    let mut problems: Vec<String> = missing
        .iter()
        .map(|action| format!("install has something to do: {}", action.what))
        .collect();
    if !observed.schema {
        return Ok(problems);
    }
    if observed.app.is_some_and(|app| app.superuser) {
        problems.push(format!("{} is a superuser", config.user));
    } else {
        problems.extend(excess(session, &config.user).await?);
    }
    let key_type = config.map.key_type().name();
    problems.extend(foreign_objects(session, key_type).await?);
    Ok(problems)
}

/// What the role can do and must not, through other roles too.
async fn excess(session: &Session, app: &str) -> Result<Vec<String>> {
    let rows = session
        .query(
            "SELECT $1 || ' can ' || p || ' table pgshard.' || relname
               FROM pg_class,
                    unnest('{INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p
              WHERE relnamespace = to_regnamespace('pgshard') AND relkind IN ('r', 'p')
                AND has_table_privilege($1, oid, p)
             UNION ALL
             SELECT $1 || ' can CREATE in schema pgshard'
              WHERE has_schema_privilege($1, 'pgshard', 'CREATE')
             UNION ALL
             SELECT $1 || ' is a member of ' || pg_get_userbyid(nspowner) || ', which owns the schema'
               FROM pg_namespace
              WHERE nspname = 'pgshard' AND pg_has_role($1, nspowner, 'MEMBER')
             ORDER BY 1",
            &[&app],
        )
        .await?;
    rows.iter().map(|row| get(row, 0)).collect()
}

/// Objects of another owner, and functions that are not this library's.
async fn foreign_objects(session: &Session, key_type: &str) -> Result<Vec<String>> {
    let rows = session
        .query(
            "SELECT c.oid::regclass::text, pg_get_userbyid(c.relowner)::text
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE n.nspname = 'pgshard' AND c.relowner <> n.nspowner
             UNION ALL
             SELECT p.oid::regprocedure::text, pg_get_userbyid(p.proowner)::text
               FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
              WHERE n.nspname = 'pgshard' AND p.proowner <> n.nspowner
              ORDER BY 1",
            &[],
        )
        .await?;
    let mut problems = Vec::new();
    for row in rows {
        let (object, owner): (String, String) = (get(&row, 0)?, get(&row, 1)?);
        problems.push(format!(
            "{object} is owned by {owner}, not by the schema's owner"
        ));
    }
    let rows = session
        .query(
            "SELECT oid::regprocedure::text, proname::text, prosrc, prosecdef FROM pg_proc
              WHERE pronamespace = to_regnamespace('pgshard')
                AND proname = ANY ('{enter,leave,ledger_enter,ledger_leave,ledger_resolve,ledger_purge,guard_open,guard_key,guard_leave,act_is_append_only}')
              ORDER BY 1",
            &[],
        )
        .await?;
    for row in rows {
        let (function, name): (String, String) = (get(&row, 0)?, get(&row, 1)?);
        let (body, definer): (String, bool) = (get(&row, 2)?, get(&row, 3)?);
        if definer || !(steps::is_own_body(&name, &body) || guard::is_own_body(&body, key_type)) {
            problems.push(format!("{function} is not as this library defines it"));
        }
    }
    let row = session
        .one(
            "SELECT to_regclass('pgshard.act') IS NULL
                 OR EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass('pgshard.act')
                               AND tgname = 'act_is_append_only' AND tgenabled IN ('O', 'A'))",
            &[],
        )
        .await?;
    if !get::<bool>(&row, 0)? {
        problems.push(
            "the trigger act_is_append_only of pgshard.act is missing or disabled: the log of \
             operators' acts can be changed"
                .to_owned(),
        );
    }
    Ok(problems)
}
