//! The watch over the leader's key in the Patronis' etcd, through its JSON gateway.
//!
//! A changed key makes this task read it at once, and what it reads is told as a lease. The event itself
//! is not: how long it was on its way is unknown, and it may be the past by now. The reading is
//! linearizable, and the key lives only as long as the lease that its holder renews; so its holder held
//! the lock after the question was sent, by no clock but this process's. It is worth as much as the
//! word of the holder's own Patroni, which is woken to be asked too, and confirms it from then on.
//!
//! Every connection begins by reading the key, and watches from the revision of that reading on: so
//! nothing is missed in between, and nothing is asked for that was compacted. Without etcd all goes on as
//! if it were not configured.
//!
//! A stream on which nothing arrives looks like one of a key that does not change, and etcd's gateway has
//! no way to ask along it. So the key is read now and then on a connection of its own: if it has changed
//! and the stream does not say so, or if there is no answer, the stream is given up. And no stream is kept
//! for long, so that one that went deaf does not wait for the next change to be found out.

use std::time::Duration;

use hyper::header::HeaderValue;
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::http::{Http, HttpError, LARGEST, secret_value};
use super::patroni::{heard_for, jittered};
use super::sources::Directory;
use crate::config::{Config, EtcdSettings, HttpLogin, HttpUrl, PatroniShard};
use crate::error::Result;
use crate::id::{NodeIndex, ShardId};
use crate::topology::Event;

mod answer;

#[cfg(feature = "fuzzing")]
pub(crate) use answer::read_any;
use answer::{Leader, Note, Odd, coded};

/// After the first failure, and at most.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// The key is read so often beside the stream.
const BEAT: Duration = Duration::from_secs(5);

/// A stream is replaced after this.
const OLDEST: Duration = Duration::from_secs(60);

/// Why etcd says nothing.
#[derive(Debug, thiserror::Error)]
enum Silence {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Odd(#[from] Odd),
    #[error("the watch ended: {0}")]
    Ended(String),
    #[error("the key has changed, and the watch does not say so")]
    Deaf,
}

/// Why a watch that went well is over.
enum Over {
    /// Nobody listens any more.
    Unheard,
    /// It is old.
    Old,
}

/// The watch over one shard's key.
pub(super) struct Etcd {
    shard: ShardId,
    key: String,
    endpoints: Vec<HttpUrl>,
    login: Option<HttpLogin>,
    http: Http,
    start: Instant,
    events: mpsc::Sender<Event>,
    members: watch::Receiver<Directory>,
    heard_for: Duration,
    /// The node that was last said to lead.
    leads: Option<NodeIndex>,
}

impl Etcd {
    pub(super) fn new(
        config: &Config,
        etcd: &EtcdSettings,
        shard: ShardId,
        patroni: &PatroniShard,
        start: Instant,
        events: mpsc::Sender<Event>,
        members: watch::Receiver<Directory>,
    ) -> Result<Self> {
        let namespace = config.patroni.namespace.trim_matches('/');
        let prefix = match namespace {
            "" => String::new(),
            namespace => format!("/{namespace}"),
        };
        Ok(Etcd {
            shard,
            key: format!("{prefix}/{}/leader", patroni.scope),
            endpoints: etcd.endpoints.clone(),
            login: etcd.login.clone(),
            http: Http::new(config, config.patroni.timeout, &etcd.endpoints)?,
            start,
            events,
            members,
            heard_for: heard_for(config.patroni.poll_interval),
            leads: None,
        })
    }

