//! One connection through the proxy.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{broadcast, mpsc, watch};

use super::frame::{Frames, Opening, body, message, tag, text};
use super::rule::{Forged, Reaction, Severity, Then};
use super::rules::{Due, Event, Rules};

/// A reaction for every connection, and how often the proxy had been healed when it was ordered.
pub(super) type Order = (Reaction, u64);

/// How a connection ends.
enum Ending {
    Close,
    Reset,
}

/// Carries one connection to its end.
pub(super) async fn run(
    mut client: TcpStream,
    target: SocketAddr,
    rules: Arc<Rules>,
    orders: broadcast::Receiver<Order>,
) {
    let _ = client.set_nodelay(true);
    let mut server = None;
    let ending = relay(&mut client, &mut server, target, &rules, orders).await;
    if matches!(ending, Ok(Ending::Reset) | Err(_)) {
        for stream in [Some(&client), server.as_ref()].into_iter().flatten() {
            // Closing a socket that lingers for no time resets the connection.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

async fn relay(
    client: &mut TcpStream,
    server: &mut Option<TcpStream>,
    target: SocketAddr,
    rules: &Arc<Rules>,
    orders: broadcast::Receiver<Order>,
) -> io::Result<Ending> {
    let mut forged = None;
    if let Some(due) = rules.decide(&Event::Connect) {
        due.hit();
        match due.reaction {
            Reaction::Delay(time) => tokio::time::sleep(time).await,
            Reaction::BlackHole => rules.healed(due.heals).await,
            Reaction::Forge(error) => forged = Some(error),
            Reaction::Reset | Reaction::SwallowReply(_) => return Ok(Ending::Reset),
        }
    }
    let (from_client, mut to_client) = client.split();
    let mut from_client = Frames::new(from_client);
    let startup = loop {
        match from_client.opening().await? {
            None => return Ok(Ending::Close),
            Some(Opening::Encryption) => to_client.write_all(b"N").await?,
            Some(Opening::Cancel(packet)) => return cancel(target, &packet).await,
            Some(Opening::Session(packet)) => break packet,
        }
    };
    if let Some(error) = forged {
        to_client.write_all(&error.message()).await?;
        return Ok(Ending::Close);
    }
    let server = server.insert(TcpStream::connect(target).await?);
    server.set_nodelay(true)?;
    let (from_server, mut to_server) = server.split();
    to_server.write_all(&startup).await?;
    let (inject, injected) = mpsc::channel(1);
    let session = Session {
        rules: rules.clone(),
        frozen: watch::Sender::new(false),
        inject,
        state: Mutex::new(State::default()),
    };
    tokio::select! {
        ending = session.upstream(from_client, to_server) => ending,
        ending = session.downstream(from_server, to_client, injected) => ending,
        ending = session.obey(orders) => ending,
    }
}

/// A cancel request is passed on, and the client waits for the server to close.
async fn cancel(target: SocketAddr, packet: &[u8]) -> io::Result<Ending> {
    let mut server = TcpStream::connect(target).await?;
    server.write_all(packet).await?;
    server.read_to_end(&mut Vec::new()).await?;
    Ok(Ending::Close)
}

struct Session {
    rules: Arc<Rules>,
    /// Nothing passes while this is true.
    frozen: watch::Sender<bool>,
    inject: mpsc::Sender<Injection>,
    state: Mutex<State>,
}

/// Something for the client that did not come from the server.
struct Injection {
    bytes: Vec<u8>,
    ends: bool,
}

#[derive(Default)]
struct State {
    /// ReadyForQuery messages that the server still owes; the first one ends the startup.
    owed: u64,
    started: bool,
    in_transaction: bool,
    /// The texts of prepared statements, by name.
    statements: HashMap<Vec<u8>, String>,
    swallow: Option<Swallow>,
    /// An ERROR stands for the messages up to the next Sync.
    refused: Option<Forged>,
}

struct Swallow {
    /// ReadyForQuery messages that end earlier answers and still pass.
    before: u64,
    due: Due,
    then: Then,
}

impl Session {
    /// Client to server.
    async fn upstream(
        &self,
        mut client: Frames<ReadHalf<'_>>,
        mut server: WriteHalf<'_>,
    ) -> io::Result<Ending> {
        while let Some(frame) = client.next().await? {
            let event_text = self.state().note_frontend(&frame);
            let refused = self.state().refused_reply(&frame);
            if let Some(reply) = refused {
                if let Some(bytes) = reply {
                    self.inject(bytes, false).await;
                }
                continue;
            }
            let event = Event::Frontend(tag(&frame), event_text.as_deref());
            if let Some(due) = self.rules.decide(&event) {
                match due.reaction.clone() {
                    Reaction::Delay(time) => {
                        due.hit();
                        tokio::time::sleep(time).await;
                    }
                    Reaction::BlackHole => {
                        due.hit();
                        self.freeze(due.heals).await;
                    }
                    Reaction::Reset => {
                        due.hit();
                        return Ok(Ending::Reset);
                    }
                    Reaction::Forge(error) if error.severity() == Severity::Fatal => {
                        self.inject(error.message().to_vec(), true).await;
                        due.hit();
                        return std::future::pending().await;
                    }
                    Reaction::Forge(error) => {
                        due.hit();
                        self.state().refused = Some(error);
                        let reply = self.state().refused_reply(&frame);
                        if let Some(bytes) = reply.flatten() {
                            self.inject(bytes, false).await;
                        }
                        continue;
                    }
                    Reaction::SwallowReply(then) => {
                        let mut state = self.state();
                        let before = state.owed;
                        state.swallow = Some(Swallow { before, due, then });
                    }
                }
            }
            // Before the server can answer.
            self.state().sending(&frame);
            self.pass(&mut server, &frame).await?;
        }
        Ok(Ending::Close)
    }

    /// Server to client.
    async fn downstream(
        &self,
        server: ReadHalf<'_>,
        mut client: WriteHalf<'_>,
        mut injected: mpsc::Receiver<Injection>,
    ) -> io::Result<Ending> {
        let mut server = Frames::new(server);
        loop {
            let frame = tokio::select! {
                frame = server.next() => frame?,
                Some(injection) = injected.recv() => {
                    client.write_all(&injection.bytes).await?;
                    if injection.ends {
                        return Ok(Ending::Close);
                    }
                    continue;
                }
            };
            let Some(frame) = frame else {
                return Ok(Ending::Close);
            };
            let swallowed = self.state().note_backend(&frame);
            match swallowed {
                Fate::Pass => {}
                Fate::Lost => continue,
                Fate::LostLast(Then::Reset, _) => return Ok(Ending::Reset),
                Fate::LostLast(Then::Hang, heals) => {
                    self.freeze(heals).await;
                    continue;
                }
            }
            if let Some(due) = self.rules.decide(&Event::Backend(tag(&frame))) {
                due.hit();
                match due.reaction {
                    Reaction::Delay(time) => tokio::time::sleep(time).await,
                    Reaction::BlackHole => self.freeze(due.heals).await,
                    Reaction::Reset | Reaction::SwallowReply(_) => return Ok(Ending::Reset),
                    Reaction::Forge(error) => {
                        self.pass(&mut client, &error.message()).await?;
                        if error.severity() == Severity::Fatal {
                            return Ok(Ending::Close);
                        }
                        continue;
                    }
                }
            }
            self.pass(&mut client, &frame).await?;
        }
    }

    /// What is done to all connections at once.
    async fn obey(&self, mut orders: broadcast::Receiver<Order>) -> io::Result<Ending> {
        loop {
            match orders.recv().await {
                Ok((Reaction::Reset, _)) => return Ok(Ending::Reset),
                Ok((Reaction::BlackHole, heals)) => self.freeze(heals).await,
                Ok((Reaction::Forge(error), _)) => {
                    self.inject(error.message().to_vec(), true).await;
                }
                Ok((Reaction::Delay(_) | Reaction::SwallowReply(_), _)) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return std::future::pending().await,
            }
        }
    }

    /// Holds both directions until the proxy is healed.
    async fn freeze(&self, heals: u64) {
        self.frozen.send_replace(true);
        self.rules.healed(heals).await;
        self.frozen.send_replace(false);
    }

    async fn pass(&self, to: &mut (impl AsyncWrite + Unpin), frame: &Bytes) -> io::Result<()> {
        let _ = self.frozen.subscribe().wait_for(|frozen| !frozen).await;
        to.write_all(frame).await
    }

    async fn inject(&self, bytes: Vec<u8>, ends: bool) {
        // An error says that the connection has ended.
        let _ = self.inject.send(Injection { bytes, ends }).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What becomes of a message from the server.
enum Fate {
    Pass,
    Lost,
    /// The last of an answer, decided on when the proxy had been healed so often.
    LostLast(Then, u64),
}

impl State {
    /// Remembers prepared statements; the text of the statement that a message runs.
    fn note_frontend(&mut self, frame: &[u8]) -> Option<String> {
        let lower = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_lowercase();
        match tag(frame) {
            b'Q' => Some(lower(text(body(frame)).0)),
            b'P' => {
                let (name, rest) = text(body(frame));
                self.statements.insert(name.to_vec(), lower(text(rest).0));
                None
            }
            b'B' => {
                let (_portal, rest) = text(body(frame));
                self.statements.get(text(rest).0).cloned()
            }
            b'C' => {
                if let Some((b'S', name)) = body(frame).split_first() {
                    self.statements.remove(text(name).0);
                }
                None
            }
            _ => None,
        }
    }

    /// A message is about to be passed to the server.
    fn sending(&mut self, frame: &[u8]) {
        if matches!(tag(frame), b'Q' | b'S' | b'F') {
            self.owed += 1;
        }
    }

    /// While an ERROR stands for messages: nothing to say yet, or the answer that ends it.
    #[allow(
        clippy::option_option,
        reason = "not refused; refused; refused and answered"
    )]
    fn refused_reply(&mut self, frame: &[u8]) -> Option<Option<Vec<u8>>> {
        let error = self.refused.as_ref()?;
        if !matches!(tag(frame), b'Q' | b'S') {
            return Some(None);
        }
        let status = if self.in_transaction { b"E" } else { b"I" };
        let answer = [error.message(), message(b'Z', status)].concat();
        self.refused = None;
        Some(Some(answer))
    }

    fn note_backend(&mut self, frame: &[u8]) -> Fate {
        let ready = tag(frame) == b'Z';
        if ready {
            self.in_transaction = body(frame) != b"I";
            if self.started {
                self.owed = self.owed.saturating_sub(1);
            }
            self.started = true;
        }
        match &mut self.swallow {
            None => Fate::Pass,
            Some(swallow) if swallow.before > 0 => {
                if ready {
                    swallow.before -= 1;
                }
                Fate::Pass
            }
            Some(swallow) if ready => {
                let fate = Fate::LostLast(swallow.then, swallow.due.heals);
                swallow.due.hit();
                self.swallow = None;
                fate
            }
            Some(_) => Fate::Lost,
        }
    }
}
