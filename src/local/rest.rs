//! One HTTP request to a program on loopback, such as Patroni's REST interface.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::{Error, ErrorKind, Result};

use crate::host::spawn::io_error;

/// The largest answer, in bytes.
const LARGEST: u64 = 1 << 20;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Asks, and reads the answer until the other side closes the connection. `authorization` is the
/// header's value.
pub(super) async fn request(
    port: u16,
    method: &str,
    path: &str,
    authorization: Option<&str>,
    body: Option<&str>,
    deadline: Duration,
) -> Result<Answer> {
    let mut text = format!("{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n");
    if let Some(value) = authorization {
        text.push_str(&format!("Authorization: {value}\r\n"));
    }
    let body = body.unwrap_or_default();
    text.push_str(&format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let exchange = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.write_all(text.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(LARGEST).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let failed = |e| io_error(format!("no answer to {method} {path} at port {port}"), e);
    let answer = tokio::time::timeout(deadline, exchange)
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
        .map_err(failed)?;
    parse(&answer).ok_or_else(|| {
        Error::new(
            ErrorKind::Io,
            format!("what answers {path} at port {port} does not speak HTTP"),
        )
    })
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut words = head.strip_prefix("HTTP/1.")?.split_whitespace().skip(1);
    Some(Answer {
        status: words.next()?.parse().ok()?,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn answers_are_read() {
        let answer = super::parse(b"HTTP/1.0 503 Service Unavailable\r\nA: b\r\n\r\n{}").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (503, "{}"));
        assert!(super::parse(b"").is_none());
        assert!(super::parse(b"\0\xff\r\n\r\n").is_none());
    }
}
