//! Row security by which the servers hold a statement to the rows of its handle's key.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::sql::{ident, literal};

use super::observe::Observed;
use super::{Action, ActionKind};

/// The restrictive policy on every sharded table.
pub(super) const POLICY: &str = "pgshard_guard";
/// The permissive one, which lets through what the other does not hold back: without any, nobody but
/// the owner sees a row.
pub(super) const OPEN: &str = "pgshard_open";

/// Everybody may call them: PostgreSQL asks for the right when a statement of any role meets the
/// policies. All they do is to look at the session's own name and setting.
pub(super) const FUNCTIONS: [&str; 2] = ["pgshard.guard_key()", "pgshard.guard_open(name)"];

/// The functions; `TYPE` is that of the key.
const SQL: &str = include_str!("guard.sql");

/// Whether the text is the body of one of the functions, for a type of keys.
pub(super) fn is_own_body(body: &str, key_type: &str) -> bool {
    sql(key_type).contains(&format!("$${body}$$"))
}

fn sql(key_type: &str) -> String {
    SQL.replace("TYPE", key_type)
}

fn comment(key_type: &str) -> String {
    let digest = xxhash_rust::xxh3::xxh3_64(sql(key_type).as_bytes());
    format!("The key whose rows a statement may see; {digest:016x}")
}

/// What creates the functions, if they are not there or are those of another release.
pub(super) fn functions(config: &Config, observed: &Observed) -> Result<Option<(String, String)>> {
    let key_type = config.map.key_type().name();
    if key_type == "text" {
        return Err(Error::refused(
            "the guard works for keys of type uuid and bigint, not for text",
        ));
    }
    if observed.app.as_ref().is_some_and(|app| app.bypasses) {
        return Err(Error::refused(format!(
            "{0} is a superuser or has BYPASSRLS: row security does not hold it. ALTER ROLE {1} \
             NOSUPERUSER NOBYPASSRLS, then run this again",
            config.user,
            ident(&config.user)
        )));
    }
    let comment = comment(key_type);
    if observed.guard.as_deref() == Some(&comment) {
        return Ok(None);
    }
    let sql = format!(
        "{}COMMENT ON FUNCTION pgshard.guard_key() IS {};\n",
        sql(key_type),
        literal(&comment)
    );
    Ok(Some(("the guard's functions".to_owned(), sql)))
}

/// What is missing of the tables' policies.
pub(super) fn actions(
    config: &Config,
    observed: &Observed,
    actions: &mut Vec<Action>,
) -> Result<()> {
    for (table, found) in config.tables.iter().zip(&observed.tables) {
        let name = &table.name;
        if !found.exists {
            return Err(Error::refused(format!(
                "the sharded table {name} does not exist here: create it, or take it out of the \
                 configuration, before it can be guarded"
            )));
        }
        // Sub-selects are evaluated once a statement, not once a row.
        let condition = format!(
            "(SELECT pgshard.guard_open({}))\n           OR {} = (SELECT pgshard.guard_key())",
            literal(&config.user),
            ident(&table.key),
        );
        let digest = xxhash_rust::xxh3::xxh3_64(condition.as_bytes());
        let comment = format!("Rows of the session's key only; {digest:016x}");
        if found.row_security && found.guard.as_deref() == Some(&comment) {
            continue;
        }
        let mut sql = format!("ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;\n");
        if !found.row_security {
            // The owner's views and functions are held to it, too. Where the table has policies of
            // its own, whom they hold stays as it is.
            sql += &format!("ALTER TABLE {name} FORCE ROW LEVEL SECURITY;\n");
            if !found.open {
                sql += &format!(
                    "CREATE POLICY {OPEN} ON {name} AS PERMISSIVE FOR ALL TO PUBLIC\n    \
                     USING (true) WITH CHECK (true);\n"
                );
            }
        }
        sql += &format!(
            "DROP POLICY IF EXISTS {POLICY} ON {name};\n\
             CREATE POLICY {POLICY} ON {name} AS RESTRICTIVE FOR ALL TO PUBLIC\n    \
             USING ({condition});\n\
             COMMENT ON POLICY {POLICY} ON {name} IS {};\n",
            literal(&comment)
        );
        actions.push(Action::new(
            ActionKind::Constrain,
            format!(
                "{name}: sessions of {} see the rows of their key",
                config.user
            ),
            sql,
        ));
    }
    Ok(())
}
