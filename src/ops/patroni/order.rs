//! One request to Patroni, and what it has to have done.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::config::HttpUrl;
use crate::error::{Error, ErrorKind, Result};

use super::rules::check;
use super::{Act, Limits, PATIENCE, Patroni, View};

/// So long the old leader is waited for, once another one leads.
const SETTLING: Duration = Duration::from_secs(30);

/// So long a standby is looked at that is too far behind.
const CATCHING_UP: Duration = Duration::from_secs(5);

/// So long a Patroni is asked again that is at something else.
const BUSY: Duration = Duration::from_secs(30);

/// A checked request.
#[derive(Debug)]
pub struct Order<'p, 'c> {
    patroni: &'p Patroni<'c>,
    act: Act,
    before: View,
    url: HttpUrl,
    method: Method,
    path: &'static str,
    body: Value,
    what: String,
}

impl<'c> Patroni<'c> {
    /// Looks at the shard and checks what is to be asked. Changes nothing.
    ///
    /// # Errors
    ///
    /// `Refused` with the reason; `Config` if there is no such member; as [`view`](Patroni::view).
    pub async fn order(&self, act: Act, limits: &Limits) -> Result<Order<'_, 'c>> {
        let (act, view) = self.allowed(&act, limits).await?;
        let leader = view.leader().map(|leader| leader.name.clone());
        let (asked, method, path, body, what) = match &act {
            Act::Switchover { to } => (
                leader.clone(),
                Method::POST,
                "/switchover",
                json!({"leader": leader, "candidate": to}),
                format!(
                    "{} hands over to {}",
                    leader.unwrap_or_default(),
                    to.as_deref().unwrap_or("the best")
                ),
            ),
            Act::Failover { to } => (
                Some(to.clone()),
                Method::POST,
                "/failover",
                json!({"candidate": to}),
                format!("{to} becomes the leader"),
            ),
            Act::Restart { member, if_pending } => (
                Some(member.clone()),
                Method::POST,
                "/restart",
                match if_pending {
                    true => json!({"restart_pending": true}),
                    false => json!({}),
                },
                format!("the server of {member} restarts"),
            ),
            Act::Reinit { member } => (
                Some(member.clone()),
                Method::POST,
                "/reinitialize",
                json!({}),
                format!("the data of {member} are erased and copied from the leader"),
            ),
            Act::Pause | Act::Resume => (
                None,
                Method::PATCH,
                "/config",
                json!({"pause": (act == Act::Pause).then_some(true)}),
                match act {
                    Act::Pause => "Patroni fails over no more, and starts no server that ends",
                    _ => "Patroni decides again",
                }
                .to_owned(),
            ),
        };
        Ok(Order {
            url: self.url_of(&view, asked.as_deref())?,
            patroni: self,
            act,
            before: view,
            method,
            path,
            body,
            what,
        })
    }

    /// The act, checked. A standby that is too far behind is looked at again for a while: one that follows a busy leader
    /// is so at times, and one that does not follow always.
    async fn allowed(&self, act: &Act, limits: &Limits) -> Result<(Act, View)> {
        let deadline = Instant::now() + CATCHING_UP;
        loop {
            let (mut view, settings) = self.ask_any().await?;
            if matches!(act, Act::Switchover { .. }) {
                self.measure(&mut view).await;
            }
            let error = match check(act.clone(), &view, &settings, limits) {
                Ok(act) => return Ok((act, view)),
                Err(error) => error.on_shard(self.shard),
            };
            let limits = Limits {
                max_lag: u64::MAX,
                ..*limits
            };
            let behind = check(act.clone(), &view, &settings, &limits).is_ok();
            if !behind || Instant::now() > deadline {
                return Err(error);
            }
            sleep(Duration::from_millis(250)).await;
        }
    }

    /// Where a member's Patroni is asked; any, if none is named.
    pub(super) fn url_of(&self, view: &View, member: Option<&str>) -> Result<HttpUrl> {
        let found = match member {
            None => view.leader().or(view.members.first()),
            Some(name) => view.member(name),
        };
        let api = found.and_then(|member| member.api_url.as_deref());
        let url = api.and_then(|text| {
            // It ends with the path of a health check.
            let base = text.trim_end_matches("/patroni");
            HttpUrl::parse(base).ok()
        });
        let url = url.ok_or_else(|| {
            Error::refused("Patroni does not say where that member's interface is")
                .on_shard(self.shard)
        })?;
        match self.trusted.contains(&url.host()) {
            true => Ok(url),
            false => Err(Error::refused(format!(
                "the interface of that member is said to be at {url}, a host that the topology file does not \
                 name, and is given no password: add it to [shard.patroni] urls"
            ))
            .on_shard(self.shard)),
        }
    }
}

