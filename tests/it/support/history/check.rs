//! Compares a history with what the nodes hold. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::time::{Duration, Instant};

use pgshard::id::{NodeId, ReignId, ShardId};
use pgshard::{CommitOutcome, CustomerId};
use uuid::Uuid;

use super::{History, Holding, Outcome, Row, Write};

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Acknowledged, and not there.
    Lost {
        operation: Uuid,
        shard: ShardId,
        reign: Option<ReignId>,
    },
    /// One operation took effect more than once.
    Doubled { operation: Uuid, runs: usize },
    /// A row on a shard that is not its key's.
    Misdirected { operation: Uuid, node: NodeId },
    /// Written to, or acknowledged by, a primary whose successor the client knew.
    Superseded { operation: Uuid, reign: ReignId },
    /// It is there although its caller was told that it is not, or nobody asked for it.
    Phantom { operation: Uuid, node: NodeId },
    /// The caller was given the result of a run that is not the one that took effect, or the term of
    /// a primary that it was not written in.
    WrongAnswer { operation: Uuid },
    /// A read missed the write that its token promised.
    Stale { operation: Uuid },
}

/// What a check found.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) faults: Vec<Fault>,
    pub(crate) acknowledged: usize,
    /// Attempts whose caller was told that the outcome is not known.
    pub(crate) unknown: usize,
    pub(crate) given_up: usize,
    pub(crate) failed: usize,
    pub(crate) reads: usize,
    pub(crate) failed_reads: usize,
    /// Rows on diverged nodes only.
    pub(crate) diverged: usize,
    /// The longest that a caller waited for a write, whatever its outcome.
    pub(crate) longest: Duration,
    notes: Vec<String>,
    failures: BTreeMap<String, usize>,
}

/// All attempts of one operation.
struct Operation<'a> {
    attempts: Vec<&'a Write>,
    history: &'a History,
}

/// Compares histories, one a client, with what the nodes hold. `route` says on which shard a customer
/// lives.
pub(crate) fn check(
    histories: &[History],
    holdings: &[Holding],
    route: impl Fn(&CustomerId) -> ShardId,
) -> Verdict {
    let mut operations: BTreeMap<Uuid, Operation<'_>> = BTreeMap::new();
    for history in histories {
        for write in &history.writes {
            let operation = operations.entry(write.operation);
            let operation = operation.or_insert(Operation {
                attempts: Vec::new(),
                history,
            });
            operation.attempts.push(write);
        }
    }
    let mut faults = Vec::new();
    let surviving = by_operation(holdings.iter().filter(|holding| holding.surviving));
    for (operation, asked) in &operations {
        let rows = surviving.get(operation).map_or(&[][..], Vec::as_slice);
        faults.extend(judge(*operation, asked, rows, holdings));
    }
    let mut diverged = 0;
    for holding in holdings {
        for row in &holding.rows {
            let Some(asked) = operations.get(&row.operation) else {
                faults.push(Fault::Phantom {
                    operation: row.operation,
                    node: holding.node,
                });
                continue;
            };
            if route(&row.customer) != holding.shard {
                faults.push(Fault::Misdirected {
                    operation: row.operation,
                    node: holding.node,
                });
            }
            // No COMMIT was sent at all, so that no node may hold it.
            let never = |write: &&Write| matches!(write.outcome, Outcome::Failed(_));
            if !holding.surviving && asked.attempts.iter().all(never) {
                faults.push(Fault::Phantom {
                    operation: row.operation,
                    node: holding.node,
                });
            }
            if !surviving.contains_key(&row.operation) {
                diverged += 1;
            }
            let first = asked.attempts.iter().map(|write| write.begun).min();
            if first.is_some_and(|first| {
                is_over(asked.history, holdings, holding.shard, row.reign, first)
            }) {
                faults.push(Fault::Superseded {
                    operation: row.operation,
                    reign: row.reign,
                });
            }
        }
    }
    let reads = histories.iter().flat_map(|history| &history.reads);
    for read in reads.clone() {
        if !read.saw.contains(&read.must_see) {
            faults.push(Fault::Stale {
                operation: read.must_see,
            });
        }
    }
    let count = |wanted: fn(&Outcome) -> bool| {
        let writes = histories.iter().flat_map(|history| &history.writes);
        writes.filter(|write| wanted(&write.outcome)).count()
    };
    let mut failures = BTreeMap::new();
    for write in histories.iter().flat_map(|history| &history.writes) {
        if let Outcome::Failed(text) = &write.outcome {
            *failures.entry(text.clone()).or_default() += 1;
        }
    }
    let notes = histories.iter().flat_map(|history| {
        let since = |at: &Instant| at.duration_since(history.began).as_secs_f64();
        let note = move |(at, text): &(Instant, String)| format!("{:8.3} s  {text}", since(at));
        history.notes.iter().map(note)
    });
    faults.dedup();
    Verdict {
        faults,
        acknowledged: count(|outcome| matches!(outcome, Outcome::Done { .. })),
        unknown: count(|outcome| matches!(outcome, Outcome::Unknown(_))),
        given_up: count(|outcome| matches!(outcome, Outcome::GivenUp)),
        failed: count(|outcome| matches!(outcome, Outcome::Failed(_))),
        reads: reads.count(),
        failed_reads: histories.iter().map(|history| history.failed_reads).sum(),
        diverged,
        longest: histories
            .iter()
            .flat_map(|history| &history.writes)
            .map(|write| write.ended - write.begun)
            .max()
            .unwrap_or_default(),
        notes: notes.collect(),
        failures,
    }
}

