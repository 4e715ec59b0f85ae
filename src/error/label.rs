//! Labels: what a caller may conclude from an error, whatever its kind.

use std::fmt;

/// One conclusion that a caller may draw from an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Label(u16);

impl Label {
    /// The same operation may succeed if it is tried again, and trying again is safe: nothing of
    /// it is durable.
    pub const RETRYABLE: Label = Label(1);
    /// Nothing was sent to a server.
    pub const NOT_SENT: Label = Label(1 << 1);
    /// It is not known whether the operation took effect. Do not repeat it without an
    /// idempotency key.
    pub const OUTCOME_UNKNOWN: Label = Label(1 << 2);
    /// The cause is a change of the topology, or looks like one.
    pub const FAILOVER: Label = Label(1 << 3);
    /// The cause is load: back off before trying again.
    pub const OVERLOAD: Label = Label(1 << 4);
    /// The connection is not usable any more.
    pub const CONNECTION_LOST: Label = Label(1 << 5);
    /// Nothing was written under the idempotency key, and nothing ever will be: repeat the request
    /// under a new key.
    pub const KEY_GIVEN_UP: Label = Label(1 << 6);

    /// An operator decided it, and only an operator ends it: waiting and trying again are of no use.
    pub const OPERATOR: Label = Label(1 << 7);

    const NAMES: [(Label, &'static str); 8] = [
        (Label::RETRYABLE, "retryable"),
        (Label::NOT_SENT, "not_sent"),
        (Label::OUTCOME_UNKNOWN, "outcome_unknown"),
        (Label::FAILOVER, "failover"),
        (Label::OVERLOAD, "overload"),
        (Label::CONNECTION_LOST, "connection_lost"),
        (Label::KEY_GIVEN_UP, "key_given_up"),
        (Label::OPERATOR, "operator"),
    ];
}

/// A set of [`Label`]s.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Labels(u16);

impl Labels {
    /// Adds a label.
    pub fn insert(&mut self, label: Label) {
        self.0 |= label.0;
    }

    /// Removes a label.
    pub fn remove(&mut self, label: Label) {
        self.0 &= !label.0;
    }

    /// Whether the label is in the set.
    pub fn contains(self, label: Label) -> bool {
        self.0 & label.0 != 0
    }

    /// The labels' names, as used in logs and JSON.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Label::NAMES
            .into_iter()
            .filter(move |(label, _)| self.contains(*label))
            .map(|(_, n)| n)
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
