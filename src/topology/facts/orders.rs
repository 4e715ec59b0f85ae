//! What operators decided about a shard, as its servers keep it.

use std::fmt;
use std::sync::Arc;

use crate::id::{NodeIndex, ReignId, SystemId};

/// Whether a shard is open, as far as operators decide that. The later ones are the stricter ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Reads and writes.
    #[default]
    Open,
    /// Planned: reads go on, write transactions are refused.
    ReadOnly,
    /// Planned: reads and write transactions are refused.
    Drained,
    /// An emergency: no primary is lent, and what is in flight there is interrupted. Replicas are
    /// read.
    Fenced,
}

impl Mode {
    /// All of them.
    pub const ALL: [Mode; 4] = [Mode::Open, Mode::ReadOnly, Mode::Drained, Mode::Fenced];

    /// The word in `pgshard.identity`, in logs and in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Open => "open",
            Mode::ReadOnly => "read-only",
            Mode::Drained => "drained",
            Mode::Fenced => "fenced",
        }
    }

    /// The mode of a word.
    pub fn parse(word: &str) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| mode.as_str() == word)
    }

    /// Whether new write transactions are refused.
    pub fn refuses_writes(self) -> bool {
        self != Mode::Open
    }

    /// Whether reads are refused, on replicas too.
    pub fn refuses_reads(self) -> bool {
        self == Mode::Drained
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What operators' acts amount to: a part of the row `pgshard.identity`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// The number of the last act. Of two servers that disagree, the higher number is right.
    pub number: u64,
    /// The shard's mode.
    pub mode: Mode,
    /// Who set the mode, when and why.
    pub note: Option<Arc<str>>,
    /// Nodes that are not to be used.
    pub fenced: Vec<NodeIndex>,
    /// The reign that an operator began: histories that have parted from it were given up.
    pub chosen: Option<ReignId>,
    /// The system identifier that an operator confirmed to be the shard's.
    pub system: Option<SystemId>,
}

impl Orders {
    /// Whether a node is not to be used.
    pub fn fences(&self, node: NodeIndex) -> bool {
        self.fenced.contains(&node)
    }

    /// The stricter of two, where neither is known to be newer.
    pub(crate) fn join(&mut self, other: &Orders) {
        if other.mode > self.mode {
            self.mode = other.mode;
            self.note.clone_from(&other.note);
        }
        for node in &other.fenced {
            if !self.fences(*node) {
                self.fenced.push(*node);
            }
        }
        self.fenced.sort_unstable();
        if other.number > self.number {
            self.number = other.number;
            self.chosen = other.chosen;
            self.system = other.system;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for mode in Mode::ALL {
            assert_eq!(Mode::parse(mode.as_str()), Some(mode));
        }
        assert_eq!(Mode::parse("shut"), None);
        assert!(Mode::Open < Mode::ReadOnly && Mode::Drained < Mode::Fenced);
    }

    #[test]
    fn the_strictest_of_two_that_contradict() {
        let mut one = Orders {
            number: 4,
            mode: Mode::Fenced,
            note: Some("ada".into()),
            fenced: vec![NodeIndex(2)],
            ..Orders::default()
        };
        let other = Orders {
            number: 7,
            mode: Mode::ReadOnly,
            note: Some("bob".into()),
            fenced: vec![NodeIndex(1), NodeIndex(2)],
            system: Some(SystemId(9)),
            ..Orders::default()
        };
        one.join(&other);
        assert_eq!((one.number, one.mode), (7, Mode::Fenced));
        assert_eq!(one.note.as_deref(), Some("ada"));
        assert_eq!(one.fenced, [NodeIndex(1), NodeIndex(2)]);
        assert_eq!(one.system, Some(SystemId(9)));
    }
}
