//! Reigns and their chain.
//!
//! A timeline number does not identify a history: two replicas promoted separately are both on
//! timeline 2. A reign's uuid does. Its rows replicate like all data, so a node's rows say which
//! primaries' terms the node has seen.

use std::sync::Arc;

use crate::id::{Lsn, ReignId, Timeline};

/// One primary's term: a row of `pgshard.reign`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reign {
    /// Its identity.
    pub id: ReignId,
    /// The reign before it; `None` for the first, which the installation wrote.
    pub parent: Option<ReignId>,
    /// The primary's timeline.
    pub timeline: Timeline,
    /// Where the reign began. What was acknowledged in the parent's reign past this position is
    /// not part of this reign.
    pub start: Lsn,
}

/// The reigns of a node, as one chain of parents; never empty.
///
/// It keeps the newest [`KEPT`](Self::KEPT) reigns. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReignHistory {
    // Oldest first.
    kept: Arc<[Reign]>,
    newest: Reign,
}

/// How one history relates to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    /// The same newest reign.
    Equal,
    /// The other contains this one's newest reign, and has newer ones.
    Ancestor,
    /// This one contains the other's newest reign, and has newer ones.
    Descendant,
    /// Neither contains the other's newest reign.
    Forked,
}

/// The rows of `pgshard.reign` are not one chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BrokenHistory {
    /// There is no row.
    #[error("pgshard.reign is empty; run `shardctl install` against the primary")]
    Empty,
    /// No row, or more than one, is without a parent.
    #[error("pgshard.reign must hold exactly one row without a parent, it holds {0}")]
    Roots(usize),
    /// Two rows have the same parent, or the same uuid.
    #[error("two rows of pgshard.reign claim the same place after {0}")]
    Fork(ReignId),
    /// A row's parent is missing.
    #[error("a row of pgshard.reign is not connected to the first reign")]
    Gap,
}

impl ReignHistory {
    /// How many reigns are kept. A node that is further behind than that cannot be told from one
    /// that forked off; neither is ever used.
    pub const KEPT: usize = 256;

    /// The chain of some rows, in any order.
    ///
    /// # Errors
    ///
    /// [`BrokenHistory`] if they are not one chain from a first reign to a newest one.
    pub fn new(mut rows: Vec<Reign>) -> Result<Self, BrokenHistory> {
        if rows.is_empty() {
            return Err(BrokenHistory::Empty);
        }
        let roots = rows.iter().filter(|row| row.parent.is_none()).count();
        if roots != 1 {
            return Err(BrokenHistory::Roots(roots));
        }
        // By parent, the first reign in front: then each next row is found by a binary search.
        rows.sort_unstable_by_key(|row| row.parent.map(|parent| parent.0));
        if let Some(twins) = rows
            .windows(2)
            .find(|pair| matches!(pair, [a, b] if a.parent == b.parent))
            && let Some(parent) = twins.first().and_then(|row| row.parent)
        {
            return Err(BrokenHistory::Fork(parent));
        }
        let mut chain: Vec<Reign> = Vec::with_capacity(rows.len());
        let mut next = rows.first().copied();
        while let Some(row) = next {
            if chain.len() == rows.len() {
                // A cycle: a row that was passed already.
                return Err(BrokenHistory::Fork(row.id));
            }
            chain.push(row);
            next = rows
                .binary_search_by_key(&Some(row.id.0), |row| row.parent.map(|parent| parent.0))
                .ok()
                .and_then(|found| rows.get(found).copied());
        }
        if chain.len() != rows.len() {
            return Err(BrokenHistory::Gap);
        }
        let newest = *chain.last().ok_or(BrokenHistory::Empty)?;
        chain.drain(..chain.len().saturating_sub(Self::KEPT));
        Ok(ReignHistory {
            kept: chain.into(),
            newest,
        })
    }

    /// The newest reign.
    pub fn newest(&self) -> &Reign {
        &self.newest
    }

    /// The kept reigns, oldest first.
    pub fn reigns(&self) -> &[Reign] {
        &self.kept
    }

    /// Whether a reign is part of it.
    pub fn contains(&self, id: ReignId) -> bool {
        self.newest.id == id || self.kept.iter().any(|reign| reign.id == id)
    }

