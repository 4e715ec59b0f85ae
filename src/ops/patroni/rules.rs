//! What may be asked of a Patroni: pure.

use serde_json::Value;

use crate::error::{Error, Result};

use super::{Member, View};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Act {
    /// To hand the leader's role to a member; to the best one, if none is named.
    Switchover {
        /// The member.
        to: Option<String>,
    },
    /// To make a member the leader, where there is none.
    Failover {
        /// The member.
        to: String,
    },
    /// To restart a member's server.
    Restart {
        /// The member.
        member: String,
        /// Only if a setting waits for it.
        if_pending: bool,
    },
    /// To copy a member anew from the leader.
    Reinit {
        /// The member.
        member: String,
    },
    /// To fail over no more.
    Pause,
    /// To go on.
    Resume,
}

/// What is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How many bytes a new leader may be behind. Where COMMIT waits for standbys, it has to be one of them too.
    pub max_lag: u64,
    /// Accept that what was acknowledged may be lost.
    pub allow_loss: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_lag: 1 << 20,
            allow_loss: false,
        }
    }
}

/// Checks an act; a switchover to whoever is best becomes one to a member.
pub(super) fn check(act: Act, view: &View, settings: &Value, limits: &Limits) -> Result<Act> {
    match act {
        Act::Switchover { to } => {
            let leader = view.leader().ok_or_else(|| {
                Error::refused("there is no leader to hand over: shardctl patroni failover")
            })?;
            if !leader.is_running() {
                return Err(Error::refused(format!(
                    "the server of leader {} is {}: it cannot hand over cleanly; shardctl patroni failover, \
                     once Patroni has given it up",
                    leader.name, leader.state
                )));
            }
            let to = match to {
                Some(name) => named(view, &name)?,
                None => best(view, settings, limits)?,
            };
            candidate(to, view, settings, limits)?;
            Ok(Act::Switchover {
                to: Some(to.name.clone()),
            })
        }
        Act::Failover { to } => {
            if let Some(leader) = view.leader()
                && leader.is_running()
            {
                return Err(Error::refused(format!(
                    "{} leads, and its server runs: shardctl patroni switchover loses nothing",
                    leader.name
                )));
            }
            candidate(named(view, &to)?, view, settings, limits)?;
            Ok(Act::Failover { to })
        }
        Act::Restart { member, if_pending } => {
            let found = named(view, &member)?;
            if if_pending && !found.pending_restart {
                return Err(Error::refused(format!(
                    "no setting of {member} waits for a restart"
                )));
            }
            Ok(Act::Restart { member, if_pending })
        }
        Act::Reinit { member } => {
            let found = named(view, &member)?;
            if found.leads() {
                return Err(Error::refused(format!(
                    "{member} leads: what it has would be erased; switch over first"
                )));
            }
            if view.leader().is_none() {
                return Err(Error::refused(
                    "there is no leader to copy from, and what would be erased may be the newest",
                ));
            }
            let others = |other: &&Member| other.name != member && other.is_synchronous();
            if strict(settings)
                && found.is_synchronous()
                && view.members.iter().filter(others).count() == 0
            {
                return Err(Error::refused(format!(
                    "{member} is the only synchronous standby, and COMMIT waits for one: each would wait until \
                     the copy is made. Add another one first"
                )));
            }
            Ok(Act::Reinit { member })
        }
        Act::Pause if view.pause => Err(Error::refused("Patroni is paused already")),
        Act::Resume if !view.pause => Err(Error::refused("Patroni is not paused")),
        other => Ok(other),
    }
}

fn named<'v>(view: &'v View, name: &str) -> Result<&'v Member> {
    view.member(name).ok_or_else(|| {
        let names: Vec<&str> = view.members.iter().map(|m| m.name.as_str()).collect();
        Error::config(format!(
            "Patroni has no member {name:?}; it has {}",
            names.join(", ")
        ))
    })
}

/// Whether COMMIT waits for standbys.
fn synchronous(settings: &Value) -> bool {
    match settings.get("synchronous_mode") {
        Some(Value::Bool(on)) => *on,
        Some(Value::String(word)) => ["on", "true", "quorum"].contains(&word.as_str()),
        _ => false,
    }
}

fn strict(settings: &Value) -> bool {
    let strict = settings.get("synchronous_mode_strict");
    synchronous(settings) && strict.and_then(Value::as_bool) == Some(true)
}

