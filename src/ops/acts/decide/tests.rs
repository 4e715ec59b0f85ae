use super::*;
use crate::id::{Lsn, ReignId, ShardId, Timeline};
use crate::topology::{Reign, ReignHistory};

fn shard() -> ShardConfig {
    let node = |name: &str| crate::config::NodeConfig {
        id: NodeId::new(name).unwrap(),
        host: "127.0.0.1".into(),
        port: 5432,
        proxy: None,
    };
    ShardConfig {
        id: ShardId::new("s0").unwrap(),
        patroni: None,
        nodes: vec![node("a"), node("b"), node("c")],
    }
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// A node with these reigns, each the parent of the next, on the timeline of the last.
fn node(index: u16, standby: bool, reigns: &[u128]) -> Seen {
    let rows = reigns.iter().enumerate().map(|(at, n)| Reign {
        id: ReignId(id(*n)),
        parent: at.checked_sub(1).map(|at| ReignId(id(reigns[at]))),
        timeline: Timeline(at as u32 + 1),
        start: Lsn(at as u64 * 100),
    });
    Seen {
        index: NodeIndex(index),
        node: shard().nodes[usize::from(index)].id,
        standby,
        system: SystemId(1),
        timeline: Timeline(reigns.len() as u32),
        lsn: Lsn(1000),
        history: ReignHistory::new(rows.collect()).unwrap(),
        clock: 0,
        stored: StoredOrders::default(),
    }
}

fn with(mut seen: Seen, change: impl FnOnce(&mut Seen)) -> Seen {
    change(&mut seen);
    seen
}

fn run(seen: &[Seen], act: OperatorAct) -> Result<Decision> {
    decide(&shard(), seen, &[], act, id(99))
}

fn reason(seen: &[Seen], act: OperatorAct) -> String {
    run(seen, act).unwrap_err().to_string()
}

#[test]
fn without_a_writable_node_nothing_can_be_stored() {
    let error = run(&[node(0, true, &[1])], OperatorAct::Fence).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("topology file"), "{error}");
}

#[test]
fn modes_go_to_every_writable_node_with_the_next_number() {
    let mut nodes = [
        node(0, false, &[1]),
        node(1, true, &[1]),
        node(2, false, &[1, 2]),
    ];
    nodes[2].stored.acts = 7;
    nodes[2].stored.fenced_nodes = vec!["b".into()];
    nodes[2].stored.fenced_reigns = vec![None];
    nodes[0].stored.acts = 3;
    nodes[0].stored.mode = "drained".into();
    let decision = run(&nodes, OperatorAct::Fence).unwrap();
    assert_eq!(decision.targets, [0, 2]);
    assert_eq!(decision.orders.acts, 8);
    assert_eq!(decision.orders.mode, "fenced");
    assert_eq!(decision.orders.fenced_nodes, ["b"], "what held still holds");
    assert!(decision.local && !decision.gate && decision.sets_mode);
    // The strictest counts as the present mode.
    assert!(reason(&nodes, OperatorAct::Drain).contains("drained already"));
    assert!(run(&nodes, OperatorAct::ReadOnly).unwrap().gate);
}

#[test]
fn a_number_is_never_used_again() {
    // An act with a number up to 5,000 may have been made, and be lost.
    let mut nodes = [
        with(node(0, false, &[1]), |seen| seen.clock = 5000),
        with(node(1, true, &[1]), |seen| seen.clock = 9000),
    ];
    assert_eq!(run(&nodes, OperatorAct::Fence).unwrap().orders.acts, 5000);
    // A clock that goes back, or differs, takes no number away.
    nodes[1].stored.acts = 6000;
    assert_eq!(run(&nodes, OperatorAct::Fence).unwrap().orders.acts, 6001);
}

#[test]
fn another_act_keeps_the_strictest_mode() {
    let mut nodes = [node(0, false, &[1]), node(1, false, &[1, 2])];
    nodes[0].stored.mode = "fenced".into();
    let decision = run(&nodes, OperatorAct::FenceNode(NodeIndex(2))).unwrap();
    assert_eq!(decision.orders.mode, "fenced");
    assert!(!decision.sets_mode);
}

