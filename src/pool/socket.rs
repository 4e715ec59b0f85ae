//! Sockets: name look-up, keepalives, and the kernel's own deadline for unacknowledged data.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A dead peer is noticed after 10 s of silence and three probes 3 s apart.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(10))
    .with_interval(Duration::from_secs(3))
    .with_retries(3);

/// The keepalives cover idle waits only; data that is never acknowledged is covered by this.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(19);

/// No server says so much before a session begins. The driver would keep all of it in memory, for
/// it waits for the end of a message whose length anybody may have invented.
const GREETING: usize = 1 << 20;

/// A connected socket of either kind.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Stream,
    /// Bytes that may still be read before it is trusted; `None` once it is.
    left: Option<(usize, Trust)>,
}

/// What a socket is connected to. A name may mean another server by the time it is looked up again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Says that the peer has proved to be a PostgreSQL server.
#[derive(Clone, Debug, Default)]
pub(super) struct Trust(Arc<AtomicBool>);

impl Trust {
    pub(super) fn grant(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_granted(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Socket {
    /// Connects, trying each of the name's addresses in turn. The name is looked up each time. The caller
    /// bounds the time.
    pub(crate) async fn connect(host: &str, port: u16) -> io::Result<Self> {
        let stream = Stream::connect(host, port).await?;
        Ok(Socket { stream, left: None })
    }

    /// Connects to where another socket is connected. The caller bounds the time.
    pub(super) async fn connect_to(peer: &Peer) -> io::Result<Self> {
        let stream = match peer {
            Peer::Tcp(address) => Stream::tcp(*address).await?,
            Peer::Unix(path) => Stream::Unix(UnixStream::connect(path).await?),
        };
        Ok(Socket { stream, left: None })
    }

    pub(super) fn peer(&self) -> io::Result<Peer> {
        match &self.stream {
            Stream::Tcp(stream) => stream.peer_addr().map(Peer::Tcp),
            Stream::Unix(stream) => {
                let address = stream.peer_addr()?;
                let path = address.as_pathname().map(PathBuf::from);
                path.map(Peer::Unix)
                    .ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
            }
        }
    }

    /// Reads a bounded number of bytes until trust is granted.
    pub(super) fn until(self, trust: Trust) -> Self {
        Socket {
            left: Some((GREETING, trust)),
            ..self
        }
    }

    /// Takes note of bytes that were read.
    fn count(&mut self, read: usize) -> io::Result<()> {
        let Some((left, trust)) = &mut self.left else {
            return Ok(());
        };
        if trust.is_granted() {
            self.left = None;
            return Ok(());
        }
        *left = left.checked_sub(read).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "the peer sends and sends and begins no session: it is no PostgreSQL server",
            )
        })?;
        Ok(())
    }
}

impl Stream {
    async fn connect(host: &str, port: u16) -> io::Result<Self> {
        if host.starts_with('/') {
            let path = format!("{host}/.s.PGSQL.{port}");
            return UnixStream::connect(path).await.map(Stream::Unix);
        }
        let mut last = None;
        for address in tokio::net::lookup_host((host, port)).await? {
            match Stream::tcp(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "the host name has no address")
        }))
    }

    async fn tcp(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        socket.set_tcp_keepalive(&KEEPALIVE)?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
        Ok(Stream::Tcp(stream))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        let before = buf.filled().len();
        let read = match &mut socket.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        match socket.count(buf.filled().len().saturating_sub(before)) {
            Ok(()) => read,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
