//! How long a contestant took, and the table of it.

use super::contestants::Ack;
use super::plan::Kind;

/// Seconds; infinite where the contestant did not get there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) after_ready: f64,
    gap: f64,
}

impl Figures {
    /// From the acknowledged writes of a round, the first one on the new primary, and the moment at
    /// which that was ready.
    pub(crate) fn of(acks: &[Ack], first: Option<u64>, ready: u64, old_port: u16) -> Figures {
        let old = acks.iter().filter(|ack| ack.port == old_port);
        let (Some(first), Some(last)) = (first, old.map(|ack| ack.at).max()) else {
            return Figures {
                after_ready: f64::INFINITY,
                gap: f64::INFINITY,
            };
        };
        let seconds = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1e9;
        Figures {
            after_ready: seconds(ready, first),
            gap: seconds(last, first),
        }
    }
}

/// Milliseconds in words.
pub(crate) fn millis(seconds: f64) -> String {
    if seconds.is_finite() {
        format!("{:.0}", seconds * 1e3)
    } else {
        "never".to_owned()
    }
}

/// A percentile of sorted figures.
fn percentile(sorted: &[f64], share: f64) -> String {
    let at = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len());
    millis(sorted[at - 1])
}

pub(crate) fn head() {
    println!(
        "{:<10} {:<20} {:>3} {:>13} {:>7} {:>7} {:>13} {:>7} {:>7} {:>6}",
        "", "", "n", "ready: median", "p99", "most", "gap: median", "p99", "most", "never"
    );
}

pub(crate) fn report(kind: Kind, name: &str, figures: &[Figures]) {
    let sorted = |of: fn(&Figures) -> f64| {
        let mut values: Vec<f64> = figures.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let (after, gap) = (sorted(|f| f.after_ready), sorted(|f| f.gap));
    println!(
        "{:<10} {name:<20} {:>3} {:>13} {:>7} {:>7} {:>13} {:>7} {:>7} {:>6}",
        format!("{kind:?}").to_lowercase(),
        figures.len(),
        percentile(&after, 0.5),
        percentile(&after, 0.99),
        percentile(&after, 1.0),
        percentile(&gap, 0.5),
        percentile(&gap, 0.99),
        percentile(&gap, 1.0),
        gap.iter().filter(|gap| gap.is_infinite()).count(),
    );
}
