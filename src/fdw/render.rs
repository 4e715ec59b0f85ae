//! The SQL of everything on a reporting server: no I/O, the same for the same input.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::sql::{ident, literal};

use super::catalog::Table;
use super::layout::{self, Scene};
use super::object::{Detail, Kind, Object, comment, object};
use super::options::FdwOptions;
use super::server::{add, mapping, server};
use super::{marker, name};

/// Everything, in the order in which it is made.
pub(super) fn objects(
    config: &Config,
    options: &FdwOptions,
    tables: &[Table],
) -> Result<Vec<Object>> {
    options.check(config)?;
    let mut objects = frame(config, options);
    for shard in &config.shards {
        objects.push(server(config, options, shard)?);
        objects.push(mapping(config, options, shard));
    }
    let scene = Scene {
        config,
        options,
        names: tables.iter().map(|table| &table.name).collect(),
    };
    objects.extend(layout::objects(&scene, tables)?);
    for (n, object) in objects.iter().enumerate() {
        // Relations share one space of names, whatever their kind.
        let space = |kind: Kind| {
            if kind >= Kind::Parent {
                Kind::Parent
            } else {
                kind
            }
        };
        let same =
            |other: &Object| space(other.kind) == space(object.kind) && other.name == object.name;
        if objects.iter().take(n).any(same) {
            return Err(Error::refused(format!(
                "two tables would both be shown as {}: rename one of them",
                object.name
            )));
        }
    }
    Ok(objects)
}

/// The reader, the schemas and the extension.
fn frame(config: &Config, options: &FdwOptions) -> Vec<Object> {
    let reader = ident(&options.reader);
    vec![
        object(
            config,
            Kind::Role,
            reader.to_string(),
            format!(
                "DO {};\n",
                literal(&format!(
                    "BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {}) THEN \
                     CREATE ROLE {reader} NOLOGIN; COMMENT ON ROLE {reader} IS {}; END IF; END",
                    literal(&options.reader),
                    literal(&marker(config.cluster)),
                ))
            ),
            Detail::None,
        ),
        object(
            config,
            Kind::Schema,
            ident(name::FOREIGN).to_string(),
            format!("CREATE SCHEMA {};\n", ident(name::FOREIGN)),
            Detail::None,
        ),
        object(
            config,
            Kind::Extension,
            "postgres_fdw".to_owned(),
            format!(
                "CREATE EXTENSION IF NOT EXISTS postgres_fdw WITH SCHEMA {};\n",
                ident(name::FOREIGN)
            ),
            Detail::None,
        ),
        object(
            config,
            Kind::Schema,
            ident(&options.schema).to_string(),
            format!(
                "CREATE SCHEMA {0};\nGRANT USAGE ON SCHEMA {0} TO {reader};\n",
                ident(&options.schema)
            ),
            Detail::None,
        ),
    ]
}

/// What a script for psql begins with.
pub(super) fn preamble(config: &Config, options: &FdwOptions) -> String {
    let password = if options.remote.password.is_some() {
        "-- The password is psql's variable fdw_password; if that is not set, the environment's\n\
         -- PGSHARD_FDW_PASSWORD. Run as a superuser, the script keeps it out of the server's log.\n\
         -- `shardctl fdw apply` does so for others too, or refuses.\n\
         \\if :{?fdw_password}\n\
         \\else\n    \
         \\set fdw_password `printenv PGSHARD_FDW_PASSWORD`\n\
         \\endif\n"
    } else {
        ""
    };
    let newer = if options.parallel_commit {
        "SELECT current_setting('server_version_num')::int >= 150000 AS since_15 \\gset\n"
    } else {
        ""
    };
    format!(
        "-- Reports over the cluster {}: made by `shardctl fdw sql`, for psql.\n\
         {password}\
         \\set ON_ERROR_STOP on\n\
         {newer}\
         BEGIN;\n\
         SELECT set_config(name, value, true) FROM (VALUES ('log_statement', 'none'),\n    \
         ('log_min_error_statement', 'panic'), ('log_min_duration_statement', '-1')) s(name, value)\n    \
         WHERE current_setting('is_superuser')::boolean;\n",
        config.cluster
    )
}

/// A script for psql.
pub(super) fn script(config: &Config, options: &FdwOptions, objects: &[Object]) -> String {
    let mut text = preamble(config, options) + "SET LOCAL search_path = pg_catalog;\n";
    for object in objects {
        text.push('\n');
        text += &object.sql;
        text += &since_15(object);
        text += &comment(object, &object.comment);
    }
    text += "\nCOMMIT;\n";
    text
}

/// What only newer servers are told of an object, for psql.
pub(super) fn since_15(object: &Object) -> String {
    match &object.detail {
        Detail::Options { since_15, .. } if !since_15.is_empty() => {
            format!("\\if :since_15\n{}\\endif\n", add(&object.name, since_15))
        }
        _ => String::new(),
    }
}