impl Order<'_, '_> {
    /// What is going to happen, in words.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Asks Patroni, and waits until it has happened; a copy is only begun.
    ///
    /// # Errors
    ///
    /// `Refused` with Patroni's own reason; `Auth` if it wants another login; `Timeout` if it has not happened
    /// within 90 s.
    pub async fn carry_out(self) -> Result<View> {
        let shard = self.patroni.shard;
        let busy = Instant::now() + BUSY;
        let (status, text) = loop {
            let asked =
                self.patroni
                    .ask(self.method.clone(), &self.url, self.path, Some(&self.body));
            let (status, text) = asked.await?;
            // It restarts its server after a failure, say. What was asked for already is not asked for again.
            let own = match self.act {
                Act::Reinit { .. } => text.starts_with("reinit"),
                _ => text.starts_with("restart already"),
            };
            let waits = status == 503 && text.contains("already in progress") && !own;
            if !waits || Instant::now() > busy {
                break (status, text);
            }
            sleep(Duration::from_secs(1)).await;
        };
        match status {
            200 | 202 => {}
            401 | 403 => {
                return Err(Error::new(
                    ErrorKind::Auth,
                    format!(
                        "Patroni at {} wants another user or password: {text}",
                        self.url
                    ),
                )
                .on_shard(shard));
            }
            _ => {
                return Err(
                    Error::refused(format!("Patroni declines: {text} (status {status})"))
                        .on_shard(shard),
                );
            }
        }
        let deadline = Instant::now() + PATIENCE;
        let mut settling = None;
        loop {
            let seen = self.patroni.view().await;
            if let Ok(view) = &seen
                && self.happened(view)
                && self.all_know().await
            {
                let until =
                    *settling.get_or_insert_with(|| deadline.min(Instant::now() + SETTLING));
                if self.settled(view) || Instant::now() > until {
                    return seen;
                }
            }
            if Instant::now() > deadline {
                return Err(Error::new(
                    ErrorKind::Timeout,
                    format!(
                        "Patroni took the order ({text}), but it has not happened within {} s: shardctl \
                         patroni list",
                        PATIENCE.as_secs()
                    ),
                )
                .on_shard(shard));
            }
            sleep(Duration::from_millis(250)).await;
        }
    }

    fn happened(&self, view: &View) -> bool {
        let leads = |name: &str| {
            let leader = view.leader();
            leader.is_some_and(|leader| leader.name == name && leader.is_running())
        };
        match &self.act {
            Act::Switchover { to: Some(to) } | Act::Failover { to } => leads(to),
            Act::Switchover { to: None } => {
                let before = self.before.leader().map(|leader| &leader.name);
                let leader = view.leader();
                leader.is_some_and(|leader| leader.is_running() && Some(&leader.name) != before)
            }
            Act::Restart { member, .. } => {
                let found = view.member(member);
                found.is_some_and(|found| found.is_running() && !found.pending_restart)
            }
            // Patroni copies on its own; its list tells how that stands.
            Act::Reinit { .. } => true,
            Act::Pause => view.pause,
            Act::Resume => !view.pause,
        }
    }

    /// After a switchover: that the old leader runs again, too, so that the next order finds a whole shard.
    fn settled(&self, view: &View) -> bool {
        let Act::Switchover { .. } = self.act else {
            return true;
        };
        let old = self.before.leader();
        let old = old.and_then(|leader| view.member(&leader.name));
        old.is_none_or(|old| {
            old.is_running() && old.timeline == view.leader().and_then(|l| l.timeline)
        })
    }

    /// That each member's Patroni knows of a pause: until then it may still decide.
    async fn all_know(&self) -> bool {
        let wanted = match self.act {
            Act::Pause => true,
            Act::Resume => false,
            _ => return true,
        };
        for member in &self.before.members {
            let Ok(url) = self.patroni.url_of(&self.before, Some(&member.name)) else {
                continue;
            };
            // One that does not answer decides nothing.
            if let Ok(status) = self.patroni.json(&url, "/patroni").await
                && status
                    .get("pause")
                    .and_then(Value::as_bool)
                    .unwrap_or(false)
                    != wanted
            {
                return false;
            }
        }
        true
    }
}
