//! Where a proxy listens.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::error::{Error, Result};

/// A host and a port.
///
/// ```
/// use pgshard::ops::proxies::Address;
///
/// let address: Address = "10.0.0.9:6432".parse()?;
/// assert_eq!((address.host.as_str(), address.port), ("10.0.0.9", 6432));
/// # Ok::<(), pgshard::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Address> {
        let parts = text.rsplit_once(':').and_then(|(host, port)| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Some((host, port.parse().ok()?))
        });
        match parts {
            Some((host, port)) if !host.is_empty() => Ok(Address {
                host: host.to_owned(),
                port,
            }),
            _ => Err(Error::config(format!("{text:?} is not HOST:PORT"))),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
