//! The rules of a proxy, shared by its connections and whoever changes them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::rule::{Condition, Reaction, Rule};

/// What happened on a connection.
pub(super) enum Event<'a> {
    Connect,
    /// A message from the client, with the text of the statement it runs, in lower case.
    Frontend(u8, Option<&'a str>),
    Backend(u8),
}

impl Event<'_> {
    fn meets(&self, condition: &Condition) -> bool {
        match (self, condition) {
            (Event::Connect, Condition::Connect) => true,
            (Event::Frontend(_, Some(text)), Condition::Query(part)) => {
                text.contains(&part.to_lowercase())
            }
            (Event::Frontend(tag, _), Condition::Frontend(wanted))
            | (Event::Backend(tag), Condition::Backend(wanted)) => {
                wanted.is_none_or(|wanted| wanted == *tag)
            }
            (Event::Frontend(..) | Event::Backend(_), Condition::Any) => true,
            _ => false,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Rules {
    active: Mutex<Vec<Active>>,
    heals: watch::Sender<u64>,
}

#[derive(Debug)]
struct Active {
    rule: Rule,
    left: Option<u64>,
    hits: Arc<watch::Sender<u64>>,
}

/// A reaction that is due; whoever carries it out says so.
pub(super) struct Due {
    pub(super) reaction: Reaction,
    /// How often the proxy had been healed when this was decided.
    pub(super) heals: u64,
    hits: Arc<watch::Sender<u64>>,
}

impl Due {
    pub(super) fn hit(&self) {
        self.hits.send_modify(|hits| *hits += 1);
    }
}

impl Rules {
    pub(super) fn add(self: &Arc<Self>, rule: Rule) -> RuleHandle {
        let hits = Arc::new(watch::Sender::new(0));
        self.lock().push(Active {
            left: rule.times,
            rule,
            hits: hits.clone(),
        });
        RuleHandle {
            rules: self.clone(),
            hits,
        }
    }

    /// The first rule that applies; it is used up by one.
    pub(super) fn decide(&self, event: &Event<'_>) -> Option<Due> {
        let mut active = self.lock();
        let due = active
            .iter_mut()
            .filter(|active| active.left != Some(0))
            .find(|active| event.meets(&active.rule.condition))?;
        if let Some(left) = &mut due.left {
            *left -= 1;
        }
        Some(Due {
            reaction: due.rule.reaction.clone(),
            heals: self.heals(),
            hits: due.hits.clone(),
        })
    }

    pub(super) fn heal(&self) {
        let mut active = self.lock();
        active.clear();
        self.heals.send_modify(|heals| *heals += 1);
    }

    pub(super) fn heals(&self) -> u64 {
        *self.heals.borrow()
    }

    /// Waits until the proxy has been healed more often.
    pub(super) async fn healed(&self, than: u64) {
        let _ = self.heals.subscribe().wait_for(|heals| *heals > than).await;
    }

    fn remove(&self, hits: &Arc<watch::Sender<u64>>) {
        self.lock()
            .retain(|active| !Arc::ptr_eq(&active.hits, hits));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Active>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A rule that was added. Dropping the handle leaves the rule in force.
#[derive(Debug)]
pub struct RuleHandle {
    rules: Arc<Rules>,
    hits: Arc<watch::Sender<u64>>,
}

impl RuleHandle {
    /// How often the reaction has been carried out.
    pub fn hits(&self) -> u64 {
        *self.hits.borrow()
    }

    /// Waits until the reaction has been carried out so many times.
    pub async fn hit(&self, times: u64) {
        let _ = self.hits.subscribe().wait_for(|hits| *hits >= times).await;
    }

    /// Removes the rule. Connections that hang by it stay so until the proxy is healed.
    pub fn remove(self) {
        self.rules.remove(&self.hits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_first_rule_that_applies_counts() {
        let rules = Arc::new(Rules::default());
        let delay = Reaction::Delay(Duration::ZERO);
        rules.add(Rule::new(Condition::query("Commit"), Reaction::Reset).once());
        let all = rules.add(Rule::new(Condition::Frontend(None), delay.clone()));
        let decide = |event| rules.decide(&event).map(|due| due.reaction);
        let commit = || Event::Frontend(b'Q', Some("select 1; commit"));
        assert_eq!(
            decide(Event::Frontend(b'Q', Some("select 1"))),
            Some(delay.clone())
        );
        assert_eq!(decide(commit()), Some(Reaction::Reset));
        assert_eq!(decide(commit()), Some(delay));
        assert_eq!(decide(Event::Backend(b'Z')), None);
        all.remove();
        assert_eq!(decide(commit()), None);
    }
}