    /// The reign after another; `None` if that is the newest, or is not part of this history.
    pub fn after(&self, id: ReignId) -> Option<&Reign> {
        self.kept
            .iter()
            .rev()
            .find(|reign| reign.parent == Some(id))
    }

    /// How this history relates to another.
    pub fn relation(&self, other: &ReignHistory) -> Relation {
        if self.newest.id == other.newest.id {
            Relation::Equal
        } else if other.contains(self.newest.id) {
            Relation::Ancestor
        } else if self.contains(other.newest.id) {
            Relation::Descendant
        } else {
            Relation::Forked
        }
    }

    /// Where this history leaves the other one: the start of its first reign that the other does
    /// not hold. `None` if it has no such reign.
    pub fn leaves(&self, other: &ReignHistory) -> Option<Lsn> {
        self.kept
            .iter()
            .find(|reign| !other.contains(reign.id))
            .map(|reign| reign.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn id(n: u128) -> ReignId {
        ReignId(Uuid::from_u128(n))
    }

    fn reign(n: u128, parent: Option<u128>) -> Reign {
        Reign {
            id: id(n),
            parent: parent.map(id),
            timeline: Timeline(n as u32),
            start: Lsn(n as u64 * 100),
        }
    }

    fn chain(ids: &[u128]) -> ReignHistory {
        let rows = ids
            .iter()
            .enumerate()
            .map(|(at, n)| reign(*n, at.checked_sub(1).map(|at| ids[at])))
            .collect();
        ReignHistory::new(rows).unwrap()
    }

    #[test]
    fn one_chain_in_any_order() {
        let history =
            ReignHistory::new(vec![reign(3, Some(2)), reign(1, None), reign(2, Some(1))]).unwrap();
        assert_eq!(history.newest().id, id(3));
        assert_eq!(history.reigns()[0].id, id(1));
        assert_eq!(history.after(id(1)).unwrap().id, id(2));
        assert_eq!(history.after(id(3)), None);
        assert_eq!(history.after(id(9)), None);
    }

    #[test]
    fn what_is_no_chain_is_refused() {
        let broken = |rows| ReignHistory::new(rows).unwrap_err();
        assert_eq!(broken(vec![]), BrokenHistory::Empty);
        assert_eq!(broken(vec![reign(2, Some(1))]), BrokenHistory::Roots(0));
        assert_eq!(
            broken(vec![reign(1, None), reign(2, None)]),
            BrokenHistory::Roots(2)
        );
        assert_eq!(
            broken(vec![reign(1, None), reign(2, Some(1)), reign(3, Some(1))]),
            BrokenHistory::Fork(id(1))
        );
        assert_eq!(
            broken(vec![reign(1, None), reign(3, Some(2))]),
            BrokenHistory::Gap
        );
        // A ring beside the first reign, and one that leads back into it.
        assert_eq!(
            broken(vec![reign(1, None), reign(2, Some(3)), reign(3, Some(2))]),
            BrokenHistory::Gap
        );
        assert_eq!(
            broken(vec![reign(1, None), reign(1, Some(1))]),
            BrokenHistory::Fork(id(1))
        );
    }

    #[test]
    fn relations() {
        let short = chain(&[1, 2]);
        let long = chain(&[1, 2, 3]);
        let fork = chain(&[1, 2, 4]);
        assert_eq!(short.relation(&short), Relation::Equal);
        assert_eq!(short.relation(&long), Relation::Ancestor);
        assert_eq!(long.relation(&short), Relation::Descendant);
        assert_eq!(long.relation(&fork), Relation::Forked);
        assert_eq!(chain(&[7]).relation(&long), Relation::Forked);
        assert_eq!(fork.leaves(&long), Some(Lsn(400)));
        assert_eq!(short.leaves(&long), None);
    }

    #[test]
    fn a_long_history_keeps_its_newest_part() {
        let all: Vec<u128> = (1..=1000).collect();
        let history = chain(&all);
        assert_eq!(history.reigns().len(), ReignHistory::KEPT);
        assert_eq!(history.newest().id, id(1000));
        assert!(history.contains(id(745)));
        assert!(!history.contains(id(744)));
        assert_eq!(chain(&all[..900]).relation(&history), Relation::Ancestor);
        assert_eq!(chain(&all[..700]).relation(&history), Relation::Forked);
    }
}
