//! A relay that forwards bytes of any protocol until it is told to keep them.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// In front of one address of this machine.
pub(crate) struct Relay {
    port: u16,
    /// How often the connections were frozen.
    frozen: Arc<watch::Sender<u64>>,
    /// Connections that were accepted.
    accepted: watch::Receiver<u64>,
    _task: AbortOnDropHandle<()>,
}

impl Relay {
    pub(crate) async fn start(to: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let frozen = Arc::new(watch::Sender::new(0));
        let (counted, accepted) = watch::channel(0);
        let freezer = Arc::clone(&frozen);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                counted.send_modify(|count| *count += 1);
                let Ok(far) = TcpStream::connect(&to).await else {
                    continue;
                };
                let (from_near, to_near) = near.into_split();
                let (from_far, to_far) = far.into_split();
                tokio::spawn(forward(from_near, to_far, freezer.subscribe()));
                tokio::spawn(forward(from_far, to_near, freezer.subscribe()));
            }
        });
        Relay {
            port,
            frozen,
            accepted,
            _task: AbortOnDropHandle::new(task),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From now on nothing passes over the connections that there are, which stay open. New ones work.
    pub(crate) fn freeze(&self) {
        self.frozen.send_modify(|count| *count += 1);
    }

    pub(crate) fn accepted(&self) -> u64 {
        *self.accepted.borrow()
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut frozen: watch::Receiver<u64>,
) {
    let mut buffer = [0; 4096];
    loop {
        let read = tokio::select! {
            biased;
            changed = frozen.changed() => match changed {
                // Both halves are kept, and so the sockets stay open.
                Ok(()) => std::future::pending().await,
                Err(_) => return,
            },
            read = from.read(&mut buffer) => read,
        };
        match read {
            Ok(0) | Err(_) => return,
            Ok(length) => {
                if to.write_all(&buffer[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
