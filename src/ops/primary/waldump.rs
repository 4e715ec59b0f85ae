//! What a log holds after a position, from `pg_waldump`.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::Lsn;

/// A table in a log, as the log names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct File {
    pub(super) tablespace: u32,
    pub(super) database: u32,
    pub(super) filenode: u32,
}

/// How many rows of a table were changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) inserted: u64,
    pub(super) updated: u64,
    pub(super) deleted: u64,
}

/// A transaction that was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) at: String,
}

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Log {
    pub(super) commits: Vec<Commit>,
    /// Their numbers, and those of their subtransactions.
    pub(super) xids: BTreeSet<u32>,
    /// How many were prepared, and neither committed nor rolled back.
    pub(super) prepared: u64,
    /// The changes of those transactions.
    pub(super) changes: BTreeMap<File, Counts>,
    /// Where the last record begins.
    pub(super) last: Option<Lsn>,
    /// Whether there was more than was read.
    pub(super) cut: bool,
    /// Why it could not be read at all.
    pub(super) failed: Option<String>,
}

/// Reads `pg_waldump`'s lines, at most `limit` of them.
pub(super) fn parse(text: &str, limit: usize) -> Log {
    let mut log = Log::default();
    let mut changes: Vec<(u32, File, Counts)> = Vec::new();
    let mut prepared = BTreeSet::new();
    let mut lines = text.lines();
    for line in lines.by_ref().take(limit) {
        if !line.starts_with("rmgr:") {
            // It ends where the log ends, with a complaint about what it does not find there.
            let empty = line.contains("could not find a valid record after");
            if log.last.is_none() && line.contains("error:") && !empty {
                log.failed = Some(line.to_owned());
            }
            continue;
        }
        let Some((head, desc)) = line.split_once("desc: ") else {
            continue;
        };
        let field = |name: &str| {
            let rest = head.split_once(name)?.1.trim_start();
            rest.split([',', ' ']).next()
        };
        log.last = field("lsn:").and_then(|lsn| lsn.parse().ok()).or(log.last);
        log.failed = None;
        let Some(xid) = field("tx:").and_then(|xid| xid.parse::<u32>().ok()) else {
            continue;
        };
        // COMMIT 2026-…; subxacts: 744 745, and COMMIT_PREPARED 743: 2026-…
        let committed = desc.strip_prefix("COMMIT ").map(|rest| (xid, rest));
        let decided = |kind: &str| {
            let (xid, rest) = desc.strip_prefix(kind)?.split_once(':')?;
            Some((xid.trim().parse::<u32>().ok()?, rest))
        };
        if let Some((xid, rest)) = committed.or_else(|| decided("COMMIT_PREPARED ")) {
            prepared.remove(&xid);
            let mut parts = rest.split(';').map(str::trim);
            let at = parts.next().unwrap_or_default().to_owned();
            log.commits.push(Commit { at });
            log.xids.insert(xid);
            // Subtransactions commit with their top one.
            let lists = parts.filter_map(|part| part.strip_prefix("subxacts:"));
            let listed = lists.flat_map(str::split_whitespace);
            log.xids
                .extend(listed.filter_map(|xid| xid.parse::<u32>().ok()));
            continue;
        }
        if let Some((xid, _)) = decided("ABORT_PREPARED ") {
            prepared.remove(&xid);
            continue;
        }
        if desc.starts_with("PREPARE gid ") {
            prepared.insert(xid);
            continue;
        }
        let mut counts = Counts::default();
        match desc.split([' ', '+']).next() {
            Some("INSERT") => counts.inserted = 1,
            Some("MULTI_INSERT") => counts.inserted = tuples(desc),
            Some("UPDATE" | "HOT_UPDATE") => counts.updated = 1,
            Some("DELETE") => counts.deleted = 1,
            _ => continue,
        }
        if head.starts_with("rmgr: Heap")
            && let Some(file) = file(desc)
        {
            changes.push((xid, file, counts));
        }
    }
    log.cut = lines.next().is_some();
    for (xid, file, counts) in changes {
        if log.xids.contains(&xid) {
            let sum = log.changes.entry(file).or_default();
            sum.inserted += counts.inserted;
            sum.updated += counts.updated;
            sum.deleted += counts.deleted;
        }
    }
    log.prepared = prepared.len().try_into().unwrap_or(u64::MAX);
    log
}

/// `MULTI_INSERT 3 tuples …`, or `MULTI_INSERT ntuples: 3, …` since PostgreSQL 16.
fn tuples(desc: &str) -> u64 {
    let rest = desc.split_once("INSERT").map_or("", |(_, rest)| rest);
    let digits = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit());
    digits
        .get(..end.unwrap_or(digits.len()))
        .and_then(|number| number.parse().ok())
        .unwrap_or(1)
}

