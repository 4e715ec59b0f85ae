//! The prepared statements of one connection.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_postgres::Statement;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Statements kept on a connection; past it all are dropped and prepared again.
const CAPACITY: usize = 512;

/// A prepared statement with what is known from its text.
#[derive(Clone)]
pub(super) struct Prepared {
    pub(super) statement: Statement,
    /// Whether its session has to be reset before it is lent on.
    pub(super) leaves_traces: bool,
}

/// The prepared statements of one connection, by their text.
#[derive(Default)]
pub(crate) struct Statements(Mutex<Map>);

type Map = HashMap<Box<str>, Prepared, BuildHasherDefault<TextHasher>>;

/// The texts are the program's own, and few: nobody makes them collide.
#[derive(Default)]
struct TextHasher(u64);

impl Hasher for TextHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// The end of a string.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Statements {
    pub(super) fn get(&self, sql: &str) -> Option<Prepared> {
        self.lock().get(sql).cloned()
    }

    pub(super) fn insert(&self, sql: &str, prepared: Prepared) {
        let full = {
            let mut statements = self.lock();
            let full = statements.len() >= CAPACITY;
            let full = full.then(|| std::mem::take(&mut *statements));
            statements.insert(sql.into(), prepared);
            full
        };
        // Each statement that is dropped sends a message: not under the lock.
        drop(full);
    }

    pub(super) fn remove(&self, sql: &str) {
        let removed = self.lock().remove(sql);
        drop(removed);
    }

    fn lock(&self) -> MutexGuard<'_, Map> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
