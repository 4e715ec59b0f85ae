//! The SQL of everything on a reporting server: no I/O, the same for the same input.

use std::fmt::Write as _;

use crate::config::{Config, ShardConfig, TlsMode};
use crate::error::{Error, Result};
use crate::sql::{ident, literal};

use super::catalog::{Column, Table};
use super::{FdwOptions, Source, agree, marker, name};

/// What kind of thing an [`Object`] is, in the order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Role,
    Schema,
    Extension,
    Server,
    UserMapping,
    ForeignTable,
    View,
}

/// Something to be made.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) kind: Kind,
    /// As SQL, with the schema.
    pub(super) name: String,
    /// The statements that make it, but for the comment. With a placeholder for the password.
    pub(super) sql: String,
    /// The comment that marks it, up to what is seen once it is there. Empty where an object can
    /// have none.
    pub(super) comment: String,
    pub(super) detail: Detail,
}

/// What is needed to change an object.
#[derive(Clone, Debug)]
pub(super) enum Detail {
    None,
    /// A server's options.
    Options(Vec<(String, String)>),
    /// The user that a mapping stands for on the shard, and the server's plain name.
    Mapping {
        server: String,
        user: String,
    },
    /// A foreign table's plain parts.
    Foreign {
        server: String,
        options: Vec<(String, String)>,
        columns: Vec<Column>,
    },
    /// The foreign tables that a view reads.
    Reads(Vec<String>),
}

/// Stands for the password in what is shown; psql puts its variable there.
pub(super) const PLACEHOLDER: &str = ":'fdw_password'";

/// Everything, in the order in which it is made.
pub(super) fn objects(
    config: &Config,
    options: &FdwOptions,
    tables: &[Table],
) -> Result<Vec<Object>> {
    check(options)?;
    let reader = ident(&options.reader);
    let mut objects = vec![
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
    ];
    for shard in &config.shards {
        objects.push(server(config, options, shard));
        objects.push(mapping(config, options, shard));
    }
    let names: Vec<_> = tables.iter().map(|table| &table.name).collect();
    for table in tables {
        let shards = if table.sharded {
            config.shards.len()
        } else {
            1
        };
        let mut foreign = Vec::new();
        for shard in config.shards.iter().take(shards) {
            let made = foreign_table(config, shard, table, &names);
            foreign.push((shard, made.name.clone()));
            objects.push(made);
        }
        objects.push(view(config, options, table, &names, &foreign)?);
    }
    for (n, object) in objects.iter().enumerate() {
        let same = |other: &Object| other.kind == object.kind && other.name == object.name;
        if objects.iter().take(n).any(same) {
            return Err(Error::refused(format!(
                "two tables would both be shown as {}: rename one of them",
                object.name
            )));
        }
    }
    Ok(objects)
}

/// A script for psql.
pub(super) fn script(config: &Config, objects: &[Object]) -> String {
    let mut text = format!(
        "-- Reports over the cluster {}: made by `shardctl fdw sql`, for psql.\n\
         --\n\
         -- The password is psql's variable fdw_password; set it before, from the environment:\n\
         --   \\set fdw_password `printenv PGSHARD_FDW_PASSWORD`\n\
         -- Run as a superuser, the script keeps the password out of the server's log. `shardctl fdw\n\
         -- apply` does so for others too, or refuses.\n\
         \\set ON_ERROR_STOP on\n\
         BEGIN;\n\
         SELECT set_config(name, value, true) FROM (VALUES ('log_statement', 'none'),\n    \
         ('log_min_error_statement', 'panic'), ('log_min_duration_statement', '-1')) s(name, value)\n    \
         WHERE current_setting('is_superuser')::boolean;\n\
         SET LOCAL search_path = pg_catalog;\n",
        config.cluster
    );
    for object in objects {
        text.push('\n');
        text += &object.sql;
        text += &comment(object, &object.comment);
    }
    text += "\nCOMMIT;\n";
    text
}

