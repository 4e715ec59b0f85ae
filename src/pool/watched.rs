//! Notes when the server reports a parameter that changed.
//!
//! The driver keeps such reports to itself: they are never returned by `poll_message`, only looked up
//! by name. To look after each poll would cost every statement several look-ups, and would come too
//! late for a caller on another thread, who has the answer already. So the stream that the driver
//! reads from is watched for the messages.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

use super::link::Link;
use super::named::Outgoing;

/// A stream of the server's messages in clear, watched.
pub(super) struct Watched<S> {
    stream: S,
    messages: Messages,
    link: Arc<Link>,
    /// A report was handed to the driver, which may not have decoded it yet.
    received: bool,
    /// What the client has sent, where no statement may be named.
    outgoing: Option<Outgoing>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, link: Arc<Link>) -> Self {
        Watched {
            stream,
            messages: Messages::default(),
            outgoing: link.proxy().map(|_| Outgoing::default()),
            link,
            received: false,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        // The driver asks for more only when it has decoded all that it has.
        if std::mem::take(&mut me.received) {
            me.link.parameters_decoded();
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut me.stream).poll_read(cx, buf))?;
        let read = buf.filled().get(before..).unwrap_or_default();
        if me.messages.report_a_parameter(read) {
            me.received = true;
            // Noted before the driver passes the end of the answer on to whoever waits for it.
            me.link.parameters_received();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let Some(outgoing) = &mut me.outgoing else {
            return Pin::new(&mut me.stream).poll_write(cx, buf);
        };
        if outgoing.clone().names_a_statement(buf) {
            me.link.refuse_named();
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        }
        let written = ready!(Pin::new(&mut me.stream).poll_write(cx, buf))?;
        outgoing.names_a_statement(buf.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Watched<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

/// Where in the server's messages a stream is: each is a byte of type, then four bytes of length,
/// which count themselves, then the rest.
#[derive(Debug, Default)]
struct Messages {
    header: [u8; HEADER],
    /// How much of the header is known.
    known: usize,
    /// How much of the message is still to come after the header.
    rest: usize,
}

const PARAMETER_STATUS: u8 = b'S';
const HEADER: usize = 5;

impl Messages {
    /// Whether these next bytes end a message that reports a parameter.
    fn report_a_parameter(&mut self, mut bytes: &[u8]) -> bool {
        let mut reported = false;
        loop {
            if self.known == 0 {
                // Mostly, for answers come whole.
                while let [tag, a, b, c, d, later @ ..] = bytes {
                    let Some((_, later)) = later.split_at_checked(length([*a, *b, *c, *d])) else {
                        break;
                    };
                    reported |= *tag == PARAMETER_STATUS;
                    bytes = later;
                }
            }
            if bytes.is_empty() {
                return reported;
            }
            reported |= self.report_in_pieces(&mut bytes);
        }
    }

    /// Takes in what there is of one message.
    fn report_in_pieces(&mut self, bytes: &mut &[u8]) -> bool {
        for place in self.header.iter_mut().skip(self.known) {
            let Some((byte, later)) = bytes.split_first() else {
                return false;
            };
            *place = *byte;
            *bytes = later;
            self.known += 1;
            if self.known == HEADER {
                let [_, a, b, c, d] = self.header;
                self.rest = length([a, b, c, d]);
                break;
            }
        }
        let (seen, later) = bytes.split_at(self.rest.min(bytes.len()));
        self.rest -= seen.len();
        *bytes = later;
        if self.rest > 0 {
            return false;
        }
        self.known = 0;
        self.header[0] == PARAMETER_STATUS
    }
}

/// The length of what follows a header, from the length that includes four bytes of it.
fn length(bytes: [u8; 4]) -> usize {
    (u32::from_be_bytes(bytes) as usize).saturating_sub(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[tag], length.to_be_bytes().as_slice(), body].concat()
    }

    /// An answer with a report before its end.
    fn answer() -> (Vec<u8>, usize) {
        let before = [message(b'2', b""), message(b'D', b"SSSSS S\0S")].concat();
        let report = message(b'S', b"in_hot_standby\0off\0");
        let end = before.len() + report.len();
        let after = [message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat();
        ([before, report, after].concat(), end)
    }

    #[test]
    fn a_report_is_seen_when_its_last_byte_is() {
        let (bytes, end) = answer();
        for cut in 0..=bytes.len() {
            let mut messages = Messages::default();
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(messages.report_a_parameter(head), cut >= end, "{cut}");
            assert_eq!(messages.report_a_parameter(tail), cut < end, "{cut}");
            assert!(!messages.report_a_parameter(&message(b'D', b"S")));
        }
    }

    #[test]
    fn byte_by_byte() {
        let (bytes, end) = answer();
        let mut messages = Messages::default();
        for (at, byte) in bytes.iter().enumerate() {
            assert_eq!(messages.report_a_parameter(&[*byte]), at + 1 == end, "{at}");
        }
    }

    #[test]
    fn nonsense_is_survived() {
        let mut messages = Messages::default();
        messages.report_a_parameter(&[b'S', 0, 0, 0, 0, b'S', 0, 0, 0, 3, 0xff, 0xff, 0xff, 0xff]);
        messages.report_a_parameter(&[0xff; 64]);
    }
}
