//! Backups of shards, the archive of their logs, and recovery to a point in time.
//!
//! A [`Store`] is a directory with a directory a shard: base backups, and the archive of the log. The
//! servers archive into it by [`wal::push`], [`Take`] makes base backups there, [`Restore`] makes servers of
//! them as they were at a moment, by [`wal::fetch`]. A store with a file `pgbackrest.conf` has pgBackRest do that.

mod archive;
mod archiving;
mod manifest;
mod pgbackrest;
mod recovery;
mod restore;
mod retention;
mod store;
mod take;
mod target;
mod tools;
pub mod wal;

pub use archiving::{Archiving, archiving, configure, mark, prove};
pub use pgbackrest::Extent;
pub use restore::{Prepared, Restore, RestoreOptions, Restored};
pub use retention::{Keep, Pruned, prune};
pub use store::{Backup, Mark, Store};
pub use take::{Source, Take, TakeOptions, verify};
pub use target::Target;
