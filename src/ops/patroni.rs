//! What operators ask of a shard's Patroni: who its members are, and to change the leader, restart, copy anew, pause.
//!
//! Patroni decides; this asks it, after rules of its own that Patroni does not have or says only when it is too
//! late: which standby would lose what, and whose Patroni it is at all.
//!
//! ```no_run
//! use pgshard::ops::patroni::{Act, Limits, Patroni};
//!
//! # async fn run(config: &pgshard::Config) -> pgshard::Result<()> {
//! let shard = pgshard::id::ShardId::new("s0").expect("a name");
//! let patroni = Patroni::of(config, shard, None)?;
//! println!("{:?}", patroni.view().await?.leader());
//! let order = patroni.order(Act::Switchover { to: None }, &Limits::default()).await?;
//! println!("{}", order.what());
//! let view = order.carry_out().await?;
//! # Ok(())
//! # }
//! ```

mod order;
mod rules;
mod view;

use std::time::Duration;

use hyper::Method;
use hyper::header::HeaderValue;
use serde_json::Value;

use crate::config::{Config, HttpLogin, HttpUrl, PatroniShard};
use crate::error::{Error, ErrorKind, Result};
use crate::id::ShardId;
use crate::monitor::http::{Http, basic};

pub use order::Order;
pub use rules::{Act, Limits};
pub use view::{Member, View};

/// A Patroni answers a change of its leader when it is done.
const PATIENCE: Duration = Duration::from_secs(90);

/// The Patronis of one shard.
pub struct Patroni<'c> {
    shard: ShardId,
    settings: &'c PatroniShard,
    /// The hosts that are given the password: those of the topology file.
    trusted: Vec<&'c str>,
    http: Http,
    login: Option<HeaderValue>,
}

impl std::fmt::Debug for Patroni<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patroni")
            .field("shard", &self.shard)
            .finish_non_exhaustive()
    }
}

impl<'c> Patroni<'c> {
    /// Those of a shard; `login` is who may change something, else the topology file's user.
    ///
    /// # Errors
    ///
    /// `Config` if there is no such shard, or no Patroni manages it.
    pub fn of(
        config: &'c Config,
        shard: ShardId,
        login: Option<&HttpLogin>,
    ) -> Result<Patroni<'c>> {
        let (_, found) = config
            .shard(shard)
            .ok_or_else(|| Error::config(format!("there is no shard {shard}")))?;
        let settings = found.patroni.as_ref().ok_or_else(|| {
            Error::config(
                "no Patroni manages this shard, as far as the topology file says: add [shard.patroni], or \
                 use shardctl switchover, failover and rejoin",
            )
            .on_shard(shard)
        })?;
        let nodes = found.nodes.iter().map(|node| node.host.as_str());
        Ok(Patroni {
            shard,
            settings,
            trusted: settings
                .urls
                .iter()
                .map(HttpUrl::host)
                .chain(nodes)
                .collect(),
            http: Http::new(config, PATIENCE, &settings.urls)?,
            login: login.or(config.patroni.login.as_ref()).and_then(basic),
        })
    }

    /// The members as the first Patroni that answers lists them.
    ///
    /// # Errors
    ///
    /// `Unavailable` if none answers; `WrongNode` if it is the Patroni of another cluster.
    pub async fn view(&self) -> Result<View> {
        self.ask_any().await.map(|(view, _)| view)
    }

    /// The same, with the dynamic configuration.
    async fn ask_any(&self) -> Result<(View, Value)> {
        let mut reason = "it has no address".to_owned();
        for url in &self.settings.urls {
            let asked = async {
                self.own(url).await?;
                let view = View::parse(&self.json(url, "/cluster").await?)?;
                Ok::<_, Error>((view, self.json(url, "/config").await?))
            };
            match tokio::time::timeout(Duration::from_secs(10), asked).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) if error.kind() == ErrorKind::WrongNode => return Err(error),
                Ok(Err(error)) => reason = error.message().to_owned(),
                Err(_) => reason = format!("{url}: no answer within 10 s"),
            }
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            format!("no Patroni of the shard answers: {reason}"),
        )
        .on_shard(self.shard))
    }

    /// How far each standby is behind the leader now. Patroni's own list is as old as its last turn, in which a busy
    /// leader writes more than any standby lacks. Of one that does not answer, what the list says is left.
    async fn measure(&self, view: &mut View) {
        let location = async |member: &Member| {
            let url = self.url_of(view, Some(&member.name)).ok()?;
            let asked = self.json(&url, "/patroni");
            let status = tokio::time::timeout(Duration::from_secs(5), asked).await;
            let status = status.ok()?.ok()?;
            let at = |name| status.pointer(name).and_then(Value::as_u64);
            at("/xlog/location")
                .into_iter()
                .chain(at("/xlog/received_location"))
                .chain(at("/xlog/replayed_location"))
                .max()
        };
        let standbys = view
            .members
            .iter()
            .map(async |member| match member.leads() {
                true => None,
                false => location(member).await,
            });
        // The leader is asked last: no standby looks nearer than it is.
        let standbys = futures::future::join_all(standbys).await;
        let Some(leader) = view.leader() else { return };
        let Some(end) = location(leader).await else {
            return;
        };
        for (member, at) in view.members.iter_mut().zip(standbys) {
            member.lag = at.map(|at| end.saturating_sub(at)).or(member.lag);
        }
    }

    /// That an address is one of this shard's.
    async fn own(&self, url: &HttpUrl) -> Result<()> {
        let status = self.json(url, "/patroni").await?;
        let scope = status.pointer("/patroni/scope").and_then(Value::as_str);
        match scope {
            Some(scope) if scope == self.settings.scope => Ok(()),
            other => Err(Error::new(
                ErrorKind::WrongNode,
                format!(
                    "{url} is the Patroni of {other:?}, not of {:?}: correct urls or scope in the topology file",
                    self.settings.scope
                ),
            )
            .on_shard(self.shard)),
        }
    }

    async fn json(&self, url: &HttpUrl, path: &str) -> Result<Value> {
        // `/patroni` has the status of a health check.
        let (status, text) = self.ask(Method::GET, url, path, None).await?;
        serde_json::from_str(&text).map_err(|_| {
            Error::new(
                ErrorKind::Decode,
                format!("{url}{path} answers with status {status}, and not as Patroni does"),
            )
            .on_shard(self.shard)
        })
    }

    async fn ask(
        &self,
        method: Method,
        url: &HttpUrl,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, String)> {
        let known = self.trusted.contains(&url.host());
        let login = self.login.as_ref().filter(|_| known);
        let answer = self.http.ask(method, url, path, body, login).await;
        let answer = answer.map_err(|error| {
            Error::new(ErrorKind::Unavailable, format!("{url}: {error}"))
                .with_source(error)
                .on_shard(self.shard)
        })?;
        Ok((
            answer.status,
            String::from_utf8_lossy(&answer.body).trim().to_owned(),
        ))
    }
}
