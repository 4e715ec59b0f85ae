//! The driver's errors as this crate's: one place that looks at codes, kinds and sources.

use std::error::Error as StdError;
use std::io;

use tokio_postgres::error::{DbError, Severity};

use super::Access;
use super::link::Link;
use crate::error::{Error, ErrorKind, Label, Phase};
use crate::sqlstate::{Meaning, SqlState};
use crate::topology::Hint;

/// A driver's error, understood.
pub(crate) struct Fault {
    error: Error,
    hint: Option<Hint>,
    /// Whether the connection is of no more use.
    broken: bool,
}

impl Fault {
    /// What an error means that came up in a phase.
    pub(crate) fn of(error: tokio_postgres::Error, phase: Phase) -> Self {
        let mut fault = match error.as_db_error() {
            Some(answer) => Fault::answered(answer, phase),
            None => Fault::unanswered(&error),
        };
        fault.error = fault.error.in_phase(phase).with_source(error);
        fault
    }

    /// Tells the monitor and the pool what they need to know, and yields the error.
    pub(super) fn report(self, link: &Link) -> Error {
        if self.hint == Some(Hint::ReadOnly) && link.access == Access::Read {
            return self.into_refusal();
        }
        if link.has_refused_named() {
            link.taint();
            return Error::refused(
                "the statement's result, or what was done with the driver's client, needs a named \
                 statement (to look up an enum or a composite, say), which cannot go through a proxy; \
                 nothing was committed: cast the column to text, or name the server itself in the \
                 topology file",
            )
            .in_phase(self.error.phase())
            .with_source(self.error);
        }
        if let Some(hint) = self.hint {
            link.hint(hint);
        }
        if self.broken {
            link.taint();
        }
        match link.fatal() {
            // "connection closed" says less than the FATAL that closed it.
            Some(code) if self.error.sqlstate().is_none() => self.error.with_sqlstate(code),
            _ => self.error,
        }
    }

    /// A session for reading is read-only on a primary too: that says nothing of the node, and no
    /// other one would help.
    fn into_refusal(self) -> Error {
        let refusal = Error::refused(
            "a handle for reading cannot write, nor can a function that it calls: use a transaction",
        )
        .in_phase(self.error.phase());
        match self.error.sqlstate() {
            Some(code) => refusal.with_sqlstate(code),
            None => refusal,
        }
        .with_source(self.error)
    }

    /// The error, where no monitor wants to know.
    pub(crate) fn into_error(self) -> Error {
        self.error
    }

    fn answered(answer: &DbError, phase: Phase) -> Self {
        let code = SqlState::new(answer.code().code());
        let meaning = match code {
            // What a standby says to READ WRITE and to SERIALIZABLE.
            Some(code) if phase == Phase::Begin && code.as_str() == "0A000" => Meaning::ReadOnly,
            Some(code) => match answer.parsed_severity() {
                Some(_) => code.meaning(),
                // Not a server's: PostgreSQL sends the severity untranslated as well.
                None => code
                    .meaning_of_proxy(answer.message())
                    .unwrap_or_else(|| code.meaning()),
            },
            None => Meaning::Other,
        };
        let fatal = match answer.parsed_severity() {
            Some(severity) => matches!(severity, Severity::Fatal | Severity::Panic),
            // A proxy's own message: its connection state is not known.
            None => answer.severity() != "ERROR",
        };
        let text = answer.message();
        let mut fault = match meaning {
            Meaning::Retry => Fault::new(ErrorKind::Database, text).label(Label::RETRYABLE),
            Meaning::ReadOnly => Fault::new(
                ErrorKind::Unavailable,
                format!("{text}: the node is a standby, or the transaction is read-only"),
            )
            .label(Label::FAILOVER)
            .label(Label::RETRYABLE)
            .hint(Hint::ReadOnly),
            Meaning::Terminated => Fault::new(ErrorKind::Connection, text)
                .label(Label::FAILOVER)
                .label(Label::RETRYABLE)
                .hint(Hint::Terminated),
            Meaning::Starting => Fault::new(ErrorKind::Connection, text)
                .label(Label::FAILOVER)
                .label(Label::RETRYABLE)
                .hint(Hint::ConnectionLost),
            Meaning::TooManyConnections => Fault::new(
                ErrorKind::Overloaded,
                format!("{text}: {}", super::full::ADVICE),
            )
            .label(Label::OVERLOAD)
            .label(Label::RETRYABLE),
            Meaning::ProxyBusy => Fault::new(
                ErrorKind::Overloaded,
                format!(
                    "{text}: the proxy had no server to lend; all are busy (raise its pool size or \
                     lower pool.max_size), or its pool is paused, or its server is down"
                ),
            )
            .label(Label::OVERLOAD)
            .label(Label::RETRYABLE),
            Meaning::Connection => Fault::new(ErrorKind::Connection, text)
                .label(Label::RETRYABLE)
                .hint(Hint::ConnectionLost),
            Meaning::Auth => Fault::new(
                ErrorKind::Auth,
                format!("{text}: check user, password and pg_hba.conf"),
            ),
            Meaning::NoDatabase => {
                Fault::new(ErrorKind::WrongNode, format!("{text}: check `database`"))
            }
            Meaning::StaleMap => Fault::new(
                ErrorKind::StaleMap,
                format!("{text}: this process's shard map is out of date; reload it"),
            ),
            Meaning::WrongReign => Fault::new(ErrorKind::Unavailable, text)
                .label(Label::FAILOVER)
                .label(Label::RETRYABLE)
                .hint(Hint::WrongReign),
            Meaning::WrongIdentity => Fault::new(
                ErrorKind::WrongNode,
                format!("{text}: the address belongs to another cluster or shard"),
            )
            .hint(Hint::WrongIdentity),
            Meaning::NonceLost => Fault::new(
                ErrorKind::TransactionControl,
                "the transaction was ended inside its closure; what it did before may be durable: look \
                 before you repeat it (in pg_prepared_xacts too, if it was prepared)",
            )
            .label(Label::OUTCOME_UNKNOWN),
            Meaning::KeyAborted => {
                Fault::new(ErrorKind::Idempotency, text).label(Label::KEY_GIVEN_UP)
            }
            Meaning::ShardClosed => Fault::new(ErrorKind::Maintenance, text)
                .label(Label::OPERATOR)
                .hint(Hint::ReadOnly),
            Meaning::ShardFenced => Fault::new(ErrorKind::Fenced, text)
                .label(Label::OPERATOR)
                .hint(Hint::ReadOnly),
            Meaning::NoKey => Fault::new(
                ErrorKind::Refused,
                "the table is guarded, and the statement has no key: go through a key's session, or a \
                 query over many shards, and set guard.mode in the configuration",
            ),
            Meaning::KeyChanged => Fault::new(
                ErrorKind::Refused,
                "a statement changed the key that the guard holds it to: nothing was committed, and \
                 what it answered is withheld",
            ),
            Meaning::KeyReused | Meaning::KeyExpired => Fault::new(ErrorKind::Idempotency, text),
            _ => Fault::new(ErrorKind::Database, text),
        };
        if let Some(code) = code {
            fault.error = fault.error.with_sqlstate(code);
        }
        if fatal {
            fault = fault.label(Label::CONNECTION_LOST);
        }
        // Nor is a session on the wrong server worth keeping.
        let elsewhere = matches!(meaning, Meaning::ReadOnly | Meaning::WrongReign)
            && phase == Phase::Begin
            || meaning == Meaning::WrongIdentity;
        fault.broken = fatal || elsewhere;
        fault
    }

