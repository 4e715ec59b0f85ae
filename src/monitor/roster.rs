//! Which member of a failover manager is which node: pure.
//!
//! A member is known by its name, whatever its address. The nodes of the configuration come first and
//! stay, with the address that was written there; members beyond those get a place of their own, and
//! find it again when they come back. When there is no room, a new one gets the place of the one that has
//! been gone for longest, if nothing is left of that.

use super::patroni::Member;
use crate::id::NodeIndex;

/// Members beyond the configured nodes that there may be at a time.
pub(super) const FOUND: usize = 16;

/// The nodes of one shard, by position.
#[derive(Debug)]
pub(super) struct Roster {
    places: Vec<Place>,
    configured: usize,
    /// Whether somebody was told that there is no room.
    told: bool,
    /// Counts the lists.
    lists: u64,
}

#[derive(Debug)]
struct Place {
    /// Its name in the configuration; none if it was found.
    id: Option<String>,
    /// The member's name, once it was seen.
    member: Option<String>,
    host: String,
    port: u16,
    listed: bool,
    /// The last list that it was in.
    seen: u64,
}

/// What a list of members changes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// This one needs a node, at the position after the last.
    Found(NodeIndex),
    /// This one is another member from now on.
    Replaced(NodeIndex),
    /// This one's address is another now.
    Moved(NodeIndex),
    /// It is a member.
    Listed(NodeIndex),
    /// It is a member no more.
    Gone(NodeIndex),
}

/// What comes of a list.
#[derive(Debug, Default)]
pub(super) struct Changes<'m> {
    /// In this order.
    pub(super) changes: Vec<(Change, Option<&'m Member>)>,
    /// Members for whom there is no room; only once.
    pub(super) turned_away: Vec<&'m Member>,
}

impl Roster {
    /// The configured nodes: name, host and port.
    pub(super) fn new(nodes: impl IntoIterator<Item = (String, String, u16)>) -> Self {
        let places: Vec<Place> = nodes
            .into_iter()
            .map(|(id, host, port)| Place {
                id: Some(id),
                member: None,
                host,
                port,
                listed: false,
                seen: 0,
            })
            .collect();
        Roster {
            configured: places.len(),
            places,
            told: false,
            lists: 0,
        }
    }

    /// The members that have been seen, and their nodes.
    #[cfg(feature = "etcd")]
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, NodeIndex)> {
        let places = self.places.iter().enumerate();
        places.filter_map(|(at, place)| Some((place.member.as_deref()?, index(at))))
    }

    /// Takes a list. While the name of a configured node does not resolve (`unresolved`), and no member is
    /// known to be that node, a member that is unknown may be it, and waits. `left` tells whether nothing is
    /// left of a node that is a member no more: neither its server, which may still take writes, nor what an
    /// operator said of it.
    pub(super) fn update<'m>(
        &mut self,
        members: &'m [Member],
        unresolved: &[usize],
        left: impl Fn(NodeIndex) -> bool,
    ) -> Changes<'m> {
        let mut out = Changes::default();
        self.lists += 1;
        for place in &mut self.places {
            place.listed = false;
        }
        for member in members {
            let Some(at) = self.find(member, members) else {
                let open = |at: &usize| {
                    let place = self.places.get(*at);
                    place.is_some_and(|place| place.member.is_none())
                };
                if unresolved.iter().any(open) {
                    continue;
                }
                let at = match self.places.len() < self.configured + FOUND {
                    true => self.places.len(),
                    false => match self.vacant(members, &left) {
                        Some(at) => at,
                        None => {
                            out.turned_away.push(member);
                            continue;
                        }
                    },
                };
                let node = index(at);
                let place = Place {
                    id: None,
                    member: Some(member.name.clone()),
                    host: member.host.clone(),
                    port: member.port,
                    listed: true,
                    seen: self.lists,
                };
                let change = match self.places.get_mut(at) {
                    Some(old) => {
                        *old = place;
                        Change::Replaced(node)
                    }
                    None => {
                        self.places.push(place);
                        Change::Found(node)
                    }
                };
                out.changes.push((change, Some(member)));
                out.changes.push((Change::Listed(node), Some(member)));
                continue;
            };
            let Some(place) = self.places.get_mut(at) else {
                continue;
            };
            place.listed = true;
            place.seen = self.lists;
            place.member = Some(member.name.clone());
            if place.id.is_none() && (&place.host, place.port) != (&member.host, member.port) {
                place.host.clone_from(&member.host);
                place.port = member.port;
                out.changes.push((Change::Moved(index(at)), Some(member)));
            }
            out.changes.push((Change::Listed(index(at)), Some(member)));
        }
        for (at, place) in self.places.iter().enumerate() {
            // A configured node is asked whether anybody lists it or not.
            if !place.listed && place.id.is_none() {
                out.changes.push((Change::Gone(index(at)), None));
            }
        }
        if std::mem::replace(&mut self.told, !out.turned_away.is_empty()) {
            out.turned_away.clear();
        }
        out
    }

    /// The place of the found member that has been gone for longest, if nothing is left of it.
    fn vacant(&self, members: &[Member], left: &impl Fn(NodeIndex) -> bool) -> Option<usize> {
        let gone = |place: &Place| {
            let named = |member: &Member| place.member.as_ref() == Some(&member.name);
            place.id.is_none() && !place.listed && !members.iter().any(named)
        };
        let places = self.places.iter().enumerate();
        places
            .filter(|(at, place)| gone(place) && left(index(*at)))
            .min_by_key(|(_, place)| place.seen)
            .map(|(at, _)| at)
    }

    /// The places from one on, all of them just given out, are found again with the next list.
    pub(super) fn forget(&mut self, from: NodeIndex) {
        self.places.truncate(from.index().max(self.configured));
    }

    /// Wherever a found node is in the next list, it has moved there.
    pub(super) fn misplace(&mut self, node: NodeIndex) {
        if let Some(place) = self.places.get_mut(node.index()) {
            place.host.clear();
        }
    }

    /// The member's place: by its name, else by the address of a configured node that no other member
    /// of the list has, as it is written or as it resolves. A server that was installed anew under
    /// another name is still that node.
    fn find(&self, member: &Member, members: &[Member]) -> Option<usize> {
        let is_free = |place: &Place| {
            let held = |name: &String| members.iter().any(|other| other.name == *name);
            place.id.is_some() && !place.member.as_ref().is_some_and(held)
        };
        let name = Some(member.name.as_str());
        let by = |test: &dyn Fn(&Place) -> bool| self.places.iter().position(test);
        by(&|place| place.member.as_deref() == name)
            .or_else(|| by(&|place| is_free(place) && place.id.as_deref() == name))
            .or_else(|| {
                by(&|place| {
                    is_free(place)
                        && place.port == member.port
                        && place.host.eq_ignore_ascii_case(&member.host)
                })
            })
            .or_else(|| {
                let free = |at: &usize| self.places.get(*at).is_some_and(is_free);
                member.alias.filter(free)
            })
    }
}

