//! TLS whose streams are wrapped, inside the encryption.

use std::future::Future;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::tls::{TlsConnect, TlsStream};

/// Makes TLS streams and wraps each.
pub(super) struct Wrapping<T, W> {
    pub(super) tls: T,
    pub(super) wrap: W,
}

impl<S, T, W, O> TlsConnect<S> for Wrapping<T, W>
where
    T: TlsConnect<S>,
    T::Future: Send + 'static,
    W: FnOnce(T::Stream) -> O + Send + 'static,
    O: TlsStream + AsyncRead + AsyncWrite + Unpin,
{
    type Stream = O;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<O, T::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let Wrapping { tls, wrap } = self;
        let stream = tls.connect(stream);
        Box::pin(async move { Ok(wrap(stream.await?)) })
    }
}