/// The faults of one operation on the surviving nodes.
fn judge(
    operation: Uuid,
    asked: &Operation<'_>,
    rows: &[(&Holding, &Row)],
    holdings: &[Holding],
) -> Vec<Fault> {
    let mut faults = Vec::new();
    let runs: BTreeSet<Uuid> = rows.iter().map(|(_, row)| row.run).collect();
    if rows.len() > 1 {
        faults.push(Fault::Doubled {
            operation,
            runs: rows.len(),
        });
    }
    let mut promised = false;
    let mut open = false;
    let mut refused = false;
    for write in &asked.attempts {
        match &write.outcome {
            Outcome::Done {
                run,
                reign,
                replayed,
            } => {
                promised = true;
                let stray = !runs.is_empty() && !runs.contains(run);
                let elsewhere = !replayed
                    && reign.is_some_and(|reign| {
                        rows.iter()
                            .any(|(_, row)| row.run == *run && row.reign != reign)
                    });
                if stray || elsewhere {
                    faults.push(Fault::WrongAnswer { operation });
                }
                if let Some(reign) = *reign
                    && is_over(asked.history, holdings, write.shard, reign, write.begun)
                {
                    faults.push(Fault::Superseded { operation, reign });
                }
            }
            // Found out later, and as good a promise.
            Outcome::Unknown(Some(CommitOutcome::Committed)) => promised = true,
            Outcome::Unknown(Some(CommitOutcome::Aborted)) | Outcome::Failed(_) => {}
            Outcome::Unknown(_) => open = true,
            Outcome::GivenUp => refused = true,
        }
    }
    if promised && rows.is_empty() {
        let reign = asked.attempts.iter().find_map(|write| match write.outcome {
            Outcome::Done { reign, .. } => reign,
            _ => None,
        });
        faults.push(Fault::Lost {
            operation,
            shard: asked.attempts[0].shard,
            reign,
        });
    }
    // A key that was given up stays so, whatever another attempt is told.
    let excluded = refused || (!promised && !open);
    if excluded && let Some((holding, _)) = rows.first() {
        faults.push(Fault::Phantom {
            operation,
            node: holding.node,
        });
    }
    faults
}

