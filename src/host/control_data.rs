//! What `pg_controldata` says of a data directory, whether its server runs or not.

use crate::id::{Lsn, SystemId, Timeline};

/// The state of a data directory, from its control file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ControlData {
    pub(crate) system: SystemId,
    /// "in production", "shut down", "in archive recovery", …, as PostgreSQL writes it.
    pub(crate) state: String,
    /// The timeline of the last checkpoint.
    pub(crate) timeline: Timeline,
    /// Where the last checkpoint is; after a clean stop, the last record of the log.
    pub(crate) checkpoint: Lsn,
    /// How far recovery must come before the data are consistent; 0/0 where none is needed.
    pub(crate) minimum_recovery: Lsn,
    pub(crate) wal_log_hints: bool,
    pub(crate) checksums: bool,
    /// The size of a file of the log, in bytes.
    pub(crate) segment: u64,
}

impl ControlData {
    /// Reads what `pg_controldata` printed in English; `None` if that is something else.
    pub(crate) fn parse(text: &str) -> Option<ControlData> {
        let field = |name: &str| {
            text.lines()
                .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
        };
        Some(ControlData {
            system: SystemId(field("Database system identifier")?.parse().ok()?),
            state: field("Database cluster state")?.to_owned(),
            timeline: Timeline(field("Latest checkpoint's TimeLineID")?.parse().ok()?),
            checkpoint: field("Latest checkpoint location")?.parse().ok()?,
            minimum_recovery: field("Minimum recovery ending location")?.parse().ok()?,
            wal_log_hints: field("wal_log_hints setting")? == "on",
            checksums: field("Data page checksum version")? != "0",
            segment: field("Bytes per WAL segment")?.parse().ok()?,
        })
    }

    /// The name of the file that holds a position of a timeline's log.
    pub(crate) fn file(&self, timeline: Timeline, at: Lsn) -> String {
        let number = at.0 / self.segment.max(1);
        let in_4_gib = (1 << 32) / self.segment.max(1);
        let (high, low) = (number / in_4_gib.max(1), number % in_4_gib.max(1));
        format!("{:08X}{high:08X}{low:08X}", timeline.0)
    }

    /// Whether the server was stopped cleanly, as a primary or as a standby.
    pub(crate) fn clean(&self) -> bool {
        self.state.starts_with("shut down")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
pg_control version number:            1300
Database system identifier:           7574339487217265331
Database cluster state:               shut down in recovery
Latest checkpoint location:           0/3000060
Latest checkpoint's REDO location:    0/3000028
Latest checkpoint's TimeLineID:       2
Latest checkpoint's PrevTimeLineID:   2
Minimum recovery ending location:     0/3000110
wal_level setting:                    replica
wal_log_hints setting:                off
Data page checksum version:           1
Bytes per WAL segment:                1048576
";

    #[test]
    fn reads_the_fields() {
        let data = ControlData::parse(TEXT).unwrap();
        assert_eq!(data.system, SystemId(7_574_339_487_217_265_331));
        assert_eq!(data.timeline, Timeline(2));
        assert_eq!(data.checkpoint, Lsn(0x300_0060));
        assert_eq!(data.minimum_recovery, Lsn(0x300_0110));
        assert!(data.clean() && data.checksums && !data.wal_log_hints);
        let file = data.file(Timeline(2), Lsn(0x1_0ED0_0B20));
        assert_eq!(file, "0000000200000001000000ED");
        assert_eq!(
            ControlData::parse("Database cluster state: in production"),
            None
        );
    }
}