fn index(at: usize) -> NodeIndex {
    // A configuration has at most 64 nodes a shard.
    NodeIndex(u16::try_from(at).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Tags;

    fn member(name: &str, host: &str) -> Member {
        Member {
            name: name.to_owned(),
            host: host.to_owned(),
            port: 5432,
            api: None,
            tags: Tags::default(),
            alias: None,
        }
    }

    fn roster() -> Roster {
        let node = |id: &str, host: &str| (id.to_owned(), host.to_owned(), 5432);
        Roster::new([node("s0a", "db1"), node("s0b", "db2")])
    }

    fn changes(roster: &mut Roster, members: &[Member]) -> String {
        changes_if(roster, members, |_| true)
    }

    fn changes_if(
        roster: &mut Roster,
        members: &[Member],
        left: impl Fn(NodeIndex) -> bool,
    ) -> String {
        let out = roster.update(members, &[], left);
        let mut words: Vec<String> = out
            .changes
            .iter()
            .map(|(change, _)| match change {
                Change::Found(node) => format!("found {}", node.0),
                Change::Replaced(node) => format!("replaced {}", node.0),
                Change::Moved(node) => format!("moved {}", node.0),
                Change::Listed(node) => format!("listed {}", node.0),
                Change::Gone(node) => format!("gone {}", node.0),
            })
            .collect();
        if !out.turned_away.is_empty() {
            words.push(format!("{} away", out.turned_away.len()));
        }
        words.join(", ")
    }

    #[test]
    fn members_are_matched_by_name_then_by_address() {
        let mut roster = roster();
        let list = [member("s0b", "10.9.9.9"), member("pg-1", "DB1")];
        // A configured node keeps its configured address.
        assert_eq!(changes(&mut roster, &list), "listed 1, listed 0");
        // And the member its place, wherever it says it is.
        let list = [member("pg-1", "elsewhere"), member("pg-2", "db1")];
        assert_eq!(changes(&mut roster, &list), "listed 0, found 2, listed 2");
    }

    #[test]
    fn members_come_move_go_and_come_back() {
        let mut roster = roster();
        let (a, b) = (member("s0a", "db1"), member("s0b", "db2"));
        let c = |host: &str| member("s0c", host);
        let with = |host: &str| [a.clone(), b.clone(), c(host)];
        assert_eq!(
            changes(&mut roster, &[a.clone(), b.clone()]),
            "listed 0, listed 1"
        );
        assert_eq!(
            changes(&mut roster, &with("db3")),
            "listed 0, listed 1, found 2, listed 2"
        );
        assert_eq!(
            changes(&mut roster, &with("db4")),
            "listed 0, listed 1, moved 2, listed 2"
        );
        // Nobody lists the configured ones: they stay.
        assert_eq!(
            changes(&mut roster, std::slice::from_ref(&a)),
            "listed 0, gone 2"
        );
        assert_eq!(
            changes(&mut roster, &with("db4")),
            "listed 0, listed 1, listed 2"
        );
    }

    /// One server under two names would look like two primaries.
    #[test]
    fn a_member_at_a_configured_nodes_address_is_that_node() {
        let mut roster = roster();
        let mut list = [member("pg-1", "10.0.0.1"), member("pg-2", "10.0.0.2")];
        let out = roster.update(&list, &[0, 1], |_| true);
        assert!(
            out.changes.is_empty(),
            "nothing is known of the configured names"
        );
        list[0].alias = Some(0);
        let out = roster.update(&list, &[1], |_| true);
        assert_eq!(out.changes.len(), 1, "the other one may be s0b");
        list[1].alias = Some(1);
        assert_eq!(changes(&mut roster, &list), "listed 0, listed 1");
    }

    #[test]
    fn a_server_that_was_renamed_is_the_same_node() {
        let mut roster = roster();
        let a = member("pg-1", "db1");
        let mut b = member("pg-2", "10.0.0.2");
        b.alias = Some(1);
        let list = [a, b.clone()];
        assert_eq!(changes(&mut roster, &list), "listed 0, listed 1");
        let list = [member("pg-3", "db1"), b];
        assert_eq!(changes(&mut roster, &list), "listed 0, listed 1");
        let mut renamed = member("pg-4", "10.0.0.2");
        renamed.alias = Some(1);
        let list = [member("pg-3", "db1"), renamed];
        assert_eq!(changes(&mut roster, &list), "listed 0, listed 1");
        // Whoever is listed keeps its place.
        let list = [member("pg-3", "elsewhere"), member("pg-5", "db1")];
        assert_eq!(changes(&mut roster, &list), "listed 0, found 2, listed 2");
    }

    #[test]
    fn what_was_not_taken_comes_again() {
        let mut roster = roster();
        let list = [member("m", "db3"), member("n", "db4")];
        let all = "found 2, listed 2, found 3, listed 3";
        assert_eq!(changes(&mut roster, &list), all);
        roster.forget(NodeIndex(2));
        assert_eq!(changes(&mut roster, &list), all);
        roster.forget(NodeIndex(3));
        assert_eq!(changes(&mut roster, &list), "listed 2, found 3, listed 3");
        let list = [member("m", "db5"), member("n", "db4")];
        let moved = "moved 2, listed 2, listed 3";
        assert_eq!(changes(&mut roster, &list), moved);
        roster.misplace(NodeIndex(2));
        assert_eq!(changes(&mut roster, &list), moved);
        assert_eq!(changes(&mut roster, &list), "listed 2, listed 3");
    }

    #[test]
    fn there_is_an_end_to_them() {
        let mut roster = roster();
        let crowd: Vec<_> = (0..20).map(|n| member(&format!("m{n}"), "h")).collect();
        assert!(changes(&mut roster, &crowd).ends_with("listed 17, 4 away"));
        assert!(!changes(&mut roster, &crowd).contains("away"), "told once");
        let few = &crowd[..2];
        assert!(changes(&mut roster, few).contains("listed 2, listed 3, gone 4"));
    }

    #[test]
    fn who_left_for_good_makes_room() {
        let mut roster = roster();
        let crowd: Vec<_> = (0..18).map(|n| member(&format!("m{n}"), "h")).collect();
        assert!(changes(&mut roster, &crowd[..16]).ends_with("found 17, listed 17"));
        // One leaves, and then another one; each may still be running.
        let without = |gone: &[usize], new: &[usize]| -> Vec<Member> {
            let stay = (0..16).filter(|n| !gone.contains(n));
            stay.chain(new.iter().copied())
                .map(|n| crowd[n].clone())
                .collect()
        };
        changes(&mut roster, &without(&[5], &[]));
        changes(&mut roster, &without(&[5, 3], &[]));
        let list = without(&[5, 3], &[16]);
        let still = changes_if(&mut roster, &list, |_| false);
        assert!(
            still.contains("away") && !still.contains("replaced"),
            "{still}"
        );
        // The one that has been gone for longest makes room, and who comes back has lost its place.
        let first = changes(&mut roster, &list);
        assert!(first.contains("replaced 7, listed 7, gone 5"), "{first}");
        let second = changes(&mut roster, &without(&[5, 3], &[16, 17]));
        assert!(
            second.contains("listed 7, replaced 5, listed 5"),
            "{second}"
        );
        let late = changes(&mut roster, &without(&[3], &[16, 17]));
        assert!(late.ends_with("1 away"), "{late}");
        assert_eq!(roster.places.len(), 18);
    }
}
