//! From what the nodes say and an act to what is written where, or why not. No I/O.

use uuid::Uuid;

use super::survey::Seen;
use crate::config::ShardConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{NodeId, NodeIndex, SystemId};
use crate::monitor::stored::StoredOrders;
use crate::topology::{Mode, OperatorAct, Relation};

/// What is to be written.
#[derive(Clone, Debug)]
pub(super) struct Decision {
    /// The state after the act: the same on every server that it is written on.
    pub(super) orders: StoredOrders,
    /// Whether the mode, and so its note, changes.
    pub(super) sets_mode: bool,
    /// The servers, by their place in the survey; the one where a reign begins comes first.
    pub(super) targets: Vec<usize>,
    /// Whether the first server begins a new reign.
    pub(super) begins: Option<Uuid>,
    /// Whether the writers in flight are waited for before anything is changed.
    pub(super) gate: bool,
    /// Whether COMMIT waits for no standby: what is urgent, and what decides who is primary, must not
    /// hang where no standby is.
    pub(super) local: bool,
    /// The node and system that the act names.
    pub(super) node: Option<NodeId>,
    pub(super) system: Option<SystemId>,
    pub(super) notes: Vec<String>,
}

fn refused(reason: impl Into<String>) -> Error {
    Error::refused(format!("{}: nothing was changed", reason.into()))
}

/// The node of an index, which the caller took from the same configuration.
fn name(shard: &ShardConfig, node: NodeIndex) -> Result<NodeId> {
    shard
        .nodes
        .get(node.index())
        .map(|node| node.id)
        .ok_or_else(|| Error::config("the shard has no such node"))
}

pub(super) fn decide(
    shard: &ShardConfig,
    seen: &[Seen],
    silent: &[(NodeId, Error)],
    act: OperatorAct,
    reign: Uuid,
) -> Result<Decision> {
    let writable: Vec<(usize, &Seen)> = seen
        .iter()
        .enumerate()
        .filter(|(_, seen)| !seen.standby)
        .collect();
    if writable.is_empty() {
        return Err(no_writable_node(silent));
    }
    let base = writable
        .iter()
        .map(|(_, seen)| &seen.stored)
        .max_by_key(|stored| stored.acts)
        .cloned()
        .unwrap_or_default();
    let number = number(seen, &writable);
    let mode = writable.iter().map(|(_, seen)| seen.mode()).max();
    let mut decision = Decision {
        orders: StoredOrders {
            acts: number,
            mode: mode.unwrap_or_default().as_str().to_owned(),
            ..base.clone()
        },
        sets_mode: false,
        targets: writable.iter().map(|(place, _)| *place).collect(),
        begins: None,
        gate: false,
        local: false,
        node: None,
        system: None,
        notes: silent
            .iter()
            .map(|(node, error)| {
                format!("node {node} is not told now, since it was not asked: {error}")
            })
            .collect(),
    };
    match act {
        OperatorAct::FenceNode(node) => fence_node(shard, seen, node, &mut decision)?,
        OperatorAct::UnfenceNode(node) => {
            let name = name(shard, node)?;
            let place = base.fenced_nodes.iter().position(|n| n == name.as_str());
            let place = place.ok_or_else(|| refused(format!("node {name} is not fenced")))?;
            decision.orders.fenced_nodes.remove(place);
            if place < decision.orders.fenced_reigns.len() {
                decision.orders.fenced_reigns.remove(place);
            }
            decision.node = Some(name);
        }
        OperatorAct::NamePrimary(node) => {
            let named = named(shard, seen, &writable, &base, node)?;
            begin(named, reign, &mut decision);
        }
        OperatorAct::AcceptWritesLost => {
            begin(survivor(&writable, &base)?, reign, &mut decision);
        }
        OperatorAct::AdoptIdentity { system } => {
            let adopted = adopted(seen, &writable, &base, system)?;
            begin(adopted, reign, &mut decision);
            decision.system = Some(system);
            decision.orders.system_identifier = Some(system.0 as i64);
        }
        _ => {
            let now = mode.unwrap_or_default();
            if let Some(next) = act.mode(now).map_err(refused)? {
                decision.orders.mode = next.as_str().to_owned();
                decision.sets_mode = true;
                decision.gate = matches!(next, Mode::ReadOnly | Mode::Drained);
                decision.local = next == Mode::Fenced;
            }
        }
    }
    Ok(decision)
}

/// The act's number: higher than that of any act that is known, and than that of one that is not. An act
/// can be lost in a failover, and there are processes that have seen it and heed it until they see a later
/// one. So numbers are not counted from those that are left; they are milliseconds since 1970 by the clocks
/// of the servers that will hold the act.
fn number(seen: &[Seen], writable: &[(usize, &Seen)]) -> u64 {
    let known = seen.iter().map(|seen| seen.stored.acts).max().unwrap_or(0);
    let clock = writable.iter().map(|(_, seen)| seen.clock).max();
    // pgshard.act has it as a bigint.
    const MOST: u64 = i64::MAX as u64;
    (known + 1).max(clock.unwrap_or(0)).min(MOST)
}

fn begin((place, seen): (usize, &Seen), reign: Uuid, decision: &mut Decision) {
    decision.node = Some(seen.node);
    decision.targets.retain(|target| *target != place);
    decision.targets.insert(0, place);
    decision.begins = Some(reign);
    decision.orders.chosen = Some(reign);
    decision.local = true;
}