/// Whether the client knew of a successor of `reign` before `begun`.
fn is_over(
    history: &History,
    holdings: &[Holding],
    shard: ShardId,
    reign: ReignId,
    begun: Instant,
) -> bool {
    let mut chains = holdings
        .iter()
        .filter(|held| held.surviving && held.shard == shard);
    let Some(reigns) = chains.next().map(|holding| &holding.reigns) else {
        return false;
    };
    let place = |reign| reigns.iter().position(|held| *held == reign);
    history
        .learned
        .iter()
        .filter(|learned| learned.shard == shard && learned.at < begun)
        .filter_map(|learned| place(learned.reign))
        // A reign of another branch is over as soon as anything newer is known.
        .any(|known| place(reign).is_none_or(|place| place < known))
}

fn by_operation<'a>(
    holdings: impl Iterator<Item = &'a Holding>,
) -> BTreeMap<Uuid, Vec<(&'a Holding, &'a Row)>> {
    let mut found: BTreeMap<Uuid, Vec<(&Holding, &Row)>> = BTreeMap::new();
    for holding in holdings {
        for row in &holding.rows {
            found.entry(row.operation).or_default().push((holding, row));
        }
    }
    found
}

impl Verdict {
    /// The operations that were acknowledged and are lost.
    pub(crate) fn lost(&self) -> usize {
        let lost = |fault: &&Fault| matches!(fault, Fault::Lost { .. });
        self.faults.iter().filter(lost).count()
    }

