//! Comparing two things on a noisy machine: interleaved pairs, the median of their ratios and its
//! 95 % interval.

/// The ratio of two measurements, over pairs that were measured next to each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paired {
    /// The number of pairs.
    pub(crate) pairs: usize,
    /// The median of the subject's figures.
    pub(crate) subject: f64,
    /// The median of the baseline's figures.
    pub(crate) baseline: f64,
    /// The median of subject / baseline.
    pub(crate) ratio: f64,
    /// The lower end of the ratio's 95 % interval.
    pub(crate) low: f64,
    /// The upper end of the ratio's 95 % interval.
    pub(crate) high: f64,
}

impl Paired {
    /// Measures pairs, at least 15, each time in the other order.
    ///
    /// The closures return a figure: nanoseconds an operation, operations a second, …
    pub(crate) fn measure(
        pairs: usize,
        mut subject: impl FnMut() -> f64,
        mut baseline: impl FnMut() -> f64,
    ) -> Paired {
        assert!(pairs >= 15, "fewer than 15 pairs say little");
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for pair in 0..pairs {
            if pair % 2 == 0 {
                a.push(subject());
                b.push(baseline());
            } else {
                b.push(baseline());
                a.push(subject());
            }
        }
        Paired::of(&a, &b)
    }

    /// The comparison of figures that were measured in pairs.
    pub(crate) fn of(subject: &[f64], baseline: &[f64]) -> Paired {
        assert_eq!(subject.len(), baseline.len());
        let ratios = sorted(subject.iter().zip(baseline).map(|(a, b)| a / b));
        let (low, high) = interval(ratios.len());
        Paired {
            pairs: ratios.len(),
            subject: median(&sorted(subject.iter().copied())),
            baseline: median(&sorted(baseline.iter().copied())),
            ratio: median(&ratios),
            low: ratios[low],
            high: ratios[high],
        }
    }

    /// A line of a table: name, both figures, ratio and interval.
    pub(crate) fn row(&self, name: &str, unit: &str) -> String {
        format!(
            "{name:<28} {:>10.2} {unit} {:>10.2} {unit}   {:>6.3}  [{:.3}, {:.3}]  {} pairs",
            self.subject, self.baseline, self.ratio, self.low, self.high, self.pairs
        )
    }

    /// The table's head.
    pub(crate) fn head(subject: &str, baseline: &str) -> String {
        format!(
            "{:<28} {subject:>13} {baseline:>13}    ratio  95 % interval",
            ""
        )
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> f64 {
    let mid = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[mid]
    } else {
        (sorted[mid - 1] + sorted[mid]) / 2.0
    }
}

/// The order statistics that hold the median with at least 95 %: each lies on the other side with
/// the probability of a binomial tail, at most 2.5 %.
fn interval(n: usize) -> (usize, usize) {
    let mut term = 0.5_f64.powi(n as i32);
    let mut tail = term;
    let mut low = 0;
    for k in 1..n / 2 {
        term *= (n - k + 1) as f64 / k as f64;
        tail += term;
        if tail > 0.025 {
            break;
        }
        low = k;
    }
    (low, n - 1 - low)
}
