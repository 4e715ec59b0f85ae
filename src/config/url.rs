//! Where an HTTP interface is.

use std::fmt;
use std::net::IpAddr;

use toml::de::DeValue;

use super::model::is_local;
use super::scalar::Scalar;

/// The address of an HTTP interface: `http://host:port` or `https://host:port`, with an optional path
/// in front of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpUrl {
    https: bool,
    host: String,
    port: u16,
    path: String,
}

impl HttpUrl {
    /// An address from its text.
    ///
    /// ```
    /// use pgshard::config::HttpUrl;
    ///
    /// let url = HttpUrl::parse("https://db1.example:8008/").unwrap();
    /// assert_eq!((url.host(), url.port(), url.is_https()), ("db1.example", 8008, true));
    /// assert_eq!(HttpUrl::parse("http://[::1]:2379").unwrap().host(), "::1");
    /// assert!(HttpUrl::parse("http://admin:secret@db1:8008").is_err());
    /// assert!(HttpUrl::parse("db1:8008").is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (https, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return Err("write http://host:port or https://host:port".to_owned()),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(
                "a password does not belong in this file: write `user` and `password_file`"
                    .to_owned(),
            );
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').unwrap_or((rest, ""));
                (host, port.strip_prefix(':'))
            }
            None => match authority.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = port
            .and_then(|port| port.parse().ok())
            .filter(|port| *port > 0)
            .ok_or("write the port too, as in http://10.0.0.1:8008")?;
        check_host(host)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
        if !path.bytes().all(plain) || path.len() > 512 {
            return Err("write a plain path, or none".to_owned());
        }
        Ok(HttpUrl {
            https,
            host: host.to_owned(),
            port,
            path: path.trim_end_matches('/').to_owned(),
        })
    }

    /// Whether the connection is encrypted; certificates are verified as for the database's servers.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The host: a name or an address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What stands in front of the interface's own paths; empty, or begins with a slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether what is sent there can be read on the way.
    pub(super) fn is_exposed(&self) -> bool {
        !self.https && !is_local(&self.host)
    }
}

/// Whether a text is a host name or an address that a client can connect to.
///
/// # Errors
///
/// What to write instead.
pub(crate) fn check_host(host: &str) -> Result<(), String> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return match ip.is_unspecified() || ip.is_multicast() {
            true => Err(
                "a server may listen there, but clients need an address that reaches it".to_owned(),
            ),
            false => Ok(()),
        };
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    match (1..=253).contains(&host.len()) && host.bytes().all(plain) {
        true => Ok(()),
        false => Err("write a host name or an IP address, an IPv6 address in brackets".to_owned()),
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        let (host, port, path) = (&self.host, self.port, &self.path);
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]:{port}{path}"),
            false => write!(f, "{scheme}://{host}:{port}{path}"),
        }
    }
}

impl Scalar for HttpUrl {
    const EXPECTED: &'static str = "an HTTP address";
    const EXAMPLE: &'static str = "\"http://10.0.0.1:8008\"";

    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        let text = value
            .as_str()
            .ok_or_else(|| format!("write a string in quotes, such as {}", Self::EXAMPLE))?;
        Self::from_text(text)
    }

    fn from_text(text: &str) -> Result<Self, String> {
        HttpUrl::parse(text)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused_with_advice() {
        for text in [
            "",
            "http://",
            "http://:1",
            "http://a",
            "http://a:",
            "http://a:0",
            "http://a:65536",
            "http://a b:1",
            "http://a:1/?x",
            "http://0.0.0.0:8008",
            "http://[::]:8008",
            "http://[::1:8008",
            "ftp://a:1",
            "http://a:1/\u{e4}",
        ] {
            assert!(!HttpUrl::parse(text).unwrap_err().is_empty(), "{text}");
        }
    }

    #[test]
    fn shows_what_was_read() {
        for text in [
            "http://a:1",
            "https://[fe80::1]:2379/x/y",
            "http://10.0.0.1:8008",
        ] {
            assert_eq!(HttpUrl::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(HttpUrl::parse("http://a:1/x/").unwrap().path(), "/x");
    }
}