    /// Nothing is wrong.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        assert!(self.faults.is_empty(), "{self}");
    }

    /// Nothing is wrong, but that an asynchronous shard lost writes.
    #[track_caller]
    pub(crate) fn assert_clean_but_lost(&self) {
        assert_eq!(self.faults.len(), self.lost(), "{self}");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} writes acknowledged, {} unknown, {} given up, {} failed, {} on diverged nodes only; \
             {} reads with tokens, {} failed; the longest write took {:?}; {} faults",
            self.acknowledged,
            self.unknown,
            self.given_up,
            self.failed,
            self.diverged,
            self.reads,
            self.failed_reads,
            self.longest,
            self.faults.len()
        )?;
        // Some of each kind.
        let mut shown: HashMap<String, usize> = HashMap::new();
        for fault in &self.faults {
            let text = format!("{fault:?}");
            let kind = text.split([' ', '{', '(']).next().unwrap_or_default();
            let count = shown.entry(kind.to_owned()).or_default();
            *count += 1;
            if *count <= 8 {
                writeln!(f, "  {text}")?;
            }
        }
        for note in &self.notes {
            writeln!(f, "  {note}")?;
        }
        for (text, times) in self.failures.iter().take(20) {
            writeln!(f, "  failed {times} times: {text}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Learned, Read};
    use super::*;

    /// A shard of an old primary `s0a`, whose reign 1 ended, and of `s0b`, which began reign 2.
    struct Story {
        history: History,
        holdings: Vec<Holding>,
    }

    fn shard(number: u8) -> ShardId {
        ShardId::new(&format!("s{number}")).unwrap()
    }

    fn reign(number: u128) -> ReignId {
        ReignId(Uuid::from_u128(number))
    }

    fn operation(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn run(number: u128) -> Uuid {
        Uuid::from_u128(1000 + number)
    }

    fn row(number: u128, in_reign: u128) -> Row {
        Row {
            operation: operation(number),
            run: run(number),
            customer: CustomerId(Uuid::from_u128(number)),
            reign: reign(in_reign),
        }
    }

    fn done(number: u128, in_reign: u128) -> Outcome {
        Outcome::Done {
            run: run(number),
            reign: Some(reign(in_reign)),
            replayed: false,
        }
    }

    impl Story {
        /// Writes 1 to 4 in reign 1, 5 to 8 in reign 2, of which 3 and 7 are reported as unknown and
        /// only 7 is there; 9 fails; each read with its token sees it.
        fn clean() -> Self {
            let began = Instant::now();
            let mut story = Story {
                history: History {
                    began,
                    writes: Vec::new(),
                    reads: Vec::new(),
                    failed_reads: 0,
                    learned: vec![Learned {
                        shard: shard(0),
                        reign: reign(2),
                        at: began + Duration::from_millis(45),
                    }],
                    notes: vec![(began, "promote s0b".to_owned())],
                },
                holdings: vec![
                    Holding::new("s0b", "s0", true, vec![reign(1), reign(2)]),
                    Holding::new("s0a", "s0", false, vec![reign(1)]),
                ],
            };
            for number in 1..=8 {
                let in_reign = if number <= 4 { 1 } else { 2 };
                let outcome = match number {
                    3 | 7 => Outcome::Unknown(None),
                    _ => done(number, in_reign),
                };
                if number != 3 {
                    story.holdings[0].rows.push(row(number, in_reign));
                }
                if number <= 4 {
                    story.holdings[1].rows.push(row(number, in_reign));
                }
                if matches!(outcome, Outcome::Done { .. }) {
                    story.history.reads.push(Read {
                        must_see: operation(number),
                        saw: vec![operation(number)],
                    });
                }
                story.asked(number, outcome);
            }
            story.asked(9, Outcome::Failed("no primary".to_owned()));
            story
        }

        fn asked(&mut self, number: u128, outcome: Outcome) {
            let at = |millis| self.history.began + Duration::from_millis(millis as u64);
            self.history.writes.push(Write {
                operation: operation(number),
                shard: shard(0),
                begun: at(number * 10),
                ended: at(number * 10 + 5),
                outcome,
            });
        }

        fn outcome(&mut self, number: u128) -> &mut Outcome {
            let mut writes = self.history.writes.iter_mut();
            let write = writes.find(|write| write.operation == operation(number));
            &mut write.unwrap().outcome
        }

        fn faults(&self) -> Vec<Fault> {
            let histories = std::slice::from_ref(&self.history);
            check(histories, &self.holdings, |_| shard(0)).faults
        }
    }

    #[test]
    fn a_clean_history_passes() {
        let story = Story::clean();
        let histories = std::slice::from_ref(&story.history);
        let verdict = check(histories, &story.holdings, |_| shard(0));
        verdict.assert_clean();
        assert_eq!(
            (verdict.acknowledged, verdict.unknown, verdict.failed),
            (6, 2, 1)
        );
        // Operation 3, on the old primary only.
        assert_eq!(verdict.diverged, 1);
        assert!(verdict.to_string().contains("promote s0b"));
    }

    #[test]
    fn a_lost_write_is_noticed() {
        let mut story = Story::clean();
        story.holdings[0]
            .rows
            .retain(|row| row.operation != operation(2));
        let lost = Fault::Lost {
            operation: operation(2),
            shard: shard(0),
            reign: Some(reign(1)),
        };
        assert_eq!(story.faults(), [lost]);
        // So is one that was found out to be committed later.
        let mut story = Story::clean();
        *story.outcome(3) = Outcome::Unknown(Some(CommitOutcome::Committed));
        assert!(matches!(story.faults()[..], [Fault::Lost { .. }]));
    }

    #[test]
    fn a_doubled_write_is_noticed() {
        // The same key was applied twice.
        let mut story = Story::clean();
        let again = Row {
            run: run(77),
            ..row(6, 2)
        };
        story.holdings[0].rows.push(again.clone());
        let doubled = Fault::Doubled {
            operation: operation(6),
            runs: 2,
        };
        assert_eq!(story.faults(), [doubled]);
        // On different shards as well.
        let mut story = Story::clean();
        let mut other = Holding::new("s1a", "s1", true, vec![reign(9)]);
        other.rows.push(again);
        story.holdings.push(other);
        assert!(matches!(
            story.faults()[..],
            [Fault::Doubled { .. }, Fault::Misdirected { .. }]
        ));
    }

    #[test]
    fn a_misdirected_write_is_noticed() {
        let mut story = Story::clean();
        story.holdings[0]
            .rows
            .retain(|row| row.operation != operation(6));
        let mut other = Holding::new("s1a", "s1", true, vec![reign(9)]);
        other.rows.push(row(6, 2));
        story.holdings.push(other);
        let misdirected = Fault::Misdirected {
            operation: operation(6),
            node: NodeId::new("s1a").unwrap(),
        };
        assert_eq!(story.faults(), [misdirected]);
    }

    #[test]
    fn a_write_to_a_superseded_primary_is_noticed() {
        // Begun after the client knew of reign 2, and acknowledged by reign 1.
        let mut story = Story::clean();
        *story.outcome(6) = done(6, 1);
        story.holdings[0]
            .rows
            .retain(|row| row.operation != operation(6));
        story.holdings[1].rows.push(row(6, 1));
        let faults = story.faults();
        let superseded = Fault::Superseded {
            operation: operation(6),
            reign: reign(1),
        };
        assert!(faults.contains(&superseded), "{faults:?}");
        assert!(
            faults
                .iter()
                .any(|fault| matches!(fault, Fault::Lost { .. }))
        );
        // Even if its caller was told that it is not known.
        let mut story = Story::clean();
        story.holdings[0]
            .rows
            .retain(|row| row.operation != operation(7));
        story.holdings[1].rows.push(row(7, 1));
        assert!(matches!(story.faults()[..], [Fault::Superseded { .. }]));
    }

    #[test]
    fn a_phantom_is_noticed() {
        // It failed, and is there.
        let mut story = Story::clean();
        story.holdings[0].rows.push(row(9, 2));
        let node = NodeId::new("s0b").unwrap();
        let phantom = |number| Fault::Phantom {
            operation: operation(number),
            node,
        };
        assert_eq!(story.faults(), [phantom(9)]);
        // Nobody asked for it.
        let mut story = Story::clean();
        story.holdings[0].rows.push(row(55, 2));
        assert_eq!(story.faults(), [phantom(55)]);
        // Its key was given up, whatever was said before.
        let mut story = Story::clean();
        story.asked(7, Outcome::GivenUp);
        assert_eq!(story.faults(), [phantom(7)]);
        // What was found out later counts too.
        let mut story = Story::clean();
        *story.outcome(7) = Outcome::Unknown(Some(CommitOutcome::Aborted));
        assert_eq!(story.faults(), [phantom(7)]);
        // No COMMIT was sent, and a diverged node holds it.
        let mut story = Story::clean();
        story.asked(3, Outcome::Failed("x".to_owned()));
        *story.outcome(3) = Outcome::Failed("the statement failed".to_owned());
        assert!(matches!(story.faults()[..], [Fault::Phantom { .. }]));
    }

    #[test]
    fn an_answer_of_another_run_is_noticed() {
        let mut story = Story::clean();
        *story.outcome(6) = Outcome::Done {
            run: run(5),
            reign: Some(reign(2)),
            replayed: true,
        };
        let wrong = Fault::WrongAnswer {
            operation: operation(6),
        };
        assert_eq!(story.faults(), [wrong]);
        // Acknowledged in a term in which it was not written.
        let mut story = Story::clean();
        *story.outcome(2) = done(2, 2);
        let wrong = Fault::WrongAnswer {
            operation: operation(2),
        };
        assert_eq!(story.faults(), [wrong]);
    }

    #[test]
    fn a_stale_read_is_noticed() {
        let mut story = Story::clean();
        story.history.reads[1].saw.clear();
        let stale = Fault::Stale {
            operation: operation(2),
        };
        assert_eq!(story.faults(), [stale]);
    }
}
