//! One key's door to its shard.

use std::future::Future;

use super::core::Core;
use super::guard::Scope;
use super::read::Read;
use super::tx::Tx;
use super::write::{Committed, Write};
use crate::error::Result;
use crate::id::{Bucket, ShardId};
use crate::routing::Location;

/// Reads and writes on the shard of one key.
///
/// Made without I/O by [`Cluster::session`](super::Cluster::session); cheap to make and to drop.
#[derive(Clone, Copy, Debug)]
pub struct Session<'a> {
    pub(super) cluster: &'a Core,
    pub(super) location: Location,
    /// Of the key itself: an idempotency key belongs to one routing key.
    pub(super) digest: u64,
    pub(super) scope: Scope,
}

impl<'a> Session<'a> {
    /// The key's bucket.
    pub fn bucket(self) -> Bucket {
        self.location.bucket
    }

    /// The key's shard.
    pub fn shard(self) -> ShardId {
        self.cluster.shard(self.location.shard).id()
    }

    /// A handle for reading: it cannot write. It reads from the primary unless told otherwise.
    pub fn read(self) -> Read<'a> {
        Read::scoped(self.cluster, self.location.shard, self.scope)
    }

    /// A write transaction with settings: isolation, deadline, idempotency.
    pub fn write(self) -> Write<'a> {
        Write::new(self.cluster, self.location, self.digest, self.scope)
    }

    /// Runs a closure in a write transaction; short for [`write`](Self::write)`().run(closure)`.
    ///
    /// # Errors
    ///
    /// As [`Write::run`].
    pub async fn transaction<T, F, Fut>(self, closure: F) -> Result<Committed<T>>
    where
        F: FnMut(Tx) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        self.write().run(closure).await
    }
}
