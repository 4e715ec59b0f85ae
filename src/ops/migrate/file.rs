//! A migration's file.

use std::path::Path;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::host::spawn::io_error;
use crate::sql::Words;

use super::split::statements;

/// A migration: a file of SQL.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Migration {
    /// The number that its name begins with.
    pub version: i64,
    /// The file's name.
    pub name: String,
    /// Whether it runs outside of a transaction: its first line says so.
    pub concurrent: bool,
    #[serde(skip)]
    pub(super) sql: String,
    /// A digest of its contents.
    pub digest: String,
}

/// The line that says that a file runs outside of a transaction.
const CONCURRENT: &str = "-- pgshard: no-transaction";

impl Migration {
    /// The migrations of a directory, in order: files such as `0012_add_index.sql`. Other files are left alone.
    ///
    /// # Errors
    ///
    /// `Config` if the directory cannot be read, if two have one number, or if one could not run as it has to:
    /// transaction control in it, `CONCURRENTLY` without the line that says that it runs outside of a
    /// transaction, or more than one statement with it.
    pub fn load(dir: &Path) -> Result<Vec<Migration>> {
        let failed = |e: std::io::Error| {
            Error::config(format!(
                "the migrations in {} cannot be read: {e}",
                dir.display()
            ))
        };
        let mut found: Vec<Migration> = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "sql") {
                found.push(Migration::read(&path)?);
            }
        }
        found.sort_by_key(|migration| migration.version);
        for pair in found.windows(2) {
            if pair[0].version == pair[1].version {
                return Err(Error::config(format!(
                    "{} and {} have one number: give one of them another",
                    pair[0].name, pair[1].name
                )));
            }
        }
        Ok(found)
    }

    fn read(path: &Path) -> Result<Migration> {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .to_owned();
        let digits: String = name.chars().take_while(char::is_ascii_digit).collect();
        let version = digits.parse().map_err(|_| {
            Error::config(format!(
                "{name}: a migration's name begins with its number, such as 0012_add_index.sql"
            ))
        })?;
        let sql = std::fs::read_to_string(path)
            .map_err(|e| io_error(format!("cannot read {}", path.display()), e))?;
        let migration = Migration {
            version,
            concurrent: sql
                .lines()
                .next()
                .is_some_and(|line| line.trim() == CONCURRENT),
            digest: format!("{:032x}", xxhash_rust::xxh3::xxh3_128(sql.as_bytes())),
            name,
            sql,
        };
        migration.check()?;
        Ok(migration)
    }

    fn check(&self) -> Result<()> {
        let wrong = |why: &str| Err(Error::config(format!("{}: {why}", self.name)));
        let statements = statements(&self.sql);
        if statements.is_empty() {
            return wrong("there is no statement in it");
        }
        for statement in &statements {
            let words: Vec<String> = Words::of(statement)
                .take(2)
                .map(str::to_uppercase)
                .collect();
            let first = words.first().map_or("", String::as_str);
            let control = matches!(
                first,
                "BEGIN" | "COMMIT" | "ROLLBACK" | "END" | "ABORT" | "SAVEPOINT"
            ) || first == "START"
                || first == "PREPARE" && words.get(1).is_some_and(|word| word == "TRANSACTION");
            if control {
                return wrong(
                    "it begins or ends a transaction: each file is one already, with its line in the ledger",
                );
            }
            let concurrently = statement.to_uppercase().contains("CONCURRENTLY")
                && matches!(first, "CREATE" | "DROP" | "REINDEX" | "REFRESH" | "ALTER");
            if concurrently && !self.concurrent && first != "REFRESH" {
                return wrong(&format!(
                    "CONCURRENTLY cannot run in a transaction: put it into a file of its own, whose first line is \
                     {CONCURRENT:?}"
                ));
            }
        }
        if self.concurrent && statements.len() > 1 {
            return wrong(
                "outside of a transaction a file has one statement: what is done is then known",
            );
        }
        if self.concurrent && !self.repeatable() {
            return wrong(
                "outside of a transaction a statement may have to be run again: write IF NOT EXISTS or IF EXISTS",
            );
        }
        Ok(())
    }

    /// Whether it does no harm when it is run again.
    fn repeatable(&self) -> bool {
        let text = self.sql.to_uppercase();
        let words = Words::of(&self.sql).next().unwrap_or_default();
        text.contains("IF NOT EXISTS")
            || text.contains("IF EXISTS")
            || ["REINDEX", "VACUUM", "ANALYZE", "REFRESH"]
                .iter()
                .any(|word| words.eq_ignore_ascii_case(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, sql: &str) -> Result<Migration> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(name), sql).unwrap();
        Migration::load(dir.path()).map(|mut all| all.remove(0))
    }

    fn refusal(sql: &str) -> String {
        read("1_x.sql", sql).unwrap_err().to_string()
    }

    #[test]
    fn what_could_not_run_is_refused() {
        assert_eq!(read("0012_x.sql", "SELECT 1").unwrap().version, 12);
        assert!(read("x.sql", "SELECT 1").is_err());
        assert!(refusal("-- only words").contains("no statement"));
        assert!(refusal("SELECT 1; COMMIT").contains("transaction"));
        assert!(refusal("start transaction").contains("transaction"));
        let index = "CREATE INDEX CONCURRENTLY i ON t (x)";
        assert!(refusal(index).contains("file of its own"));
        let alone = |sql: &str| format!("{CONCURRENT}\n{sql}");
        assert!(refusal(&alone(index)).contains("IF NOT EXISTS"));
        let again = "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (x)";
        assert!(read("1_x.sql", &alone(again)).unwrap().concurrent);
        assert!(refusal(&alone(&format!("{again}; SELECT 1"))).contains("one statement"));
    }

    #[test]
    fn numbers_are_each_ones_own() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["1_a.sql", "01_b.sql", "README.md"] {
            std::fs::write(dir.path().join(name), "SELECT 1").unwrap();
        }
        let error = Migration::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("one number"), "{error}");
    }
}
