//! PostgreSQL's framing: a tag and a length, or, before the startup is over, a length alone.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The largest message that the proxy passes on, which it holds in memory whole.
const LARGEST: usize = 64 << 20;

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// Reads messages from one side.
pub(super) struct Frames<R> {
    input: R,
    buffer: BytesMut,
}

/// A client's first words.
pub(super) enum Opening {
    /// It asks for encryption.
    Encryption,
    /// It asks to cancel another session's statement.
    Cancel(Bytes),
    /// It starts a session.
    Session(Bytes),
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(super) fn new(input: R) -> Self {
        Frames {
            input,
            buffer: BytesMut::with_capacity(8192),
        }
    }

    /// A message with its tag, its length and its body; `None` at the end. Cancel-safe.
    pub(super) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        self.take(1).await
    }

    /// A message without a tag.
    pub(super) async fn opening(&mut self) -> io::Result<Option<Opening>> {
        let Some(packet) = self.take(0).await? else {
            return Ok(None);
        };
        let code = packet.get(4..8).map(|mut code| code.get_u32());
        Ok(Some(match code {
            Some(SSL_REQUEST | GSS_REQUEST) => Opening::Encryption,
            Some(CANCEL_REQUEST) => Opening::Cancel(packet),
            _ => Opening::Session(packet),
        }))
    }

    async fn take(&mut self, tag: usize) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(mut length) = self.buffer.get(tag..tag + 4) {
                let length = length.get_u32() as usize;
                if !(4..=LARGEST).contains(&length) {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                if self.buffer.len() >= tag + length {
                    return Ok(Some(self.buffer.split_to(tag + length).freeze()));
                }
            }
            if self.input.read_buf(&mut self.buffer).await? == 0 {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }
}

/// A message of a tag and a body.
pub(super) fn message(tag: u8, body: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(5 + body.len());
    message.put_u8(tag);
    message.put_u32(4 + body.len() as u32);
    message.put_slice(body);
    message.freeze()
}

/// The tag of a message.
pub(super) fn tag(frame: &[u8]) -> u8 {
    frame.first().copied().unwrap_or_default()
}

/// A text that ends with a zero byte, and what follows.
pub(super) fn text(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    let rest = bytes.get(end + 1..).unwrap_or_default();
    (&bytes[..end], rest)
}

/// What is behind the tag and the length.
pub(super) fn body(frame: &[u8]) -> &[u8] {
    frame.get(5..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_are_cut_wherever_they_arrive() {
        let bytes = [message(b'Q', b"SELECT 1\0"), message(b'S', b"")].concat();
        let input = one_by_one(&bytes);
        let mut frames = Frames::new(input);
        let first = frames.next().await.unwrap().unwrap();
        assert_eq!((tag(&first), body(&first)), (b'Q', &b"SELECT 1\0"[..]));
        assert_eq!(text(body(&first)).0, b"SELECT 1");
        assert_eq!(frames.next().await.unwrap().unwrap(), message(b'S', b""));
        assert!(frames.next().await.unwrap().is_none());
        let mut cut = Frames::new(&bytes[..7]);
        assert!(cut.next().await.is_err());
        let mut absurd = Frames::new(&b"Q\xff\xff\xff\xff"[..]);
        assert!(absurd.next().await.is_err());
    }

    /// The bytes one by one.
    fn one_by_one(bytes: &[u8]) -> impl AsyncRead + Unpin {
        struct Single(Vec<u8>);
        impl AsyncRead for Single {
            fn poll_read(
                mut self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
                buf: &mut tokio::io::ReadBuf<'_>,
            ) -> std::task::Poll<io::Result<()>> {
                if !self.0.is_empty() {
                    buf.put_slice(&[self.0.remove(0)]);
                }
                std::task::Poll::Ready(Ok(()))
            }
        }
        Single(bytes.to_vec())
    }
}
