//! How far a recovery goes.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::id::Lsn;

use super::{Backup, Mark};

/// How far a recovery goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// Through the last transaction that was committed at or before a time: UTC, as RFC 3339
    /// (`2026-11-26T16:00:00Z`).
    Time(String),
    /// Through a position of the log, as text.
    Lsn(String),
    /// To a named point.
    Name(String),
    /// To the end of the archive.
    Latest,
}

impl Target {
    /// A time.
    ///
    /// # Errors
    ///
    /// `Config` unless it is in UTC and says so: local times are ambiguous once a year.
    pub fn time(text: &str) -> Result<Target> {
        instant(text).map(|_| Target::Time(text.to_owned()))
    }

    /// A position.
    ///
    /// # Errors
    ///
    /// `Config` if it is none.
    pub fn lsn(text: &str) -> Result<Target> {
        let lsn: Result<Lsn, _> = text.parse();
        match lsn {
            Ok(_) => Ok(Target::Lsn(text.to_owned())),
            Err(error) => Err(Error::config(format!("{text:?}: {error}"))),
        }
    }

    /// The recovery's settings.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        match self {
            Target::Time(time) => vec![
                // While it reads its configuration, PostgreSQL knows no names of time zones, not even Z.
                (
                    "recovery_target_time",
                    time.replace('T', " ").replace('Z', "+00"),
                ),
                ("recovery_target_inclusive", "on".to_owned()),
            ],
            Target::Lsn(lsn) => vec![
                ("recovery_target_lsn", lsn.clone()),
                ("recovery_target_inclusive", "on".to_owned()),
            ],
            Target::Name(name) => vec![("recovery_target_name", name.clone())],
            Target::Latest => Vec::new(),
        }
    }

    /// Where in the log that is, if it is known.
    pub(super) fn position(&self, marks: &[Mark]) -> Option<Lsn> {
        match self {
            Target::Lsn(lsn) => lsn.parse().ok(),
            Target::Name(name) => {
                let mark = marks.iter().rev().find(|mark| mark.name == *name)?;
                mark.lsn.parse().ok()
            }
            Target::Time(_) | Target::Latest => None,
        }
    }

    /// Whether recovery from a backup can stop there: not before its data are consistent.
    pub(super) fn after(&self, backup: &Backup, marks: &[Mark]) -> Result<bool> {
        Ok(match self {
            Target::Time(time) => instant(time)? >= instant(&backup.ended)?,
            Target::Latest => true,
            Target::Lsn(_) | Target::Name(_) => {
                let stop: Option<Lsn> = backup.stop.parse().ok();
                match (self.position(marks), stop) {
                    (Some(wanted), Some(stop)) => wanted >= stop,
                    // Not marked here: recovery finds out.
                    _ => true,
                }
            }
        })
    }

    /// Refuses what has not been yet.
    pub(super) fn not_in_the_future(&self) -> Result<()> {
        if let Target::Time(time) = self
            && instant(time)? > SystemTime::now() + Duration::from_secs(1)
        {
            return Err(Error::refused(format!(
                "{time} is in the future: for all that there is, ask for the latest"
            )));
        }
        Ok(())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Time(time) => write!(f, "time {time}"),
            Target::Lsn(lsn) => write!(f, "position {lsn}"),
            Target::Name(name) => write!(f, "point {name}"),
            Target::Latest => f.write_str("the end of the archive"),
        }
    }
}

/// A moment, from RFC 3339 in UTC.
pub(super) fn instant(text: &str) -> Result<SystemTime> {
    humantime::parse_rfc3339(text).map_err(|_| {
        Error::config(format!(
            "{text:?} is no time in UTC: write it as 2026-11-26T16:00:00Z, with a fraction if you like"
        ))
    })
}

pub(super) fn now() -> String {
    humantime::format_rfc3339_micros(SystemTime::now()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc() {
        assert!(Target::time("2026-11-26T16:00:00Z").is_ok());
        assert!(Target::time("2026-11-26T16:00:00.123456Z").is_ok());
        for wrong in ["2026-11-26 16:00", "2026-11-26T16:00:00", "yesterday", ""] {
            assert!(Target::time(wrong).is_err(), "{wrong}");
        }
        assert!(Target::lsn("0/16B3748").is_ok());
        assert!(Target::lsn("16B3748").is_err());
        let future = Target::time("2126-11-26T16:00:00Z").unwrap();
        assert!(future.not_in_the_future().is_err());
    }
}
