//! How to cancel what a connection is doing.

use std::io;
use std::sync::Arc;

use tokio_postgres::{CancelToken, NoTls};

use super::connector::Address;
#[cfg(feature = "tls")]
use super::connector::rustls;
use super::lingering::Lingering;
use super::socket::{Peer, Socket};
use super::tls::Tls;
#[cfg(feature = "tls")]
use super::wrapping::Wrapping;

/// A connection's key to its server, and where that is. The node may be elsewhere by now, or its name
/// mean another server: a key is no use there, and none of its business.
pub(crate) struct Cancel {
    token: CancelToken,
    peer: Peer,
    address: Arc<Address>,
}

impl Cancel {
    pub(super) fn new(token: CancelToken, peer: Peer, address: Arc<Address>) -> Self {
        Cancel {
            token,
            peer,
            address,
        }
    }

    /// Asks the server to cancel what the connection is doing. Nothing else may be asked on it until
    /// that has ended, for the request names a process, and not its statement. The caller bounds the
    /// time.
    pub(super) async fn send(&self) -> io::Result<()> {
        let socket = Socket::connect_to(&self.peer).await?;
        let token = self.token.clone();
        match &self.address.tls {
            Tls::Plaintext => token.cancel_query_raw(Lingering(socket), NoTls).await,
            #[cfg(feature = "tls")]
            Tls::VerifyFull(files) => {
                let tls = Wrapping {
                    tls: rustls(&self.address, files)?,
                    wrap: Lingering,
                };
                token.cancel_query_raw(socket, tls).await
            }
        }
        .map_err(io::Error::other)
    }
}
