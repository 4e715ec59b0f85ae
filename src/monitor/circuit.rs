//! A node that takes reads and does not answer them: others are read instead.
//!
//! Its probes may be answered all the while, from what the server has in memory, or on a connection
//! that a firewall still lets through. So reads speak for themselves: when several in a row were not
//! answered in time the circuit opens, and reads avoid the node where another qualifies; from time to
//! time one is sent there for a trial. Nothing is concluded about the topology.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Reads in a row without an answer in time that open the circuit.
const TIMEOUTS: u32 = 5;
/// They have to be that close together.
const WINDOW: Duration = Duration::from_secs(30);
/// From the opening to the first trial; doubles with each that fails.
const PAUSE: Duration = Duration::from_secs(1);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The circuit of one node. Times are counted from any fixed moment.
#[derive(Debug, Default)]
pub(super) struct Circuit {
    /// Timeouts in a row; the circuit is open from [`TIMEOUTS`] on.
    timeouts: AtomicU32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the first timeout of the row came.
    first: Duration,
    /// When the next trial may begin.
    trial_at: Duration,
    pause: Duration,
    /// Whether a trial has begun whose outcome is not known.
    on_trial: bool,
}

impl Circuit {
    /// Whether reads should go elsewhere.
    pub(super) fn is_open(&self, now: Duration) -> bool {
        self.timeouts.load(Ordering::Relaxed) >= TIMEOUTS && now < self.lock().trial_at
    }

    /// A read goes there: if the circuit is open, it is a trial, and the next has to wait.
    pub(super) fn chosen(&self, now: Duration) {
        if self.timeouts.load(Ordering::Relaxed) < TIMEOUTS {
            return;
        }
        let mut state = self.lock();
        if now >= state.trial_at {
            state.on_trial = true;
            state.trial_at = now + state.pause;
        }
    }

    /// A read was not answered in time. Whether that opened the circuit.
    pub(super) fn timed_out(&self, now: Duration) -> bool {
        let mut state = self.lock();
        let before = self.timeouts.load(Ordering::Relaxed);
        if before >= TIMEOUTS {
            // Those that were under way when it opened say nothing new.
            if std::mem::take(&mut state.on_trial) {
                state.pause = state.pause.saturating_mul(2).min(LONGEST_PAUSE);
                state.trial_at = now + state.pause;
            }
            return false;
        }
        let timeouts = if before == 0 || now.saturating_sub(state.first) > WINDOW {
            state.first = now;
            1
        } else {
            before + 1
        };
        self.timeouts.store(timeouts, Ordering::Relaxed);
        let opened = timeouts == TIMEOUTS;
        if opened {
            state.pause = PAUSE;
            state.trial_at = now + PAUSE;
            state.on_trial = false;
        }
        opened
    }

    /// A read was answered. Whether that closed the circuit.
    pub(super) fn answered(&self) -> bool {
        if self.timeouts.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let _state = self.lock();
        self.timeouts.swap(0, Ordering::Relaxed) >= TIMEOUTS
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn opened() -> Circuit {
        let circuit = Circuit::default();
        for n in 1..=5 {
            assert!(!circuit.is_open(at(n)));
            assert_eq!(circuit.timed_out(at(n)), n == 5);
        }
        assert!(circuit.is_open(at(5)));
        circuit
    }

    #[test]
    fn opens_after_timeouts_in_a_row() {
        opened();
        let circuit = Circuit::default();
        for n in 0..20 {
            circuit.timed_out(at(n));
            if n % 4 == 3 {
                assert!(!circuit.answered(), "it was not open");
            }
        }
        assert!(!circuit.is_open(at(20)), "answers come in between");
        let slow = Circuit::default();
        for n in 0..20 {
            slow.timed_out(at(n * 10_000));
        }
        assert!(!slow.is_open(at(190_001)), "they are far apart");
    }

    #[test]
    fn one_trial_at_a_time_closes_it_or_prolongs_it() {
        let circuit = opened();
        circuit.timed_out(at(6));
        assert!(!circuit.is_open(at(1005)), "time for a trial");
        circuit.chosen(at(1005));
        assert!(circuit.is_open(at(1006)), "one is enough");
        assert!(!circuit.timed_out(at(1500)));
        assert!(circuit.is_open(at(3499)), "2 s now");
        assert!(!circuit.is_open(at(3500)));
        circuit.chosen(at(3500));
        assert!(circuit.answered());
        assert!(!circuit.is_open(at(3501)));
        // A trial that never came back does not keep others away.
        let circuit = opened();
        circuit.chosen(at(2000));
        assert!(circuit.is_open(at(2500)));
        assert!(!circuit.is_open(at(3000)));
    }

    #[test]
    fn pauses_are_bounded() {
        let circuit = opened();
        let mut now = at(10);
        for _ in 0..50 {
            now += LONGEST_PAUSE;
            assert!(!circuit.is_open(now));
            circuit.chosen(now);
            circuit.timed_out(now);
        }
    }
}