fn candidate(to: &Member, view: &View, settings: &Value, limits: &Limits) -> Result<()> {
    let name = &to.name;
    let refused = |text: String| Err(Error::refused(text));
    if to.leads() {
        return refused(format!("{name} leads already"));
    }
    if !to.is_running() {
        return refused(format!("the server of {name} is {}", to.state));
    }
    if to.tagged("nofailover") {
        return refused(format!(
            "{name} has the tag nofailover: it is never to lead"
        ));
    }
    if limits.allow_loss {
        return Ok(());
    }
    if synchronous(settings) && !to.is_synchronous() {
        return refused(format!(
            "{name} is a {}, for which no COMMIT waits: what was acknowledged may be lost. Name a synchronous \
             standby, or pass --allow-loss",
            to.role
        ));
    }
    if let (Some(ours), Some(theirs)) = (to.timeline, view.leader().and_then(|l| l.timeline))
        && ours != theirs
    {
        return refused(format!(
            "{name} is on timeline {ours}, and the leader on {theirs}: it does not follow"
        ));
    }
    match to.lag {
        Some(lag) if lag <= limits.max_lag => Ok(()),
        Some(lag) => refused(format!(
            "{name} is {lag} bytes behind, and {} are allowed: wait, or pass --max-lag",
            limits.max_lag
        )),
        None => refused(format!(
            "Patroni does not know how far {name} is behind: wait until it does, or pass --allow-loss"
        )),
    }
}

fn best<'v>(view: &'v View, settings: &Value, limits: &Limits) -> Result<&'v Member> {
    let fits = |member: &&Member| candidate(member, view, settings, limits).is_ok();
    let found = view.members.iter().filter(fits);
    found
        .min_by_key(|member| (!member.is_synchronous(), member.lag))
        .ok_or_else(|| {
            let reasons: Vec<String> = view
                .members
                .iter()
                .filter(|member| !member.leads())
                .filter_map(|member| candidate(member, view, settings, limits).err())
                .map(|error| error.message().to_owned())
                .collect();
            Error::refused(format!(
                "no member may take over: {}",
                match reasons.is_empty() {
                    true => "there is only the leader".to_owned(),
                    false => reasons.join("; "),
                }
            ))
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn view(change: impl FnOnce(&mut Value)) -> View {
        let mut text = json!({"scope": "s0", "members": [
            {"name": "a", "role": "leader", "state": "running", "timeline": 3},
            {"name": "b", "role": "sync_standby", "state": "streaming", "timeline": 3, "lag": 0},
            {"name": "c", "role": "replica", "state": "streaming", "timeline": 3, "lag": 4194304},
        ]});
        change(&mut text);
        View::parse(&text).unwrap()
    }

    fn reason(act: Act, view: &View, settings: Value) -> String {
        let refused = check(act, view, &settings, &Limits::default());
        refused.unwrap_err().message().to_owned()
    }

    fn to(name: &str) -> Act {
        Act::Switchover {
            to: Some(name.into()),
        }
    }

    #[test]
    fn the_best_takes_over() {
        let found = check(
            Act::Switchover { to: None },
            &view(|_| ()),
            &json!({}),
            &Limits::default(),
        );
        assert_eq!(found.unwrap(), to("b"));
    }

    #[test]
    fn who_may_not_lead_is_refused_with_the_reason() {
        let same = view(|_| ());
        let sync = json!({"synchronous_mode": true});
        assert!(reason(to("c"), &same, sync.clone()).contains("--allow-loss"));
        assert!(reason(to("c"), &same, json!({})).contains("4194304 bytes behind"));
        assert!(reason(to("a"), &same, json!({})).contains("already"));
        assert!(reason(to("x"), &same, json!({})).contains("a, b, c"));
        let tagged = view(|v| v["members"][1]["tags"] = json!({"nofailover": true}));
        assert!(reason(to("b"), &tagged, json!({})).contains("nofailover"));
        let unknown = view(|v| v["members"][1]["lag"] = json!("unknown"));
        assert!(reason(to("b"), &unknown, json!({})).contains("does not know"));
        let behind = view(|v| v["members"][1]["timeline"] = json!(2));
        assert!(reason(to("b"), &behind, json!({})).contains("timeline 2"));
        assert!(reason(Act::Switchover { to: None }, &behind, sync).contains("no member"));
        let limits = Limits {
            allow_loss: true,
            ..Limits::default()
        };
        check(
            to("c"),
            &same,
            &json!({"synchronous_mode": "quorum"}),
            &limits,
        )
        .unwrap();
    }

    #[test]
    fn a_failover_needs_a_dead_leader_and_a_switchover_a_live_one() {
        let failover = || Act::Failover { to: "b".into() };
        assert!(reason(failover(), &view(|_| ()), json!({})).contains("switchover"));
        let dead = view(|v| v["members"][0]["role"] = json!("replica"));
        assert!(reason(to("b"), &dead, json!({})).contains("failover"));
        check(failover(), &dead, &json!({}), &Limits::default()).unwrap();
    }

    #[test]
    fn nothing_is_erased_that_is_needed() {
        let reinit = |name: &str| Act::Reinit {
            member: name.into(),
        };
        let same = view(|_| ());
        assert!(reason(reinit("a"), &same, json!({})).contains("erased"));
        let strict = json!({"synchronous_mode": true, "synchronous_mode_strict": true});
        assert!(reason(reinit("b"), &same, strict.clone()).contains("only synchronous"));
        check(reinit("c"), &same, &strict, &Limits::default()).unwrap();
        assert!(reason(Act::Resume, &same, json!({})).contains("not paused"));
        let paused = view(|v| v["pause"] = json!(true));
        assert!(reason(Act::Pause, &paused, json!({})).contains("already"));
    }
}
