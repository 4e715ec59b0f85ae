//! A server without room for more connections (53300) is dialled again only after a pause: each attempt
//! costs it a process, and all callers would try.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Label, Phase};
use crate::sqlstate::{Meaning, SqlState};

/// The first pause; it doubles with each refusal.
const PAUSE: Duration = Duration::from_millis(100);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What is known of one node.
#[derive(Debug, Default)]
pub(super) struct Full(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    until: Option<Instant>,
    pause: Duration,
}

impl Full {
    /// A connection was made, or refused.
    pub(super) fn note(&self, error: Option<&Error>, now: Instant) {
        let mut state = self.lock();
        match error {
            Some(error) if is_full(error) => {
                state.pause = (state.pause * 2).clamp(PAUSE, LONGEST_PAUSE);
                // Other processes wait as well: not in step with them.
                let pause = state.pause.mul_f64(0.5 + crate::random::unit() / 2.0);
                state.until = Some(now + pause);
            }
            Some(_) => {}
            None => *state = State::default(),
        }
    }

    /// Why no connection is to be made now, if that is so.
    pub(super) fn refusal(&self, now: Instant) -> Option<Error> {
        self.lock().until.filter(|until| now < *until)?;
        Some(self.error())
    }

    /// Whether the last attempt was refused.
    pub(super) fn is_full(&self) -> bool {
        self.lock().until.is_some()
    }

    pub(super) fn error(&self) -> Error {
        let mut error = Error::new(ErrorKind::Overloaded, ADVICE)
            .with_label(Label::NOT_SENT)
            .with_label(Label::OVERLOAD)
            .with_label(Label::RETRYABLE)
            .in_phase(Phase::Connect);
        if let Some(code) = SqlState::new("53300") {
            error = error.with_sqlstate(code);
        }
        error
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What to do about it.
pub(super) const ADVICE: &str = "the server has no room for another connection: all processes' pools \
     together must fit into its max_connections and into the role's CONNECTION LIMIT, so lower \
     pool.max_size or raise those. Connections that are open go on working";

/// Whether an error says that the server has no room for a connection.
pub(super) fn is_full(error: &Error) -> bool {
    let code = error.sqlstate().map(SqlState::meaning);
    code == Some(Meaning::TooManyConnections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let full = Full::default();
        let start = Instant::now();
        assert!(full.refusal(start).is_none());
        let mut now = start;
        for _ in 0..20 {
            full.note(Some(&full.error()), now);
            let refusal = full.refusal(now).unwrap();
            assert!(is_full(&refusal) && refusal.has(Label::OVERLOAD));
            now += LONGEST_PAUSE;
            assert!(full.refusal(now).is_none(), "time to try again");
        }
        full.note(Some(&Error::config("another")), now);
        assert!(full.is_full());
        full.note(None, now);
        assert!(!full.is_full());
    }
}