#[test]
fn nodes_are_fenced_and_unfenced() {
    let nodes = [node(0, false, &[1, 2]), node(1, true, &[1, 2])];
    let decision = run(&nodes, OperatorAct::FenceNode(NodeIndex(0))).unwrap();
    assert_eq!(decision.orders.fenced_nodes, ["a"]);
    assert_eq!(decision.orders.fenced_reigns, [Some(id(2))]);
    assert!(decision.notes[0].contains("no primary"), "{decision:?}");
    let fenced = [with(node(0, false, &[1, 2]), |seen| {
        seen.stored = decision.orders.clone();
    })];
    assert!(reason(&fenced, OperatorAct::FenceNode(NodeIndex(0))).contains("already"));
    let standby = run(&fenced, OperatorAct::FenceNode(NodeIndex(1))).unwrap();
    assert_eq!(standby.orders.fenced_reigns, [Some(id(2)), None]);
    let again = run(&fenced, OperatorAct::UnfenceNode(NodeIndex(0))).unwrap();
    assert!(again.orders.fenced_nodes.is_empty() && again.orders.fenced_reigns.is_empty());
    assert!(reason(&fenced, OperatorAct::UnfenceNode(NodeIndex(1))).contains("is not fenced"));
}

#[test]
fn the_primary_is_named_where_that_is_in_doubt() {
    let two = [node(0, false, &[1, 2]), node(1, false, &[1, 3])];
    let decision = run(&two, OperatorAct::NamePrimary(NodeIndex(1))).unwrap();
    assert_eq!(decision.targets, [1, 0], "the named one first");
    assert_eq!(decision.begins, Some(id(99)));
    assert_eq!(decision.orders.chosen, Some(id(99)));

    let one = [node(0, false, &[1, 2]), node(1, true, &[1, 2])];
    assert!(reason(&one, OperatorAct::NamePrimary(NodeIndex(0))).contains("primary already"));
    assert!(reason(&one, OperatorAct::NamePrimary(NodeIndex(1))).contains("a standby"));
    assert!(reason(&one, OperatorAct::NamePrimary(NodeIndex(2))).contains("does not answer"));
    // A standby holds a reign that it lacks.
    let behind = [node(0, false, &[1, 2]), node(1, true, &[1, 2, 3])];
    assert!(run(&behind, OperatorAct::NamePrimary(NodeIndex(0))).is_ok());
    // The first choice is taken back.
    let given_up = [with(node(0, false, &[1, 2]), |seen| {
        seen.stored.chosen = Some(id(5));
    })];
    assert!(run(&given_up, OperatorAct::NamePrimary(NodeIndex(0))).is_ok());
    let mixed = [
        node(0, false, &[1]),
        with(node(1, false, &[1]), |seen| seen.system = SystemId(2)),
    ];
    assert!(reason(&mixed, OperatorAct::NamePrimary(NodeIndex(0))).contains("initdbs"));
}

#[test]
fn losses_are_accepted_where_there_may_be_some() {
    let act = OperatorAct::AcceptWritesLost;
    assert!(reason(&[node(0, false, &[1])], act).contains("never had another primary"));
    let promoted = with(node(0, false, &[1]), |seen| seen.timeline = Timeline(2));
    assert_eq!(run(&[promoted], act).unwrap().begins, Some(id(99)));
    assert!(run(&[node(0, false, &[1, 2])], act).is_ok());
    let accepted = with(node(0, false, &[1, 2]), |seen| {
        seen.stored.chosen = Some(id(2));
    });
    assert!(reason(&[accepted], act).contains("nothing to accept"));
    let two = [node(0, false, &[1, 2]), node(1, false, &[1, 3])];
    assert_eq!(run(&two, act).unwrap_err().kind(), ErrorKind::Contested);
}

#[test]
fn identities_are_adopted_where_a_server_has_them() {
    let adopt = |system| OperatorAct::AdoptIdentity {
        system: SystemId(system),
    };
    let nodes = [
        with(node(0, false, &[1]), |seen| seen.system = SystemId(2)),
        node(1, false, &[1]),
    ];
    let decision = run(&nodes, adopt(2)).unwrap();
    assert_eq!(decision.targets, [0, 1]);
    assert_eq!(decision.orders.system_identifier, Some(2));
    assert!(reason(&nodes, adopt(9)).contains("a has 2, b has 1"));
    let confirmed = [with(node(0, false, &[1]), |seen| {
        seen.stored.system_identifier = Some(1);
    })];
    assert!(reason(&confirmed, adopt(1)).contains("already"));
    let twice = [node(0, false, &[1]), node(1, false, &[1])];
    assert_eq!(
        run(&twice, adopt(1)).unwrap_err().kind(),
        ErrorKind::Contested
    );
}
