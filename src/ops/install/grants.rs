//! What the application's role may do in the schema `pgshard`, and nobody else.

use std::collections::BTreeSet;

use crate::direct::{Session, get};
use crate::error::Result;
use crate::sql::ident;

use super::guard::FUNCTIONS;

/// A privilege of the application's role, or of everybody.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Grant {
    /// Whether everybody has it.
    pub(super) public: bool,
    /// The object, such as `table pgshard.reign` or `column pgshard.reign.parent`.
    pub(super) on: String,
    pub(super) privilege: String,
}

/// Only its owner may purge the ledger, and nobody calls a trigger's function.
const OWNER_ONLY: [&str; 2] = [
    "pgshard.ledger_purge(integer)",
    "pgshard.act_is_append_only()",
];

const READ: [&str; 5] = ["act", "gate", "identity", "reign", "tx_ledger"];
const INSERT_REIGN: [&str; 5] = ["reign", "parent", "timeline", "start_lsn", "version"];
/// Not `at`, which is the server's own time.
const INSERT_LEDGER: [&str; 7] = [
    "key",
    "fingerprint",
    "bucket",
    "state",
    "result",
    "issued_at",
    "version",
];
/// Not `state`: a tombstone stays one. `version` is what ON CONFLICT DO UPDATE touches.
const UPDATE_LEDGER: [&str; 2] = ["result", "version"];

/// Revokes everything, then grants what is needed. `guarded` says whether the guard's functions are
/// there.
pub(super) fn sql(app: &str, guarded: bool) -> String {
    let app = ident(app);
    let mut sql = format!(
        "REVOKE ALL ON SCHEMA pgshard FROM PUBLIC, {app};\n\
         REVOKE ALL ON ALL TABLES IN SCHEMA pgshard FROM PUBLIC, {app};\n\
         REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pgshard FROM PUBLIC, {app};\n\
         GRANT USAGE ON SCHEMA pgshard TO {app};\n\
         GRANT SELECT ON pgshard.{} TO {app};\n\
         GRANT INSERT ({}) ON pgshard.reign TO {app};\n\
         GRANT INSERT ({}), UPDATE ({}) ON pgshard.tx_ledger TO {app};\n\
         GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pgshard TO {app};\n\
         REVOKE ALL ON FUNCTION {} FROM {app};\n",
        READ.join(", pgshard."),
        INSERT_REIGN.join(", "),
        INSERT_LEDGER.join(", "),
        UPDATE_LEDGER.join(", "),
        OWNER_ONLY.join(", "),
    );
    if guarded {
        sql += &format!(
            "GRANT EXECUTE ON FUNCTION {} TO PUBLIC;\n",
            FUNCTIONS.join(", ")
        );
    }
    sql
}

/// The grants that [`sql`] leaves, where these functions exist.
pub(super) fn wanted(functions: &[String]) -> BTreeSet<Grant> {
    let mut wanted = BTreeSet::new();
    let mut add = |on: String, privilege: &str| {
        wanted.insert(Grant {
            public: false,
            on,
            privilege: privilege.to_owned(),
        });
    };
    add("schema pgshard".to_owned(), "USAGE");
    for table in READ {
        add(format!("table pgshard.{table}"), "SELECT");
    }
    for (table, columns, privilege) in [
        ("reign", &INSERT_REIGN[..], "INSERT"),
        ("tx_ledger", &INSERT_LEDGER[..], "INSERT"),
        ("tx_ledger", &UPDATE_LEDGER[..], "UPDATE"),
    ] {
        for column in columns {
            add(format!("column pgshard.{table}.{column}"), privilege);
        }
    }
    for function in functions {
        if !OWNER_ONLY.contains(&function.as_str()) {
            add(format!("function {function}"), "EXECUTE");
        }
    }
    for function in functions {
        if FUNCTIONS.contains(&function.as_str()) {
            wanted.insert(Grant {
                public: true,
                on: format!("function {function}"),
                privilege: "EXECUTE".to_owned(),
            });
        }
    }
    wanted
}

/// The grants that there are, to the role and to everybody.
pub(super) async fn read(session: &Session, app: &str) -> Result<BTreeSet<Grant>> {
    let rows = session
        .query(
            "WITH object(kind, name, acl) AS (
                 SELECT 'schema', 'pgshard', coalesce(nspacl, acldefault('n', nspowner))
                   FROM pg_namespace WHERE nspname = 'pgshard'
                 UNION ALL
                 SELECT 'table', 'pgshard.' || relname, coalesce(relacl, acldefault('r', relowner))
                   FROM pg_class
                  WHERE relnamespace = to_regnamespace('pgshard') AND relkind IN ('r', 'p', 'v')
                 UNION ALL
                 SELECT 'column', 'pgshard.' || c.relname || '.' || a.attname, a.attacl
                   FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
                  WHERE c.relnamespace = to_regnamespace('pgshard') AND a.attacl IS NOT NULL
                 UNION ALL
                 SELECT 'function', oid::regprocedure::text, coalesce(proacl, acldefault('f', proowner))
                   FROM pg_proc WHERE pronamespace = to_regnamespace('pgshard')
             )
             SELECT DISTINCT kind || ' ' || name, a.grantee = 0, a.privilege_type
               FROM object, aclexplode(acl) a
              WHERE a.grantee = 0
                 OR a.grantee = (SELECT oid FROM pg_roles WHERE rolname = $1)",
            &[&app],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Grant {
                on: get(row, 0)?,
                public: get(row, 1)?,
                privilege: get(row, 2)?,
            })
        })
        .collect()
}
