//! CHECK constraints by which the servers refuse a row that belongs to another shard.

use crate::config::Config;
use crate::direct::{Session, get};
use crate::error::{Error, Result};
use crate::id::ShardIndex;
use crate::routing::sql::twin;
use crate::sql::literal;

use super::observe::{CONSTRAINT, Identity, Observed};
use super::{Action, ActionKind, InstallOptions};

/// What is missing of the tables' constraints.
pub(super) fn actions(
    config: &Config,
    index: ShardIndex,
    observed: &Observed,
    actions: &mut Vec<Action>,
) -> Result<()> {
    for (table, found) in config.tables.iter().zip(&observed.tables) {
        let name = &table.name;
        if !found.exists {
            return Err(Error::refused(format!(
                "the sharded table {name} does not exist here: create it, or take it out of the \
                 configuration, before its placement can be checked"
            )));
        }
        let check = twin(&config.map).placement_check(&table.key, index)?;
        let digest = xxhash_rust::xxh3::xxh3_64(check.as_bytes());
        let comment = format!("Rows of this shard only; map digest {digest:016x}");
        let current = found
            .placement
            .as_ref()
            .filter(|(found, _)| *found == comment);
        if current.is_none() {
            let drop = if found.placement.is_some() {
                format!("ALTER TABLE {name} DROP CONSTRAINT {CONSTRAINT};\n")
            } else {
                String::new()
            };
            actions.push(Action::new(
                ActionKind::Constrain,
                format!("{name}: new rows must belong to this shard"),
                format!(
                    "{drop}ALTER TABLE {name} ADD CONSTRAINT {CONSTRAINT}\n    \
                     CHECK ({check}) NOT VALID;\n\
                     COMMENT ON CONSTRAINT {CONSTRAINT} ON {name} IS {};\n",
                    literal(&comment)
                ),
            ));
        }
        if !current.is_some_and(|(_, validated)| *validated) {
            actions.push(Action::new(
                ActionKind::Validate,
                format!("{name}: the rows that are there belong to this shard"),
                format!("ALTER TABLE {name} VALIDATE CONSTRAINT {CONSTRAINT};\n"),
            ));
        }
    }
    Ok(())
}

/// Moves the map forward, unless that would leave rows on the wrong shard.
pub(super) fn change_map(config: &Config, index: ShardIndex, wanted: &Identity) -> Result<String> {
    let mut sql = String::from("LOCK TABLE pgshard.gate IN ACCESS EXCLUSIVE MODE;\n");
    for table in &config.tables {
        let check = twin(&config.map).placement_check(&table.key, index)?;
        let body = format!(
            "BEGIN\n    IF EXISTS (SELECT FROM {} WHERE NOT ({check})) THEN\n        RAISE \
             EXCEPTION USING ERRCODE = 'PGS01', MESSAGE = {};\n    END IF;\nEND",
            table.name,
            literal(&misplaced(&table.name.to_string())),
        );
        sql += &format!("DO {};\n", literal(&body));
    }
    sql += &format!(
        "UPDATE pgshard.identity SET map_version = {}, layout = {};\n",
        wanted.map_version,
        literal(&wanted.layout)
    );
    Ok(sql)
}

/// Looks for rows that a new map would leave on the wrong shard, before any shard is changed.
pub(super) async fn refuse_misplaced(
    session: &Session,
    config: &Config,
    options: &InstallOptions,
    index: ShardIndex,
) -> Result<()> {
    for table in &config.tables {
        let check = twin(&config.map).placement_check(&table.key, index)?;
        let exists = session
            .one(
                "SELECT to_regclass($1) IS NOT NULL",
                &[&table.name.to_string()],
            )
            .await?;
        if !get::<bool>(&exists, 0)? {
            return Err(session.fail(Error::refused(format!(
                "the sharded table {} does not exist here, so its placement cannot be checked \
                 against the new map: create it, or take it out of the configuration",
                table.name
            ))));
        }
        let sql = format!(
            "SELECT EXISTS (SELECT FROM {} WHERE NOT ({check}))",
            table.name
        );
        let row = session.long(options.validate_timeout, &sql).await?;
        if get::<bool>(&row, 0)? {
            return Err(session.fail(Error::refused(misplaced(&table.name.to_string()))));
        }
    }
    Ok(())
}

fn misplaced(table: &str) -> String {
    format!(
        "{table} holds rows here that belong to another shard under the new map: move them first"
    )
}
