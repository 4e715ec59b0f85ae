//! The one error type: what happened, in which phase, and what a caller may do about it.

use std::error::Error as StdError;
use std::fmt;

use crate::id::{NodeId, ShardId};
use crate::sqlstate::SqlState;

mod label;

pub use label::{Label, Labels};

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync>;

/// What went wrong, with all that a caller needs to decide what to do next.
///
/// A caller looks at the [`kind`](Error::kind) to tell situations apart and at the
/// [labels](Error::has) to decide about a retry; it never matches SQLSTATEs. The message says what
/// to do. Neither it nor the sources hold passwords; a server's own message may quote data.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    labels: Labels,
    phase: Phase,
    message: String,
    shard: Option<ShardId>,
    node: Option<NodeId>,
    sqlstate: Option<SqlState>,
    source: Option<Source>,
}

/// The situation that an [`Error`] reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration is wrong. Nothing was tried.
    Config,
    /// The key has no place: wrong type for the hash, or a value that the hash refuses.
    Unroutable,
    /// The library will not guess: the request is understood and declined, with the way out.
    Refused,
    /// No node can serve the request now: no primary is known, or no replica qualifies.
    Unavailable,
    /// Two nodes of the shard are writable. Writes are refused until it is decided which is right.
    Contested,
    /// The shard is fenced: an operator did it, or acknowledged writes were lost in a failover.
    Fenced,
    /// An operator made the shard read-only or drained it: planned, and it lasts until the operator
    /// opens it again. The message says who did it, when and why.
    Maintenance,
    /// The shard's map version is not this client's: reload the shard map.
    StaleMap,
    /// A node is not what the configuration says: another cluster, shard or database, or it lacks
    /// the library's schema.
    WrongNode,
    /// The operation's deadline passed.
    Timeout,
    /// A bound was reached: pool, queue, or the server's `max_connections`.
    Overloaded,
    /// The connection failed or was refused, or ended under the operation.
    Connection,
    /// The server refused the credentials or the connection (`pg_hba.conf`, password, TLS).
    Auth,
    /// The server answered with an error; see [`Error::sqlstate`].
    Database,
    /// A value could not be read as, or written from, the Rust type.
    Decode,
    /// COMMIT was sent and its outcome is not known. See [`Label::OUTCOME_UNKNOWN`].
    CommitUnknown,
    /// The transaction was ended inside its closure. A part of it may be durable.
    TransactionControl,
    /// The idempotency key was used before: with another request, too long ago, or was given up.
    Idempotency,
    /// The caller's own closure gave up: see [`Error::abort`].
    Application,
    /// A server or file operation of the tools failed.
    Io,
}

/// How far an operation had come when it failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Before anything was tried: configuration, arguments.
    #[default]
    Prepare,
    /// Finding the shard of a key.
    Route,
    /// Waiting for a primary, a replica or a free connection.
    Checkout,
    /// Connecting to a node.
    Connect,
    /// The first round trip of a transaction.
    Begin,
    /// The statements of a transaction, or a single read.
    Execute,
    /// COMMIT was sent.
    Commit,
    /// Resolving an unknown outcome by the ledger.
    Resolve,
    /// Merging the shards' answers.
    Merge,
}

impl Phase {
    /// The name used in traces.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Prepare => "prepare",
            Phase::Route => "route",
            Phase::Checkout => "checkout",
            Phase::Connect => "connect",
            Phase::Begin => "begin",
            Phase::Execute => "execute",
            Phase::Commit => "commit",
            Phase::Resolve => "resolve",
            Phase::Merge => "merge",
        }
    }
}

impl ErrorKind {
    /// The name used in logs, metrics and JSON.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Config => "config",
            ErrorKind::Unroutable => "unroutable",
            ErrorKind::Refused => "refused",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Contested => "contested",
            ErrorKind::Fenced => "fenced",
            ErrorKind::Maintenance => "maintenance",
            ErrorKind::StaleMap => "stale_map",
            ErrorKind::WrongNode => "wrong_node",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Overloaded => "overloaded",
            ErrorKind::Connection => "connection",
            ErrorKind::Auth => "auth",
            ErrorKind::Database => "database",
            ErrorKind::Decode => "decode",
            ErrorKind::CommitUnknown => "commit_unknown",
            ErrorKind::TransactionControl => "transaction_control",
            ErrorKind::Idempotency => "idempotency",
            ErrorKind::Application => "application",
            ErrorKind::Io => "io",
        }
    }
}

impl Error {
    /// An error of a kind with a message that says what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            labels: Labels::default(),
            phase: Phase::default(),
            message: message.into(),
            shard: None,
            node: None,
            sqlstate: None,
            source: None,
        }))
    }

    /// The configuration is wrong.
    pub fn config(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Config, message).with_label(Label::NOT_SENT)
    }

    /// The library will not guess.
    pub fn refused(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Refused, message)
    }

    /// The caller's own reason to roll a transaction back. It is never retried.
    ///
    /// ```
    /// let error = pgshard::Error::abort("the balance is too low");
    /// assert_eq!(error.kind(), pgshard::ErrorKind::Application);
    /// ```
    pub fn abort(reason: impl Into<String>) -> Self {
        Error::new(ErrorKind::Application, reason).in_phase(Phase::Execute)
    }

    /// Adds a label.
    pub fn with_label(mut self, label: Label) -> Self {
        self.0.labels.insert(label);
        self
    }

    /// Removes a label.
    pub fn without_label(mut self, label: Label) -> Self {
        self.0.labels.remove(label);
        self
    }

    /// Sets the phase.
    pub fn in_phase(mut self, phase: Phase) -> Self {
        self.0.phase = phase;
        self
    }

    /// Names the shard.
    pub fn on_shard(mut self, shard: ShardId) -> Self {
        self.0.shard = Some(shard);
        self
    }

    /// Names the node.
    pub fn on_node(mut self, node: NodeId) -> Self {
        self.0.node = Some(node);
        self
    }

    /// Keeps the server's error code.
    pub fn with_sqlstate(mut self, state: SqlState) -> Self {
        self.0.sqlstate = Some(state);
        self
    }

    /// Keeps the cause.
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The situation.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// How far the operation had come.
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// Whether the error carries a label.
    pub fn has(&self, label: Label) -> bool {
        self.0.labels.contains(label)
    }

    /// All labels.
    pub fn labels(&self) -> Labels {
        self.0.labels
    }

    /// The shard it happened on, where there is one.
    pub fn shard(&self) -> Option<ShardId> {
        self.0.shard
    }

    /// The node it happened on, where there is one.
    pub fn node(&self) -> Option<NodeId> {
        self.0.node
    }

    /// The server's error code, where the server answered. For logs; decide by kind and labels.
    pub fn sqlstate(&self) -> Option<SqlState> {
        self.0.sqlstate
    }

    /// Adds to the message.
    pub(crate) fn explained(mut self, more: &str) -> Self {
        self.0.message.push_str(more);
        self
    }

    /// The message, without shard and node.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.shard, self.0.node) {
            (Some(shard), Some(node)) => write!(f, "shard {shard}, node {node}: ")?,
            (Some(shard), None) => write!(f, "shard {shard}: ")?,
            (None, Some(node)) => write!(f, "node {node}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.0.message)?;
        if let Some(state) = self.0.sqlstate {
            write!(f, " (SQLSTATE {state})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("labels", &self.0.labels)
            .field("phase", &self.0.phase)
            .field("shard", &self.0.shard)
            .field("node", &self.0.node)
            .field("sqlstate", &self.0.sqlstate)
            .field("message", &self.0.message)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}