fn fence_node(
    shard: &ShardConfig,
    seen: &[Seen],
    node: NodeIndex,
    decision: &mut Decision,
) -> Result<()> {
    let name = name(shard, node)?;
    let fenced = &mut decision.orders.fenced_nodes;
    if fenced.iter().any(|known| known == name.as_str()) {
        return Err(refused(format!("node {name} is fenced already")));
    }
    let writable = seen.iter().find(|seen| seen.index == node && !seen.standby);
    fenced.push(name.to_string());
    let reign = writable.map(|seen| seen.history.newest().id.0);
    decision
        .orders
        .fenced_reigns
        .resize(decision.orders.fenced_nodes.len() - 1, None);
    decision.orders.fenced_reigns.push(reign);
    decision.node = Some(name);
    decision.local = true;
    if writable.is_some() {
        decision.notes.push(format!(
            "node {name} is writable: the shard has no primary until another node is promoted"
        ));
    }
    Ok(())
}

/// The place of a node that is to be primary.
fn named<'a>(
    shard: &ShardConfig,
    seen: &[Seen],
    writable: &[(usize, &'a Seen)],
    base: &StoredOrders,
    node: NodeIndex,
) -> Result<(usize, &'a Seen)> {
    let name = name(shard, node)?;
    let (place, chosen) = writable
        .iter()
        .copied()
        .find(|(_, seen)| seen.index == node)
        .ok_or_else(|| {
            let answers = seen.iter().any(|seen| seen.index == node);
            let how = if answers {
                "is a standby: promote it first"
            } else {
                "does not answer as this shard's: start it first"
            };
            refused(format!("node {name} {how}"))
        })?;
    if base
        .fenced_nodes
        .iter()
        .any(|fenced| fenced == name.as_str())
    {
        return Err(refused(format!(
            "node {name} is fenced: end that first with `shardctl node unfence`"
        )));
    }
    if writable
        .iter()
        .any(|(_, other)| other.system != chosen.system)
    {
        return Err(refused(
            "the writable nodes come from different initdbs: confirm the right one with `shardctl shard \
             adopt`",
        ));
    }
    if let Some(system) = base.system()
        && system != chosen.system
    {
        return Err(refused(format!(
            "node {name} has system identifier {}, the confirmed one is {system}: `shardctl shard adopt` \
             would confirm another",
            chosen.system
        )));
    }
    let rival = writable.iter().any(|(other, _)| *other != place)
        || chosen.is_given_up(base.chosen)
        || seen.iter().any(|other| {
            matches!(
                other.history.relation(&chosen.history),
                Relation::Descendant | Relation::Forked
            )
        });
    if !rival && !chosen.needs_reign() {
        return Err(refused(format!(
            "node {name} is the primary already, and no other node says otherwise"
        )));
    }
    Ok((place, chosen))
}

/// The place of the only writable node, if it may lack writes.
fn survivor<'a>(writable: &[(usize, &'a Seen)], base: &StoredOrders) -> Result<(usize, &'a Seen)> {
    let left: Vec<(usize, &Seen)> = writable
        .iter()
        .copied()
        .filter(|(_, seen)| !seen.is_given_up(base.chosen))
        .collect();
    let [(place, survivor)] = left.as_slice() else {
        let names: Vec<String> = writable
            .iter()
            .map(|(_, seen)| seen.node.to_string())
            .collect();
        let message = format!(
            "nodes {} are writable: say which is right with `shardctl shard name-primary`; that accepts \
             what the others hold as lost",
            names.join(" and ")
        );
        return Err(Error::new(ErrorKind::Contested, message));
    };
    let newest = survivor.history.newest();
    if newest.parent.is_none() && !survivor.needs_reign() {
        return Err(refused(
            "there is nothing to accept: this shard never had another primary",
        ));
    }
    if base.chosen == Some(newest.id.0) && !survivor.needs_reign() {
        return Err(refused(
            "there is nothing to accept: an operator began the present reign, and no failover was since",
        ));
    }
    Ok((*place, survivor))
}

/// The place of the server whose identity is to be confirmed.
fn adopted<'a>(
    seen: &[Seen],
    writable: &[(usize, &'a Seen)],
    base: &StoredOrders,
    system: SystemId,
) -> Result<(usize, &'a Seen)> {
    if base.system() == Some(system) {
        return Err(refused(format!(
            "system identifier {system} is the confirmed one already"
        )));
    }
    let mut of = writable
        .iter()
        .copied()
        .filter(|(_, seen)| seen.system == system);
    match (of.next(), of.next()) {
        (Some(one), None) => Ok(one),
        (Some((_, one)), Some((_, two))) => Err(Error::new(
            ErrorKind::Contested,
            format!(
                "nodes {} and {} are both writable with system identifier {system}: stop the wrong one",
                one.node, two.node
            ),
        )),
        (None, _) => {
            let found: Vec<String> = seen
                .iter()
                .map(|seen| format!("{} has {}", seen.node, seen.system))
                .collect();
            Err(refused(format!(
                "no writable node has system identifier {system} ({})",
                found.join(", ")
            )))
        }
    }
}

fn no_writable_node(silent: &[(NodeId, Error)]) -> Error {
    let reasons: Vec<String> = silent.iter().map(|(_, error)| error.to_string()).collect();
    let reasons = if reasons.is_empty() {
        String::new()
    } else {
        format!(" ({})", reasons.join("; "))
    };
    Error::new(
        ErrorKind::Unavailable,
        format!(
            "no node takes writes, so that nothing can be stored: an act is kept by the servers, and a \
             standby cannot{reasons}. Start the primary or promote a replica, and run this again. Until \
             then writes wait or fail anyway; a node that must not be used, not even once it answers, \
             has to leave the topology file's list of nodes, and the processes must be restarted with that"
        ),
    )
}

#[cfg(test)]
mod tests;
