//! The side of whoever asks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::error::{Error, ErrorKind, Result};
use crate::host::spawn::io_error;
use crate::local::home;
use crate::local::status::NodeStatus;

use super::{LONGEST, Reply, Request, SOCKET, socket_in};

/// How long a request may take: a rejoin by a new copy is the longest.
const DEADLINE: Duration = Duration::from_secs(300);

/// A cluster that a supervisor runs.
#[derive(Debug)]
pub struct Remote {
    dir: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Remote {
    /// Connects to the supervisor of the cluster in a directory; `None` if none runs.
    ///
    /// # Errors
    ///
    /// If the directory holds no cluster, or its supervisor does not answer: it may be starting.
    pub async fn connect(dir: &Path) -> Result<Option<Self>> {
        if !home::has_lock(dir) {
            return Err(Error::config(format!(
                "{} holds no local cluster; make one with shardctl dev up --dir {}",
                dir.display(),
                dir.display()
            )));
        }
        let (_open, path) = socket_in(dir, SOCKET)?;
        match UnixStream::connect(&path).await {
            Ok(stream) => Ok(Some(Remote {
                dir: dir.to_owned(),
                stream: BufReader::new(stream),
            })),
            Err(error) => {
                let locked = |e| io_error(format!("cannot lock {}", dir.display()), e);
                if home::lock(dir).map_err(locked)?.is_some() {
                    return Ok(None);
                }
                Err(Error::new(
                    ErrorKind::Unavailable,
                    format!(
                        "the cluster in {} is starting, stopping, or run by another program \
                         ({error}); try again, and see its supervisor.log",
                        dir.display()
                    ),
                ))
            }
        }
    }

    /// Asks for something and waits until it is done; the nodes as they are then.
    ///
    /// # Errors
    ///
    /// The operation's own, or that the supervisor ended.
    pub async fn ask(&mut self, request: &Request) -> Result<Vec<NodeStatus>> {
        let lost = |e| {
            let what = format!("the supervisor of {} does not answer", self.dir.display());
            io_error(what, e)
        };
        let exchange = tokio::time::timeout(DEADLINE, exchange(&mut self.stream, request));
        let text = exchange
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(lost)?;
        match serde_json::from_str(&text) {
            Ok(Reply::Done(nodes)) => Ok(nodes),
            Ok(Reply::Failed(failure)) => Err(failure.into()),
            Err(error) => Err(lost(error.into())),
        }
    }
}

async fn exchange(
    stream: &mut BufReader<UnixStream>,
    request: &Request,
) -> std::io::Result<String> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.get_mut().write_all(&line).await?;
    let mut text = String::new();
    if stream.take(LONGEST).read_line(&mut text).await? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(text)
}