/// `blkref #0: rel 1663/16384/16385 blk 0`.
fn file(desc: &str) -> Option<File> {
    let rest = desc.split_once("blkref #0: rel ")?.1;
    let mut parts = rest.split(' ').next()?.split('/');
    let mut next = || parts.next()?.parse().ok();
    Some(File {
        tablespace: next()?,
        database: next()?,
        filenode: next()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "\
pg_waldump: first record is after 0/3000150, at 0/3000188, skipping over 56 bytes
rmgr: Heap        len (rec/tot):     54/   198, tx:        736, lsn: 0/03000188, prev 0/03000150, desc: INSERT off 3 flags 0x08, blkref #0: rel 1663/16384/16385 blk 0 FPW
rmgr: Heap        len (rec/tot):     69/    69, tx:        736, lsn: 0/03000250, prev 0/03000188, desc: HOT_UPDATE off 1 xmax 736 flags 0x20 ; new off 4 xmax 0, blkref #0: rel 1663/16384/16385 blk 0
rmgr: Heap2       len (rec/tot):     69/    69, tx:        736, lsn: 0/03000298, prev 0/03000250, desc: MULTI_INSERT+INIT 3 tuples flags 0x02, blkref #0: rel 1663/16384/16390 blk 0
rmgr: Transaction len (rec/tot):     46/    46, tx:        736, lsn: 0/030002E0, prev 0/03000298, desc: COMMIT 2026-11-26 15:40:09.123 UTC
rmgr: Heap        len (rec/tot):     54/   198, tx:        737, lsn: 0/03000310, prev 0/030002E0, desc: DELETE off 3 flags 0x00 KEYS_UPDATED , blkref #0: rel 1663/16384/16385 blk 0
rmgr: Transaction len (rec/tot):     34/    34, tx:        737, lsn: 0/03000358, prev 0/03000310, desc: ABORT 2026-11-26 15:40:10 UTC
pg_waldump: error: error in WAL record at 0/3000358: invalid record length at 0/3000380: wanted 24, got 0
";

    #[test]
    fn committed_changes_are_counted() {
        let log = parse(DUMP, 1000);
        assert_eq!(log.commits.len(), 1);
        assert_eq!(Vec::from_iter(log.xids.clone()), [736]);
        assert_eq!(log.commits[0].at, "2026-11-26 15:40:09.123 UTC");
        let counts: Vec<_> = log.changes.values().copied().collect();
        let of = |inserted, updated, deleted| Counts {
            inserted,
            updated,
            deleted,
        };
        assert_eq!(counts, [of(1, 1, 0), of(3, 0, 0)]);
        assert_eq!(log.last, Some(Lsn(0x300_0358)));
        assert!(!log.cut && log.failed.is_none());
        assert!(parse(DUMP, 3).cut);
    }

    #[test]
    fn what_is_prepared_and_what_is_in_savepoints() {
        let line = |xid: u32, desc: &str| {
            format!(
                "rmgr: Transaction len (rec/tot): 46/ 46, tx: {xid}, lsn: 0/030002E0, prev 0/0, desc: {desc}\n"
            )
        };
        let text = [
            line(740, "PREPARE gid a b: 2026-11-27 15:40:09 UTC"),
            line(741, "PREPARE gid b: 2026-11-27 15:40:09 UTC"),
            line(742, "PREPARE gid c: 2026-11-27 15:40:09 UTC"),
            line(
                0,
                "COMMIT_PREPARED 741: 2026-11-27 15:41:09.1 UTC; subxacts: 750 751",
            ),
            line(0, "ABORT_PREPARED 742: 2026-11-27 15:41:09 UTC"),
            line(
                743,
                "COMMIT 2026-11-27 15:42:09 UTC; subxacts: 744 745; inval msgs: catcache 1",
            ),
        ];
        let log = parse(&text.concat(), 100);
        assert_eq!(log.prepared, 1);
        assert_eq!(log.commits[0].at, "2026-11-27 15:41:09.1 UTC");
        assert_eq!(Vec::from_iter(log.xids), [741, 743, 744, 745, 750, 751]);
    }

    #[test]
    fn a_log_that_is_gone_is_said_to_be() {
        let text = "pg_waldump: error: could not find file \"000000010000000000000003\"\n";
        assert!(parse(text, 10).failed.is_some());
        let text = "pg_waldump: error: could not find a valid record after 0/ED0688\n";
        assert_eq!(parse(text, 10), Log::default());
        assert_eq!(tuples("MULTI_INSERT ntuples: 12, flags: 0x02"), 12);
    }
}
