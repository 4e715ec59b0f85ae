//! Patroni's REST interface as a source: who holds the lock, and which members there are.
//!
//! `/cluster` only finds members; that a node leads is believed of its own Patroni alone, asked for
//! `/primary`, and only if that has lately heard from its store. (`/leader` is also true for the leader
//! of a standby cluster.)
//!
//! - `answer` reads the answers; it is pure;
//! - this file asks: one task a shard lists the members, and one task a member asks it about its lock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::future::join_all;
use hyper::header::HeaderValue;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::http::{self, Http, HttpError};
use crate::config::{Config, HttpUrl, PatroniShard, ShardConfig};
use crate::error::Result;
use crate::id::{NodeIndex, ShardId};
use crate::topology::{Event, Settings};

mod answer;

pub(super) use answer::Member;
#[cfg(feature = "fuzzing")]
pub(crate) use answer::read_any;

use answer::{Claim, Expected, Odd};

/// How long a word on the lock counts, at a pace of questions: not so long that it would hold up the shard
/// if nothing more is heard.
pub(super) fn heard_for(interval: Duration) -> Duration {
    Duration::from_secs(5).max(3 * interval)
}

/// Members are listed after so many poll intervals: their Patroni asks its store for each list.
const LIST_EVERY: u32 = 10;

/// A Patroni is asked no oftener than this, whatever is wrong: it answers out of an interpreter that has
/// a cluster to mend.
const OFTENEST: Duration = Duration::from_millis(250);

/// Why a Patroni says nothing.
#[derive(Debug, thiserror::Error)]
enum Silence {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Odd(#[from] Odd),
}

/// The members of a shard as they are listed now.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) members: Vec<Member>,
    /// The configured nodes, by position, whose names do not resolve now.
    pub(super) unresolved: Vec<usize>,
}

/// The dynamic configuration of a shard's Patroni, `GET /config`, by the first of its members that
/// answers; else why none does.
pub(crate) async fn settings(config: &Config, patroni: &PatroniShard) -> Result<String, String> {
    let http = Http::new(config, config.patroni.timeout, &patroni.urls)
        .map_err(|error| error.message().to_owned())?;
    let login = config.patroni.login.as_ref().and_then(http::basic);
    let mut reason = "it has no address".to_owned();
    for url in &patroni.urls {
        reason = match http.get(url, "/config", login.as_ref()).await {
            Ok(answer) if answer.status == 200 => {
                return String::from_utf8(answer.body)
                    .map_err(|_| format!("{url} does not answer in UTF-8"));
            }
            Ok(answer) => format!("{url} answers with status {}", answer.status),
            Err(error) => format!("{url}: {error}"),
        };
    }
    Err(reason)
}

/// What all that asks one shard's Patronis has in common.
pub(super) struct Patroni {
    shard: ShardId,
    scope: String,
    urls: Vec<HttpUrl>,
    /// Host and port of the configured nodes.
    nodes: Vec<(String, u16)>,
    http: Http,
    /// Sent to the configured hosts only.
    login: Option<HeaderValue>,
    interval: Duration,
    /// How long a lock is held without being renewed.
    ttl: watch::Sender<Duration>,
    pace: watch::Receiver<Duration>,
    start: Instant,
    events: mpsc::Sender<Event>,
}

impl Patroni {
    pub(super) fn new(
        config: &Config,
        shard: &ShardConfig,
        patroni: &PatroniShard,
        pace: watch::Receiver<Duration>,
        start: Instant,
        events: mpsc::Sender<Event>,
    ) -> Result<Self> {
        Ok(Patroni {
            shard: shard.id,
            scope: patroni.scope.clone(),
            urls: patroni.urls.clone(),
            nodes: shard
                .nodes
                .iter()
                .map(|node| (node.host.clone(), node.port))
                .collect(),
            http: Http::new(config, config.patroni.timeout, &patroni.urls)?,
            login: config.patroni.login.as_ref().and_then(http::basic),
            interval: config.patroni.poll_interval,
            ttl: watch::Sender::new(answer::TTL),
            pace,
            start,
            events,
        })
    }

    /// Lists the members, again and again, and hands each list on.
    pub(super) async fn list(self: Arc<Self>, lists: mpsc::Sender<Listing>) {
        let mut pace = self.pace.clone();
        let mut urls = self.urls.clone();
        let mut complaint = Complaint::default();
        loop {
            let outcome = self.list_once(&mut urls).await;
            complaint.note(self.shard, "its members are not known anew", &outcome);
            if let Ok(mut members) = outcome {
                // The Patronis that were found are asked when those of the configuration are gone.
                urls.truncate(self.urls.len());
                let found = members.iter().filter_map(|member| member.api.clone());
                let found: Vec<_> = found.filter(|url| !urls.contains(url)).collect();
                urls.extend(found);
                let unresolved = self.find_aliases(&mut members).await;
                let listing = Listing {
                    members,
                    unresolved,
                };
                if lists.send(listing).await.is_err() {
                    return;
                }
            }
            let pause = self.interval(&mut pace) * LIST_EVERY;
            tokio::select! {
                () = sleep(jittered(pause)) => {}
                // When something goes wrong, or is over.
                changed = pace.changed() => match changed {
                    Ok(()) => sleep(jittered(OFTENEST)).await,
                    Err(_) => return,
                },
            }
        }
    }

