//! Runs cases against someone, and collects all that is wrong.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Answer, Ask, Case, Expect, Order, Outcome, Params, World, compare, unlimited};

/// What the oracle says, and without the LIMIT where rows tie.
pub(crate) struct Truth {
    pub(crate) params: Params,
    pub(crate) outcome: Outcome,
    pub(crate) all: Option<Answer>,
}

impl Truth {
    pub(crate) async fn of(case: &Case, world: &World) -> Self {
        let params = Params::read(&world.oracle, &case.params).await;
        if matches!(case.expect, Expect::Refused(_)) {
            // Some would write.
            return Truth {
                params,
                outcome: Outcome::Refused("not asked".to_owned()),
                all: None,
            };
        }
        let outcome = world.oracle.ask(&case.sql, &params).await;
        let mut all = None;
        if matches!(case.compare.order, Order::Ties(_))
            && let Outcome::Answer(..) = outcome
        {
            match world.oracle.ask(&unlimited(&case.sql), &params).await {
                Outcome::Answer(answer, _) => all = Some(answer),
                other => panic!("{}: without its LIMIT: {other:?}", case.name),
            }
        }
        Truth {
            params,
            outcome,
            all,
        }
    }
}

/// How a construct fared.
#[derive(Default)]
pub(crate) struct Score {
    pub(crate) answered: usize,
    pub(crate) refused: usize,
}

/// How a run went.
#[derive(Default)]
pub(crate) struct Run {
    pub(crate) scores: BTreeMap<String, Score>,
    pub(crate) tiers: BTreeMap<String, usize>,
    /// Answers that differ from the oracle's.
    pub(crate) wrong: Vec<String>,
    /// What was refused and should not have been, and errors that are not the oracle's.
    pub(crate) unexpected: Vec<String>,
}

impl Run {
    /// Asks all, whatever fails.
    pub(crate) async fn of(cases: &[Case], world: &World, who: &impl Ask) -> Self {
        let mut run = Run::default();
        for case in cases {
            let truth = Truth::of(case, world).await;
            let got = who.ask(&case.sql, &truth.params).await;
            run.note(case, &truth, &got);
        }
        run
    }

    fn note(&mut self, case: &Case, truth: &Truth, got: &Outcome) {
        let report = |what: &str| {
            let (place, name) = (&case.place, &case.name);
            let params = match case.params.as_str() {
                "" => String::new(),
                params => format!("\n  params: {params}"),
            };
            format!(
                "{place} {name}: {what}\n  {}{params}\n  expected: {:?}  got: {got:?}",
                case.sql, truth.outcome
            )
        };
        if matches!(case.expect, Expect::Answer | Expect::Unanswered(_)) {
            for construct in &case.constructs {
                let score = self.scores.entry(construct.clone()).or_default();
                match got {
                    Outcome::Answer(..) => score.answered += 1,
                    Outcome::Refused(_) | Outcome::Error(..) => score.refused += 1,
                }
            }
        }
        match (&case.expect, &truth.outcome, got) {
            (Expect::Refused(_), _, Outcome::Refused(_)) => {}
            (Expect::Refused(why), _, _) => {
                self.wrong.push(report(&format!("is to be refused: {why}")));
            }
            (Expect::Error(code), _, Outcome::Error(got, _))
                if code == got.as_deref().unwrap_or("none") => {}
            (Expect::Error(_), _, Outcome::Answer(..)) => {
                self.wrong
                    .push(report("an answer, where PostgreSQL has none"));
            }
            (Expect::Error(_), _, _) => self.unexpected.push(report("another error")),
            (Expect::Unanswered(_), _, Outcome::Refused(_)) => {}
            (_, Outcome::Answer(expected, _), Outcome::Answer(answer, how)) => {
                let tier = how.lines().next().unwrap_or_default();
                *self.tiers.entry(tier.to_owned()).or_default() += 1;
                let same = compare(answer, expected, truth.all.as_ref(), &case.compare);
                if let Err(difference) = same {
                    self.wrong.push(report(&difference));
                }
            }
            _ => self.unexpected.push(report("no answer")),
        }
    }

    /// What each construct came to, by name.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        for (construct, score) in &self.scores {
            let all = score.answered + score.refused;
            let percent = 100 * score.answered / all.max(1);
            let _ = writeln!(
                text,
                "{construct:22} {:4} of {all:4} answered, {percent:3} %",
                score.answered
            );
        }
        let _ = writeln!(text, "tiers: {:?}", self.tiers);
        text
    }

    /// Constructs of which fewer than nine in ten are answered.
    pub(crate) fn weak(&self) -> Vec<&str> {
        let weak = self
            .scores
            .iter()
            .filter(|(_, score)| score.answered * 10 < (score.answered + score.refused) * 9);
        weak.map(|(construct, _)| construct.as_str()).collect()
    }
}