    /// An error that is not a server's answer. The driver keeps its kinds private; what can be
    /// told apart is told apart by the sources, and the rest by the fixed start of the text.
    fn unanswered(error: &tokio_postgres::Error) -> Self {
        if let Some(cause) = io_cause(error) {
            let hint = match cause.kind() {
                io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Hint::Refused,
                _ => Hint::ConnectionLost,
            };
            let mut fault = Fault::new(
                ErrorKind::Connection,
                format!("the connection failed: {cause}"),
            )
            .label(Label::CONNECTION_LOST)
            .label(Label::RETRYABLE)
            .hint(hint);
            fault.broken = true;
            return fault;
        }
        if error.is_closed() {
            let mut fault = Fault::new(ErrorKind::Connection, "the connection is closed")
                .label(Label::CONNECTION_LOST)
                .label(Label::RETRYABLE)
                .hint(Hint::ConnectionLost);
            fault.broken = true;
            return fault;
        }
        let text = error.to_string();
        let conversion = [
            "error serializing parameter",
            "error deserializing column",
            // NUL in the statement's text. Nothing was sent.
            "error encoding message",
        ];
        if conversion.iter().any(|start| text.starts_with(start)) || text.contains("parameters but")
        {
            let detail = error
                .source()
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            return Fault::new(ErrorKind::Decode, format!("{text}{detail}"));
        }
        let missing = error
            .source()
            .is_some_and(|cause| cause.to_string().contains("password missing"));
        let mut fault = if missing {
            Fault::new(
                ErrorKind::Config,
                "the server asks for a password and none was given: set one by file, by variable \
                 or in .pgpass",
            )
        } else if text.starts_with("authentication error")
            || text.starts_with("invalid configuration")
            || text.starts_with("error performing TLS handshake")
        {
            let detail = error
                .source()
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            Fault::new(ErrorKind::Auth, format!("{text}{detail}"))
        } else {
            let detail = error
                .source()
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            Fault::new(ErrorKind::Connection, format!("{text}{detail}"))
                .label(Label::CONNECTION_LOST)
        };
        fault.broken = true;
        fault
    }

    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Fault {
            error: Error::new(kind, message),
            hint: None,
            broken: false,
        }
    }

    fn label(mut self, label: Label) -> Self {
        self.error = self.error.with_label(label);
        self
    }

    fn hint(mut self, hint: Hint) -> Self {
        self.hint = Some(hint);
        self
    }
}

/// For what is done with the driver's own client: with `?` in a transaction's closure, what can be
/// tried again is. Without an answer of the server nothing is, for what was sent is not known.
impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        let answered = error.as_db_error().is_some();
        let error = Fault::of(error, Phase::Execute).into_error();
        if answered {
            error
        } else {
            error.without_label(Label::RETRYABLE)
        }
    }
}

fn io_cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            // rustls reports a refused certificate as an io error; that is no failure of the node.
            return (io.kind() != io::ErrorKind::InvalidData
                && io.kind() != io::ErrorKind::InvalidInput)
                .then_some(io);
        }
        next = cause.source();
    }
    None
}
