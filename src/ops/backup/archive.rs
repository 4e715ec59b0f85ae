//! The archive of a shard's log: from where to where it is whole.

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::{Error, Result};
use crate::id::{Lsn, Timeline};

use super::store::entries;
use super::wal::is_segment;

/// The files of an archive.
pub(super) struct Archive {
    segments: BTreeSet<String>,
    histories: Vec<(Timeline, Vec<(Timeline, Lsn)>)>,
    segment: u64,
}

impl Archive {
    pub(super) fn read(dir: &Path, segment: u64) -> Result<Archive> {
        let mut archive = Archive {
            segments: BTreeSet::new(),
            histories: Vec::new(),
            segment: segment.max(1),
        };
        archive.add(dir)?;
        Ok(archive)
    }

    /// Adds the files of another directory.
    pub(super) fn add(&mut self, dir: &Path) -> Result<()> {
        for path in entries(dir)? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if is_segment(name) {
                self.segments.insert(name.to_owned());
            } else if let Some(number) = name.strip_suffix(".history")
                && let Ok(number) = u32::from_str_radix(number, 16)
            {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                self.histories.push((Timeline(number), past(&text)));
            }
        }
        Ok(())
    }

    fn name(&self, timeline: Timeline, number: u64) -> String {
        let in_4_gib = ((1 << 32) / self.segment).max(1);
        format!(
            "{:08X}{:08X}{:08X}",
            timeline.0,
            number / in_4_gib,
            number % in_4_gib
        )
    }

    /// The newest timeline that descends from one, as recovery would choose it.
    fn latest(&self, from: Timeline) -> Timeline {
        self.histories
            .iter()
            .filter(|(_, past)| past.iter().any(|(timeline, _)| *timeline == from))
            .map(|(timeline, _)| *timeline)
            .max()
            .unwrap_or(from)
            .max(from)
    }

    /// Follows the log from a backup's start as recovery would, and returns where it ends.
    ///
    /// # Errors
    ///
    /// `Refused` if a file is missing of which a later one is there, before `needed`: recovery would end at
    /// the gap.
    pub(super) fn end(&self, timeline: Timeline, start: Lsn, needed: Option<Lsn>) -> Result<Lsn> {
        let target = self.latest(timeline);
        let past = self
            .histories
            .iter()
            .find(|(number, _)| *number == target)
            .map(|(_, past)| past.as_slice())
            .unwrap_or_default();
        let of = |number: u64| {
            // The timeline whose log holds the segment: it ends within it, or later.
            let begin = number * self.segment;
            past.iter()
                .find(|(_, end)| end.0 > begin + self.segment - 1)
                .map_or(target, |(timeline, _)| *timeline)
        };
        let mut number = start.0 / self.segment;
        let there = |number: u64| {
            let own = of(number);
            // A file that a timeline began in is there under either name.
            self.segments.contains(&self.name(own, number))
                || past
                    .iter()
                    .any(|(other, _)| self.segments.contains(&self.name(*other, number)))
        };
        while there(number) {
            number += 1;
        }
        let end = Lsn(number * self.segment);
        let wanted = needed.is_none_or(|needed| needed > end);
        let later = self.segments.iter().rev().find(|name| {
            let high = u64::from_str_radix(&name[8..16], 16).unwrap_or(0);
            let low = u64::from_str_radix(&name[16..], 16).unwrap_or(0);
            let in_4_gib = ((1 << 32) / self.segment).max(1);
            name[..8] == format!("{:08X}", of(number).0) && high * in_4_gib + low > number
        });
        if let Some(later) = later.filter(|_| wanted) {
            return Err(Error::refused(format!(
                "the archive lacks {} and has {later}: recovery would end at {end}, before what comes later; \
                 find the file, or choose an earlier target",
                self.name(of(number), number)
            )));
        }
        Ok(end)
    }

    /// The files that no recovery needs that begins at a position.
    pub(super) fn before(&self, timeline: Timeline, start: Lsn) -> Vec<String> {
        let first = self.name(timeline, start.0 / self.segment);
        self.segments
            .iter()
            .filter(|name| name[8..] < first[8..] && name[..8] <= first[..8])
            .cloned()
            .collect()
    }
}

/// The lines of a history file.
fn past(text: &str) -> Vec<(Timeline, Lsn)> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let timeline = Timeline(words.next()?.parse().ok()?);
            Some((timeline, words.next()?.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn archive(names: &[&str], histories: &[(&str, &str)]) -> (tempfile::TempDir, Archive) {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        for (name, text) in histories {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let archive = Archive::read(dir.path(), MIB).unwrap();
        (dir, archive)
    }

    fn file(timeline: u32, number: u64) -> String {
        format!("{timeline:08X}{:08X}{:08X}", number / 4096, number % 4096)
    }

    #[test]
    fn a_gap_is_found() {
        let names = [file(1, 2), file(1, 3), file(1, 5)];
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (_dir, archive) = archive(&names, &[]);
        let end = |from: u64, needed| archive.end(Timeline(1), Lsn(from * MIB), needed);
        let refused = end(2, None).unwrap_err().to_string();
        assert!(refused.contains(&file(1, 4)), "{refused}");
        assert_eq!(end(2, Some(Lsn(3 * MIB))).unwrap(), Lsn(4 * MIB));
        assert!(end(2, Some(Lsn(5 * MIB))).is_err());
        assert_eq!(end(5, None).unwrap(), Lsn(6 * MIB));
        assert_eq!(end(9, None).unwrap(), Lsn(9 * MIB));
        assert_eq!(archive.before(Timeline(1), Lsn(3 * MIB)), [file(1, 2)]);
    }

    #[test]
    fn a_promotion_in_between() {
        let names = [file(1, 2), file(2, 3), file(2, 4)];
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let switch = format!("1\t0/{:X}\tx\n", 3 * MIB + 500);
        let (_dir, archive) = archive(&names, &[("00000002.history", &switch)]);
        let end = archive.end(Timeline(1), Lsn(2 * MIB), None).unwrap();
        assert_eq!(end, Lsn(5 * MIB));
        assert!(
            archive
                .before(Timeline(2), Lsn(4 * MIB))
                .contains(&file(1, 2))
        );
    }
}