    /// Watches until the monitor is gone.
    pub(super) async fn run(mut self) {
        let [first, longest] = BACK_OFF;
        let mut pause = first;
        let mut told = None;
        let mut at = 0;
        loop {
            let Some(url) = self
                .endpoints
                .get(at % self.endpoints.len().max(1))
                .cloned()
            else {
                return;
            };
            at += 1;
            let began = Instant::now();
            let silence = match self.watch(&url, &mut told).await {
                Ok(Over::Unheard) => return,
                Ok(Over::Old) => {
                    pause = first;
                    // The same one again: it answers.
                    at -= 1;
                    continue;
                }
                Err(silence) => silence,
            };
            let text = format!("{url}: {silence}");
            if told.is_none() {
                tracing::warn!(
                    shard = %self.shard,
                    "etcd: {text}; a switchover is noticed a little later meanwhile"
                );
            }
            told = Some(text);
            if began.elapsed() > longest {
                pause = first;
            }
            sleep(pause.mul_f64(0.5 + crate::random::unit())).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Watches over one connection for as long as that goes well.
    async fn watch(&mut self, url: &HttpUrl, told: &mut Option<String>) -> Result<Over, Silence> {
        let token = self.log_in(url).await?;
        let Some(read) = self.read(url, token.as_ref()).await? else {
            return Ok(Over::Unheard);
        };
        let mut known = read.changed;
        let create = json!({
            "create_request": {
                "key": coded(&self.key),
                "start_revision": (read.revision + 1).to_string(),
            }
        });
        let mut stream = self
            .http
            .stream(url, "/v3/watch", &create, token.as_ref())
            .await?;
        if told.take().is_some() {
            tracing::info!(shard = %self.shard, "etcd: {url} is watched again");
        }
        let old = Instant::now() + jittered(OLDEST);
        let mut beat = Instant::now() + jittered(BEAT);
        // The reading beside the stream was newer than what the stream has said.
        let mut behind = false;
        let mut buffer: Vec<u8> = Vec::new();
        loop {
            let piece = tokio::select! {
                biased;
                piece = stream.next() => piece?,
                () = sleep_until(beat) => {
                    if behind {
                        return Err(Silence::Deaf);
                    }
                    if Instant::now() >= old {
                        return Ok(Over::Old);
                    }
                    let Some(read) = self.read(url, token.as_ref()).await? else {
                        return Ok(Over::Unheard);
                    };
                    behind = read.changed != known;
                    // What changed just now is still on its way.
                    beat = Instant::now() + match behind {
                        true => self.http.timeout(),
                        false => jittered(BEAT),
                    };
                    continue;
                }
            };
            let Some(piece) = piece else {
                return Err(Silence::Ended("etcd closed the connection".to_owned()));
            };
            buffer.extend_from_slice(&piece);
            let mut changed = false;
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                match answer::note(&line)? {
                    Note::Quiet => {}
                    Note::Changed => changed = true,
                    Note::Over(why) => return Err(Silence::Ended(why)),
                }
            }
            if buffer.len() > LARGEST {
                return Err(HttpError::TooLarge.into());
            }
            if changed {
                let Some(read) = self.read(url, token.as_ref()).await? else {
                    return Ok(Over::Unheard);
                };
                known = read.changed;
                behind = false;
            }
        }
    }

    async fn log_in(&self, url: &HttpUrl) -> Result<Option<HeaderValue>, Silence> {
        let Some(login) = &self.login else {
            return Ok(None);
        };
        let body = json!({ "name": login.user, "password": login.password.expose_secret() });
        let answer = self
            .http
            .post(url, "/v3/auth/authenticate", &body, None)
            .await?;
        let token = answer::token(&answer)?;
        let token = secret_value(&token).ok_or(Odd::Token)?;
        Ok(Some(token))
    }

    /// Reads the key and tells what it says. What was read; `None` if nobody listens.
    async fn read(
        &mut self,
        url: &HttpUrl,
        token: Option<&HeaderValue>,
    ) -> Result<Option<Leader>, Silence> {
        let seen = self.start.elapsed();
        let range = json!({ "key": coded(&self.key) });
        let answer = self.http.post(url, "/v3/kv/range", &range, token).await?;
        let leader = answer::leader(&answer)?;
        let leads = {
            let members = self.members.borrow();
            let mut leads = None;
            for (known, node, wake) in members.iter() {
                if Some(known) == leader.name.as_ref() {
                    leads = Some(*node);
                }
                if let Some(wake) = wake {
                    wake.notify_one();
                }
            }
            leads
        };
        let last = std::mem::replace(&mut self.leads, leads);
        let gave_up = last.filter(|last| Some(*last) != leads);
        let words = [
            gave_up.map(|node| Event::Unleased { node, seen }),
            leads.map(|node| Event::Leased {
                node,
                seen,
                until: seen + self.heard_for,
            }),
        ];
        for word in words.into_iter().flatten() {
            if self.events.send(word).await.is_err() {
                return Ok(None);
            }
        }
        Ok(Some(leader))
    }
}
