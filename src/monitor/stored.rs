//! What a shard's tables say, as values: rows of `pgshard.reign`, and operators' decisions in
//! `pgshard.identity`.

use serde::Deserialize;
use uuid::Uuid;

use crate::id::{ReignId, SystemId, Timeline};
use crate::topology::{Mode, Reign};

/// The columns of `pgshard.identity` that hold what operators decided. A schema without them says as
/// little as one in which nobody ever decided anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct StoredOrders {
    /// The number of the last act.
    pub(crate) acts: u64,
    pub(crate) mode: String,
    pub(crate) mode_note: String,
    pub(crate) fenced_nodes: Vec<String>,
    pub(crate) fenced_reigns: Vec<Option<Uuid>>,
    pub(crate) chosen: Option<Uuid>,
    pub(crate) system_identifier: Option<i64>,
}

impl StoredOrders {
    /// The mode; `None` for a word that this library does not know.
    pub(crate) fn mode(&self) -> Option<Mode> {
        if self.mode.is_empty() {
            return Some(Mode::Open);
        }
        Mode::parse(&self.mode)
    }

    /// The identity that an operator confirmed.
    pub(crate) fn system(&self) -> Option<SystemId> {
        self.system_identifier.map(|system| SystemId(system as u64))
    }
}

/// A reign of a line `uuid|parent or nothing|timeline|start`.
pub(crate) fn reign(line: &str) -> Option<Reign> {
    let mut parts = line.split('|');
    let id = parts.next()?.parse().ok()?;
    let parent = parts.next()?;
    let parent = if parent.is_empty() {
        None
    } else {
        Some(ReignId(parent.parse().ok()?))
    };
    let timeline = Timeline(parts.next()?.parse().ok()?);
    let start = parts.next()?.parse().ok()?;
    Some(Reign {
        id: ReignId(id),
        parent,
        timeline,
        start,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Lsn;

    #[test]
    fn lines_of_reigns() {
        let id = Uuid::from_u128(7);
        let first = reign(&format!("{id}||3|0/10")).unwrap();
        assert_eq!((first.parent, first.timeline), (None, Timeline(3)));
        assert_eq!(first.start, Lsn(16));
        assert!(reign("").is_none());
        assert!(reign(&format!("{id}|nobody|3|0/10")).is_none());
        assert!(reign(&format!("{id}||3")).is_none());
    }

    #[test]
    fn an_identity_without_the_columns() {
        let none: StoredOrders = serde_json::from_str(r#"{"cluster": "bank"}"#).unwrap();
        assert_eq!(none, StoredOrders::default());
        assert_eq!(none.mode(), Some(Mode::Open));
        let some: StoredOrders = serde_json::from_str(
            r#"{"acts": 3, "mode": "drained", "fenced_nodes": ["a", "b"],
                "fenced_reigns": [null, "00000000-0000-0000-0000-000000000001"],
                "system_identifier": 7234567890123456789}"#,
        )
        .unwrap();
        assert_eq!(some.mode(), Some(Mode::Drained));
        assert_eq!(some.fenced_reigns[0], None);
        assert_eq!(some.system(), Some(SystemId(7234567890123456789)));
    }
}