/// The statement that marks an object; empty where that cannot be.
pub(super) fn comment(object: &Object, text: &str) -> String {
    let kind = match object.kind {
        Kind::Schema => "SCHEMA",
        Kind::Server => "SERVER",
        Kind::ForeignTable => "FOREIGN TABLE",
        Kind::View => "VIEW",
        // A role or an extension that was there before is not marked: it is not ours to remove.
        Kind::Role | Kind::Extension | Kind::UserMapping => return String::new(),
    };
    format!("COMMENT ON {kind} {} IS {};\n", object.name, literal(text))
}

fn check(options: &FdwOptions) -> Result<()> {
    for (what, name) in [("schema", &options.schema), ("reader", &options.reader)] {
        if name.is_empty() || name.len() > 63 || name.contains('\0') {
            return Err(Error::config(format!(
                "{what} {name:?} is not an identifier: use 1 to 63 bytes"
            )));
        }
        if name.starts_with("pg_") {
            return Err(Error::config(format!(
                "{what} {name:?}: PostgreSQL keeps names that begin with pg_ for itself"
            )));
        }
    }
    if options.schema == name::FOREIGN {
        return Err(Error::config(format!(
            "the schema {} is that of the foreign tables: choose another one for the views",
            options.schema
        )));
    }
    if options.fetch_size == 0 {
        return Err(Error::config("the fetch size must be at least 1"));
    }
    Ok(())
}

fn server(config: &Config, options: &FdwOptions, shard: &ShardConfig) -> Object {
    let list = |part: fn(&crate::config::NodeConfig) -> String| {
        shard.nodes.iter().map(part).collect::<Vec<_>>().join(",")
    };
    let target = match options.source {
        // A node that is not the primary any more is passed over.
        Source::Primaries => "read-write",
        // A replica if one answers, else whatever does.
        Source::Replicas => "prefer-standby",
    };
    let encrypted = shard
        .nodes
        .iter()
        .any(|node| config.tls_mode(node) == TlsMode::VerifyFull);
    let mut list: Vec<(&str, String, &str)> = vec![
        (
            "host",
            list(|node| node.host.clone()),
            "all nodes of the shard",
        ),
        ("port", list(|node| node.port.to_string()), "one each"),
        ("dbname", config.database.clone(), "the same on every node"),
        (
            "target_session_attrs",
            target.to_owned(),
            "which of the nodes: found anew at each connect, so that a failover needs no change here",
        ),
        (
            "sslmode",
            if encrypted { "verify-full" } else { "disable" }.to_owned(),
            "as the cluster's configuration says",
        ),
        (
            "connect_timeout",
            "5".to_owned(),
            "a dead node delays a report by so many seconds",
        ),
        (
            "keepalives_idle",
            "10".to_owned(),
            "a node that vanished is noticed",
        ),
        ("keepalives_interval", "3".to_owned(), "a probe each 3 s"),
        ("keepalives_count", "3".to_owned(), "three probes"),
        (
            "application_name",
            "pgshard_fdw".to_owned(),
            "tells reports in pg_stat_activity",
        ),
        (
            "async_capable",
            "true".to_owned(),
            "the shards work at the same time",
        ),
        (
            "use_remote_estimate",
            "true".to_owned(),
            "the shard plans with its own statistics: none are kept here",
        ),
        (
            "fetch_size",
            options.fetch_size.to_string(),
            "rows a round trip: more helps large results and harms a top 100",
        ),
        ("updatable", "false".to_owned(), "reports do not write"),
    ];
    if let Some(file) = options.root_certificate.as_ref().filter(|_| encrypted) {
        list.insert(
            5,
            (
                "sslrootcert",
                file.clone(),
                "who signs the shards' certificates",
            ),
        );
    }
    let name = ident(&name::server(shard.id)).to_string();
    let mut sql = format!("CREATE SERVER {name} FOREIGN DATA WRAPPER postgres_fdw OPTIONS (\n");
    for (n, (option, value, why)) in list.iter().enumerate() {
        let comma = if n + 1 == list.len() { "" } else { "," };
        let _ = writeln!(sql, "    {option} {}{comma}  -- {why}", literal(value));
    }
    sql += ");\n";
    let options = list
        .into_iter()
        .map(|(option, value, _)| (option.to_owned(), value))
        .collect();
    object(config, Kind::Server, name, sql, Detail::Options(options))
}

