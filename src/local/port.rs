//! Ports that stay a node's own, also while its server is down.

use std::net::{Ipv4Addr, SocketAddrV4};

use socket2::{Domain, Socket, Type};

use crate::error::Result;

use crate::host::spawn::io_error;

/// A loopback port, held by a socket that is bound but does not listen.
///
/// Both this socket and the server's set `SO_REUSEADDR` (PostgreSQL, the proxies, etcd and Patroni do), so that the
/// server may bind the port too; the kernel gives it to nobody else, neither to a `bind` to port 0 nor to an outgoing
/// connection. While the server is down, connections are refused.
///
/// ```
/// # fn main() -> pgshard::Result<()> {
/// let port = pgshard::local::ReservedPort::new(None)?;
/// let server = std::net::TcpListener::bind(("127.0.0.1", port.number())).expect("it is ours");
/// # drop(server);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ReservedPort {
    number: u16,
    _socket: Socket,
}

impl ReservedPort {
    /// A port: the one asked for, or one that the kernel chooses.
    ///
    /// # Errors
    ///
    /// `Io` if the port is somebody's.
    pub fn new(wanted: Option<u16>) -> Result<Self> {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, wanted.unwrap_or(0));
        let bind = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.bind(&address.into())?;
            let bound = socket.local_addr()?;
            let number = bound.as_socket().map(|address| address.port());
            Ok((number.unwrap_or_default(), socket))
        };
        let (number, socket) =
            bind().map_err(|e| io_error(format!("cannot reserve a port at {address}"), e))?;
        Ok(ReservedPort {
            number,
            _socket: socket,
        })
    }

    /// The port of an earlier run, or another if somebody has taken it since.
    pub(super) fn preferring(wanted: Option<u16>) -> Result<Self> {
        match Self::new(wanted) {
            Err(_) if wanted.is_some() => Self::new(None),
            other => other,
        }
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_reserved_port_refuses_connections_and_lets_the_server_listen() {
        let port = ReservedPort::new(None).unwrap();
        let address = (Ipv4Addr::LOCALHOST, port.number());
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        // The standard library sets SO_REUSEADDR, as PostgreSQL does.
        let _listener = TcpListener::bind(address).unwrap();
        TcpStream::connect(address).unwrap();
    }
}
