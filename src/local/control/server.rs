//! The supervisor's side.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::error::{Error, Result};
use crate::host::spawn::io_error;

use super::running::Running;
use super::{Failure, LONGEST, Reply, Request, SOCKET, socket_in};

/// Serves the cluster's socket until somebody asks to take it down, or SIGTERM or SIGINT arrives;
/// then stops the servers. `ready` is called once the socket can be used.
///
/// # Errors
///
/// If the socket cannot be made, `ready` fails, or a server does not stop.
pub async fn serve(cluster: impl Into<Running>, ready: impl FnOnce() -> Result<()>) -> Result<()> {
    let cluster = cluster.into();
    let (_dir, listener) = listen(&cluster)?;
    let failed = |e| io_error("cannot wait for signals", e);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let started = ready();
    let socket = cluster.dir().join(SOCKET);
    let cluster = Arc::new(cluster);
    let (down, mut asked_down) = mpsc::channel(1);
    let mut sessions = JoinSet::new();
    let asker = loop {
        if started.is_err() {
            break None;
        }
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                sessions.spawn(session(stream, cluster.clone(), down.clone()));
            }
            Some(stream) = asked_down.recv() => break Some(stream),
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
            Some(_) = sessions.join_next() => {}
        }
    };
    let _ = std::fs::remove_file(&socket);
    // They hold the cluster.
    sessions.shutdown().await;
    let stopped = match Arc::into_inner(cluster) {
        Some(cluster) => cluster.shutdown().await,
        None => Ok(()),
    };
    if let Some(mut stream) = asker {
        let reply = match &stopped {
            Ok(()) => Reply::Done(Vec::new()),
            Err(error) => Reply::Failed(Failure::from(error)),
        };
        let _ = answer(&mut stream, &reply).await;
    }
    started.and(stopped)
}

/// The socket, private from its first moment: it is made in a directory that nobody else can
/// enter, and moved to where it belongs.
fn listen(cluster: &Running) -> Result<(std::fs::File, UnixListener)> {
    let failed = |e| {
        io_error(
            format!("cannot make the socket in {}", cluster.dir().display()),
            e,
        )
    };
    let (dir, path) = socket_in(cluster.dir(), &format!("secrets/{SOCKET}"))?;
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).map_err(failed)?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).map_err(failed)?;
    std::fs::rename(&path, cluster.dir().join(SOCKET)).map_err(failed)?;
    Ok((dir, listener))
}

async fn session(stream: UnixStream, cluster: Arc<Running>, down: mpsc::Sender<UnixStream>) {
    let mut lines = BufReader::new(stream);
    loop {
        let mut line = String::new();
        let read = (&mut lines).take(LONGEST).read_line(&mut line).await;
        if !matches!(read, Ok(length) if length > 0) {
            return;
        }
        let reply = match serde_json::from_str::<Request>(&line) {
            Ok(Request::Down) => {
                let _ = down.send(lines.into_inner()).await;
                return;
            }
            Ok(request) => match cluster.carry_out(request).await {
                Ok(()) => Reply::Done(cluster.status().await),
                Err(error) => Reply::Failed(Failure::from(&error)),
            },
            Err(error) => {
                let error = Error::config(format!("the supervisor does not understand: {error}"));
                Reply::Failed(Failure::from(&error))
            }
        };
        if answer(lines.get_mut(), &reply).await.is_err() {
            return;
        }
    }
}

async fn answer(stream: &mut UnixStream, reply: &Reply) -> std::io::Result<()> {
    let mut text = serde_json::to_vec(reply)?;
    text.push(b'\n');
    stream.write_all(&text).await
}
