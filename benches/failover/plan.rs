//! What is to be run, from the command line.

use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Kill,
    Hang,
    Switchover,
}

/// Who tells pgshard about the primary. It is one of them in a run: a client that has adopted a
/// primary tells all others by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The nodes alone.
    Nodes,
    /// Patroni, too.
    Patroni,
    /// etcd, too.
    Etcd,
}

pub(crate) struct Plan {
    pub(crate) failovers: usize,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) told: Told,
    /// Whoever has not written on the new primary so long after it was ready has not got there.
    pub(crate) within: Duration,
}

impl Plan {
    pub(crate) fn from_args() -> Plan {
        let arguments: Vec<String> = std::env::args().collect();
        let value = |name: &str| {
            let at = arguments.iter().position(|argument| argument == name)?;
            arguments.get(at + 1).cloned()
        };
        let kinds = value("--kinds").unwrap_or_else(|| "kill,hang,switchover".to_owned());
        let told = value("--told").unwrap_or_else(|| "etcd".to_owned());
        let number = |name: &str, default: u64| {
            value(name).map_or(default, |n| n.parse().expect("a number"))
        };
        Plan {
            told: match told.as_str() {
                "nodes" => Told::Nodes,
                "patroni" => Told::Patroni,
                "etcd" => Told::Etcd,
                other => panic!("{other} is not nodes, patroni or etcd"),
            },
            failovers: number("--failovers", 20) as usize,
            within: Duration::from_secs(number("--within", 10)),
            kinds: kinds
                .split(',')
                .map(|kind| match kind {
                    "kill" => Kind::Kill,
                    "hang" => Kind::Hang,
                    "switchover" => Kind::Switchover,
                    other => panic!("{other} is not kill, hang or switchover"),
                })
                .collect(),
        }
    }
}
