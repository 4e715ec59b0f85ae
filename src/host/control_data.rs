//! What `pg_controldata` says of a data directory, whether its server runs or not.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::error::{Error, ErrorKind, Result};
use crate::id::{Lsn, SystemId, Timeline};

use super::account::Account;
use super::binaries::Binaries;
use super::spawn;

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
}

impl ControlData {
    /// Reads the control file of `data` as its owner.
    pub(crate) async fn read(
        binaries: &Binaries,
        account: &Account,
        data: &Path,
    ) -> Result<ControlData> {
        let program = binaries.program("pg_controldata");
        let mut command = spawn::command(&program, account, Path::new("/"), Signal::SIGKILL);
        command.arg("-D").arg(data);
        let output = spawn::run(command, Duration::from_secs(30)).await?;
        parse(&String::from_utf8_lossy(&output.stdout)).ok_or_else(|| {
            Error::new(
                ErrorKind::Io,
                format!(
                    "{} printed no state of {} that can be read",
                    program.display(),
                    data.display()
                ),
            )
        })
    }

    /// Whether the server was stopped cleanly, as a primary or as a standby.
    pub(crate) fn clean(&self) -> bool {
        self.state.starts_with("shut down")
    }
}

fn parse(text: &str) -> Option<ControlData> {
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
    })
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
";

    #[test]
    fn reads_the_fields() {
        let data = parse(TEXT).unwrap();
        assert_eq!(data.system, SystemId(7_574_339_487_217_265_331));
        assert_eq!(data.timeline, Timeline(2));
        assert_eq!(data.checkpoint, Lsn(0x300_0060));
        assert_eq!(data.minimum_recovery, Lsn(0x300_0110));
        assert!(data.clean() && data.checksums && !data.wal_log_hints);
        assert_eq!(parse("Database cluster state: in production"), None);
    }
}