fn mapping(config: &Config, options: &FdwOptions, shard: &ShardConfig) -> Object {
    let server = name::server(shard.id);
    let password = match options.remote.password {
        Some(_) => format!(", password {PLACEHOLDER}"),
        None => String::new(),
    };
    let sql = format!(
        "CREATE USER MAPPING FOR CURRENT_USER SERVER {} OPTIONS (user {}{password});\n",
        ident(&server),
        literal(&options.remote.user),
    );
    let detail = Detail::Mapping {
        server: server.clone(),
        user: options.remote.user.clone(),
    };
    object(
        config,
        Kind::UserMapping,
        ident(&server).to_string(),
        sql,
        detail,
    )
}

fn foreign_table(
    config: &Config,
    shard: &ShardConfig,
    table: &Table,
    names: &[&crate::config::TableName],
) -> Object {
    let name = format!(
        "{}.{}",
        ident(name::FOREIGN),
        ident(&name::foreign_table(shard.id, &table.name, names))
    );
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            format!(
                "    {} {}",
                ident(&column.name),
                agree::definition(&Column {
                    made_of: None,
                    ..column.clone()
                })
            )
        })
        .collect();
    let sql = format!(
        "CREATE FOREIGN TABLE {name} (\n{}\n) SERVER {} OPTIONS (schema_name {}, table_name {});\n",
        columns.join(",\n"),
        ident(&name::server(shard.id)),
        literal(&table.name.schema),
        literal(&table.name.name),
    );
    let detail = Detail::Foreign {
        server: name::server(shard.id),
        options: vec![
            ("schema_name".to_owned(), table.name.schema.clone()),
            ("table_name".to_owned(), table.name.name.clone()),
        ],
        columns: table.columns.clone(),
    };
    object(config, Kind::ForeignTable, name, sql, detail)
}

fn view(
    config: &Config,
    options: &FdwOptions,
    table: &Table,
    names: &[&crate::config::TableName],
    foreign: &[(&ShardConfig, String)],
) -> Result<Object> {
    let name = format!(
        "{}.{}",
        ident(&options.schema),
        ident(&name::view(&table.name, names))
    );
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| ident(&column.name).to_string())
        .collect();
    let columns = columns.join(", ");
    let constant = if table.sharded {
        let taken = |wanted: &&str| !table.columns.iter().any(|column| column.name == **wanted);
        let free = ["shard", "pgshard_shard"].into_iter().find(taken);
        Some(free.ok_or_else(|| {
            Error::refused(format!(
                "{} has both a column shard and a column pgshard_shard, so the view cannot have one \
                 that names the shard: rename one",
                table.name
            ))
        })?)
    } else {
        None
    };
    let branches: Vec<String> = foreign
        .iter()
        .map(|(shard, from)| match constant {
            Some(column) => format!(
                "    SELECT {}::text AS {}, {columns} FROM {from}",
                literal(shard.id.as_str()),
                ident(column)
            ),
            None => format!("    SELECT {columns} FROM {from}"),
        })
        .collect();
    let sql = format!(
        "CREATE VIEW {name} AS\n{};\nGRANT SELECT ON {name} TO {};\n",
        branches.join("\n    UNION ALL\n"),
        ident(&options.reader),
    );
    let reads = foreign.iter().map(|(_, from)| from.clone()).collect();
    Ok(object(config, Kind::View, name, sql, Detail::Reads(reads)))
}

fn object(config: &Config, kind: Kind, name: String, sql: String, detail: Detail) -> Object {
    let digest = xxhash_rust::xxh3::xxh3_64(sql.as_bytes());
    let comment = match kind {
        Kind::Role | Kind::Extension | Kind::UserMapping => String::new(),
        _ => format!("{} sql {digest:016x};", marker(config.cluster)),
    };
    Object {
        kind,
        name,
        sql,
        comment,
        detail,
    }
}