    /// Finds members by the addresses of configured names. The positions of the configured nodes whose
    /// names do not resolve now.
    async fn find_aliases(&self, members: &mut [Member]) -> Vec<usize> {
        let resolve = async |host: &str, port: u16| {
            let found = timeout(self.http.timeout(), tokio::net::lookup_host((host, port))).await;
            let found = found.ok()?.ok()?;
            Some(found.collect::<Vec<SocketAddr>>())
        };
        let nodes = self.nodes.iter().map(|(host, port)| async {
            match host.starts_with('/') {
                true => Some(Vec::new()),
                false => resolve(host, *port).await,
            }
        });
        let nodes = join_all(nodes).await;
        for member in members {
            let addresses = resolve(&member.host, member.port).await.unwrap_or_default();
            let holds = |node: &Option<Vec<SocketAddr>>| {
                node.iter().flatten().any(|known| addresses.contains(known))
            };
            member.alias = nodes.iter().position(holds);
        }
        (0..nodes.len())
            .filter(|at| nodes.get(*at).is_some_and(Option::is_none))
            .collect()
    }

    /// The members as the first that answers lists them; it is asked first next time.
    async fn list_once(&self, urls: &mut [HttpUrl]) -> Result<Vec<Member>, Silence> {
        let expected = Expected {
            scope: &self.scope,
            name: None,
        };
        let mut last = Silence::Odd(Odd::Members(0));
        for at in 0..urls.len() {
            let Some(url) = urls.get(at) else {
                break;
            };
            match self.list_from(url, expected).await {
                Ok(members) => {
                    // Within the configured ones, or within the others: those are asked last.
                    if let Some(configured) = urls.get_mut(..self.urls.len())
                        && at < configured.len()
                    {
                        configured.rotate_left(at);
                    }
                    return Ok(members);
                }
                Err(silence) => last = silence,
            }
        }
        Err(last)
    }

    async fn list_from(
        &self,
        url: &HttpUrl,
        expected: Expected<'_>,
    ) -> Result<Vec<Member>, Silence> {
        // Not every version names the cluster in its list.
        self.claim(url, expected).await?;
        let config = self.get(url, "/config").await?;
        if let Ok(ttl) = answer::ttl(config.status, &config.body) {
            self.ttl
                .send_if_modified(|known| std::mem::replace(known, ttl) != ttl);
        }
        let list = self.get(url, "/cluster").await?;
        Ok(answer::members(list.status, &list.body, expected)?)
    }

    /// Asks one member about its lock until its address is not sent any more.
    pub(super) async fn follow(
        self: Arc<Self>,
        node: NodeIndex,
        name: String,
        mut url: watch::Receiver<HttpUrl>,
        wake: Arc<Notify>,
    ) {
        let mut pace = self.pace.clone();
        let mut complaint = Complaint::default();
        loop {
            let seen = self.start.elapsed();
            let asked = url.borrow_and_update().clone();
            let expected = Expected {
                scope: &self.scope,
                name: Some(&name),
            };
            let outcome = self.claim(&asked, expected).await;
            complaint.note(self.shard, "whether its node leads is not known", &outcome);
            // Silence proves nothing. What was heard before ends by itself.
            if let Ok(claim) = outcome {
                let word = match claim {
                    Claim::Held(left) => Event::Leased {
                        node,
                        seen,
                        until: seen + left.min(heard_for(self.interval)),
                    },
                    Claim::Stale | Claim::None => Event::Unleased { node, seen },
                };
                if self.events.send(word).await.is_err() {
                    return;
                }
            }
            let pause = self.interval(&mut pace);
            tokio::select! {
                () = sleep(jittered(pause)) => {}
                () = wake.notified() => {}
                changed = url.changed() => if changed.is_err() {
                    return;
                },
                changed = pace.changed() => match changed {
                    Ok(()) => {}
                    Err(_) => return,
                },
            }
        }
    }

    async fn claim(&self, url: &HttpUrl, expected: Expected<'_>) -> Result<Claim, Silence> {
        let answer = self.get(url, "/primary").await?;
        let date = answer.date.unwrap_or_else(SystemTime::now);
        let ttl = *self.ttl.borrow();
        Ok(answer::claim(
            answer.status,
            date,
            &answer.body,
            expected,
            ttl,
        )?)
    }

    async fn get(&self, url: &HttpUrl, path: &str) -> Result<http::Answer, HttpError> {
        let known = self
            .urls
            .iter()
            .any(|known| known.host() == url.host() && known.is_https() == url.is_https());
        let login = self.login.as_ref().filter(|_| known);
        self.http.get(url, path, login).await
    }

    /// Between two questions: oftener while something is wrong.
    fn interval(&self, pace: &mut watch::Receiver<Duration>) -> Duration {
        let pace = *pace.borrow_and_update();
        match pace <= Settings::URGENT {
            true => self.interval.min(OFTENEST),
            false => self.interval,
        }
    }
}

/// Says once what is wrong, and once that it is over.
#[derive(Default)]
struct Complaint(Option<String>);

impl Complaint {
    fn note<T>(&mut self, shard: ShardId, consequence: &str, outcome: &Result<T, Silence>) {
        match outcome {
            Ok(_) => {
                if self.0.take().is_some() {
                    tracing::info!(%shard, "Patroni answers again");
                }
            }
            Err(silence) => {
                let text = silence.to_string();
                if self.0.as_ref() != Some(&text) {
                    tracing::warn!(%shard, "Patroni: {text}; {consequence}");
                    self.0 = Some(text);
                }
            }
        }
    }
}

/// A fifth more or less, so that many processes do not ask in step.
pub(super) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.8 + 0.4 * crate::random::unit())
}
