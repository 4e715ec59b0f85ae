//! Exit codes, and the one place that maps errors to them.

use std::process::ExitCode;

use pgshard::ErrorKind;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Fine.
    Fine = 0,
    /// A problem was found, or a server answered with an error or refused the login.
    Problem = 1,
    /// Wrong usage or configuration. Nothing was changed.
    Usage = 2,
    /// A server could not be reached in time.
    Unreachable = 3,
    /// Understood, and declined.
    Refused = 4,
    /// To a recovering server: stop, it is not certain that the log ends here.
    Uncertain = 200,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Arguments that only the command itself can judge are wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Standard output was closed by its reader, as `| head` does. Not a problem.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
pub(crate) struct Closed;

/// The exit code of an error.
pub(crate) fn code(error: &anyhow::Error) -> Exit {
    if error.is::<Closed>() {
        return Exit::Fine;
    }
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<pgshard::Error>() {
            return code_of_kind(error.kind());
        }
        if cause.is::<Usage>() {
            return Exit::Usage;
        }
    }
    Exit::Problem
}

/// The exit code of a kind of error.
pub(crate) fn code_of_kind(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::Config => Exit::Usage,
        ErrorKind::Unavailable
        | ErrorKind::Timeout
        | ErrorKind::Overloaded
        | ErrorKind::Connection => Exit::Unreachable,
        ErrorKind::Unroutable
        | ErrorKind::Refused
        | ErrorKind::Contested
        | ErrorKind::Fenced
        | ErrorKind::Maintenance
        | ErrorKind::StaleMap
        | ErrorKind::WrongNode
        | ErrorKind::Idempotency
        | ErrorKind::TransactionControl => Exit::Refused,
        _ => Exit::Problem,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn codes_survive_added_context() {
        let wrapped = |error: pgshard::Error| {
            code(&Err::<(), _>(error).context("while testing").unwrap_err())
        };
        let of = |kind| wrapped(pgshard::Error::new(kind, "x"));
        assert_eq!(of(ErrorKind::Config), Exit::Usage);
        assert_eq!(of(ErrorKind::Connection), Exit::Unreachable);
        // It was reached: another try helps nobody.
        assert_eq!(of(ErrorKind::Auth), Exit::Problem);
        assert_eq!(of(ErrorKind::Contested), Exit::Refused);
        assert_eq!(of(ErrorKind::CommitUnknown), Exit::Problem);
        assert_eq!(code(&anyhow::anyhow!("x")), Exit::Problem);
        assert_eq!(code(&Usage("x".into()).into()), Exit::Usage);
        assert_eq!(code(&Closed.into()), Exit::Fine);
    }
}
