//! Samples in Prometheus's text format.

use std::fmt::Write as _;
use std::time::Instant;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Counter,
}

/// A metric's samples.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    samples: Vec<(Vec<(&'static str, String)>, f64)>,
}

/// All samples of a round.
#[derive(Default)]
pub(super) struct Samples(Vec<Family>);

impl Samples {
    pub(super) fn gauge(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: f64,
    ) {
        self.add(name, help, Kind::Gauge, labels, value);
    }

    pub(super) fn add(
        &mut self,
        name: &'static str,
        help: &'static str,
        kind: Kind,
        labels: &[(&'static str, &str)],
        value: f64,
    ) {
        let labels = labels
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        match self.0.iter_mut().find(|family| family.name == name) {
            Some(family) => family.samples.push((labels, value)),
            None => self.0.push(Family {
                name,
                help,
                kind,
                samples: vec![(labels, value)],
            }),
        }
    }

    /// The text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for family in &self.0 {
            let kind = match family.kind {
                Kind::Gauge => "gauge",
                Kind::Counter => "counter",
            };
            let name = family.name;
            let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", family.help);
            for (labels, value) in &family.samples {
                text.push_str(name);
                for (at, (label, value)) in labels.iter().enumerate() {
                    let open = if at == 0 { '{' } else { ',' };
                    let _ = write!(text, "{open}{label}=\"{}\"", escape(value));
                }
                if !labels.is_empty() {
                    text.push('}');
                }
                let _ = writeln!(text, " {value}");
            }
        }
        text
    }
}

fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// What is served.
#[derive(Default)]
pub(super) struct Page {
    pub(super) text: String,
    /// When it was complete; none before the first round.
    pub(super) at: Option<Instant>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_together_and_labels_escaped() {
        let mut samples = Samples::default();
        samples.gauge("a", "First.", &[("x", "1\"\\\n")], 1.0);
        samples.add("b_total", "Second.", Kind::Counter, &[], 2.5);
        samples.gauge("a", "First.", &[("x", "2"), ("y", "z")], f64::NAN);
        assert_eq!(
            samples.text(),
            "# HELP a First.\n# TYPE a gauge\na{x=\"1\\\"\\\\\\n\"} 1\na{x=\"2\",y=\"z\"} NaN\n\
             # HELP b_total Second.\n# TYPE b_total counter\nb_total 2.5\n"
        );
    }
}
