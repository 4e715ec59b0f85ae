//! The typed client: a key's session reads and writes on its shard, and nowhere else.
//!
//! - `cluster` is the client of a cluster (`core` what its handles share); `session` a key's door to its shard; `status` what is
//!   known of the shards;
//! - `read` is a handle that cannot write, `answer` what it keeps of the rows; `hedge` asks a second node;
//!   `batch` reads many keys at once;
//! - `write` runs a closure as a transaction in `attempt`s, `idempotent` once at most; `tx` is what the closure gets, `control` what it must
//!   not do, `commit` the honest end, `ledger` the memory of idempotency keys;
//! - `guard` has the servers show a handle the rows of its key only;
//! - `token` is "at least what I wrote"; `retry` how often things are tried; `row` and `types` how
//!   rows and keys are read and written.

mod answer;
mod attempt;
mod batch;
mod cluster;
mod commit;
mod control;
mod core;
pub(crate) mod deadline;
mod guard;
mod hedge;
mod idempotent;
mod ledger;
mod one_row;
mod read;
mod retry;
mod row;
mod session;
mod span;
mod status;
mod token;
mod tx;
mod types;
mod write;

pub(crate) use self::core::Core;
pub use crate::pool::PoolStatus;
pub use batch::Batch;
pub use cluster::Cluster;
pub use commit::{CommitOutcome, PendingCommit};
#[cfg(feature = "fuzzing")]
pub(crate) use control::refuse as refuse_control;
pub use idempotent::IdempotentWrite;
pub use ledger::IdempotencyKey;
pub use read::Read;
pub use retry::RetryPolicy;
pub use row::{FromRow, Row};
pub use session::Session;
pub use status::{NodeStatus, ShardStatus};
pub use token::{InvalidToken, Mark, Token};
pub use tx::Tx;
pub use write::{Committed, Isolation, Write};
