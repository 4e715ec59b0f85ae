//! What is made on a reporting server, object by object: no I/O.

use crate::config::Config;
use crate::sql::literal;

use super::catalog::Column;
use super::marker;

/// What kind of thing an [`Object`] is, in the order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Role,
    Schema,
    Extension,
    Server,
    UserMapping,
    /// A hash-partitioned parent of foreign tables.
    Parent,
    ForeignTable,
    View,
    MaterialisedView,
    Function,
}

impl Kind {
    /// What it is called in SQL and to people.
    pub(super) fn label(self) -> &'static str {
        match self {
            Kind::Role => "role",
            Kind::Schema => "schema",
            Kind::Extension => "extension",
            Kind::Server => "server",
            Kind::UserMapping => "user mapping",
            Kind::Parent => "table",
            Kind::ForeignTable => "foreign table",
            Kind::View => "view",
            Kind::MaterialisedView => "materialized view",
            Kind::Function => "function",
        }
    }

    /// Whether the server notes what a definition came to, to be told when somebody alters it.
    pub(super) fn is_seen(self) -> bool {
        matches!(self, Kind::View | Kind::MaterialisedView)
    }
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
    Options {
        options: Vec<(String, String)>,
        /// Those that servers older than PostgreSQL 15 do not know; they are added afterwards.
        since_15: Vec<(String, String)>,
    },
    /// The user that a mapping stands for on the shard, and the server's plain name.
    Mapping {
        server: String,
        user: String,
    },
    /// A partitioned parent.
    Parent {
        /// The key's plain name.
        key: String,
        columns: Vec<Column>,
    },
    /// A foreign table's plain parts.
    Foreign {
        server: String,
        options: Vec<(String, String)>,
        columns: Vec<Column>,
        /// Its parent, and the bound as the server shows it.
        partition: Option<(String, String)>,
    },
    /// The relations that a view reads.
    Reads(Vec<String>),
    /// A report, of which it is known only on the server what it reads.
    Report {
        /// What the comment keeps of it, behind all else.
        definition: String,
        /// The one statement that makes it; somebody's own SQL is in it.
        create: String,
        /// The statements after that.
        rest: String,
        /// Whether it has a unique index.
        unique: bool,
    },
}

/// Stands for the password in what is shown; psql puts its variable there.
pub(super) const PLACEHOLDER: &str = ":'fdw_password'";

/// An object with its mark.
pub(super) fn object(
    config: &Config,
    kind: Kind,
    name: String,
    sql: String,
    detail: Detail,
) -> Object {
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

/// The statement that marks an object; empty where that cannot be.
pub(super) fn comment(object: &Object, text: &str) -> String {
    match object.kind {
        // A role or an extension that was there before is not marked: it is not ours to remove.
        Kind::Role | Kind::Extension | Kind::UserMapping => String::new(),
        kind => format!(
            "COMMENT ON {} {} IS {};\n",
            kind.label().to_uppercase(),
            object.name,
            literal(&text_of(object, text))
        ),
    }
}

/// The comment of a view, with what the server made of it.
pub(super) fn seen_comment(object: &Object, seen: &str) -> String {
    comment(object, &format!("{} seen {seen};", object.comment))
}

/// What is between a comment's mark and the definition of a report.
pub(super) const REPORT: &str = " report ";

fn text_of(object: &Object, text: &str) -> String {
    match &object.detail {
        Detail::Report { definition, .. } => format!("{text}{REPORT}{definition}"),
        _ => text.to_owned(),
    }
}
