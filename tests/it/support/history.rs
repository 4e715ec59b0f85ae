//! The history of a workload, and whether the servers agree with it.
//!
//! A [`Load`] writes and reads through a client and records every operation: what was asked, when,
//! and what the caller was told. Whatever is done to the servers meanwhile, [`verify`] then compares
//! the record with what the nodes hold: lost, doubled, misdirected and phantom writes, writes of a
//! superseded primary, answers of another run, reads that missed what their token promised. That it
//! would notice is proven by histories with planted faults (`check`).
//!
//! ```ignore
//! history::prepare(&local).await;                         // once, after `install`
//! let load = Load::start(&cluster, Mix::default());
//! load.flows("before the fault").await;                   // some writes were acknowledged
//! load.note("kill s0a"); local.kill("s0a").await?;        // notes are printed if the check fails
//! …
//! load.flows("after the failover").await;
//! let history = load.stop().await;                        // pending COMMITs are waited for
//! let verdict = history::verify(&local, &[history], &["s0b"]).await;   // the nodes that count now
//! verdict.assert_clean();                                 // prints all that is wrong, and the notes
//! assert!(verdict.acknowledged > 100);
//! ```
//!
//! `verify` wants the primary of every shard that counts at the end. Other nodes that run are looked
//! at too: what a diverged old primary holds may be there only if its caller was told that it is not
//! known, or if it was lost, which only an asynchronous shard may do (`verdict.lost()`).
//!
//! Anything with a [`pgshard::Cluster`] can be loaded: several clients, or one behind a proxy, each
//! with a `Load` of its own.

mod check;
mod leaks;
mod load;
mod record;
mod state;

pub(crate) use check::{Verdict, check};
pub(crate) use leaks::Tasks;
pub(crate) use load::{Load, Mix};
pub(crate) use record::{History, Learned, Outcome, Read, Write};
pub(crate) use state::{Holding, Row, compare, held, prepare, prepare_on, verify};
