//! Something else listens where a server should be.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What answers at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guise {
    /// The server on this port.
    Server(u16),
    /// Takes everything and says nothing.
    Silent,
    /// A web server.
    Http,
    /// Greets first, as SSH and mail servers do.
    Ssh,
    /// Noise, and an end.
    Noise,
    /// Zeros without an end.
    Endless,
    /// A message that is said to be two gigabytes long, and goes on.
    LongMessage,
    /// Lets everybody in, and then tells one parameter after the other.
    Chatter,
}

impl Guise {
    /// All that is not PostgreSQL.
    pub(crate) const FALSE: [Guise; 7] = [
        Guise::Silent,
        Guise::Http,
        Guise::Ssh,
        Guise::Noise,
        Guise::Endless,
        Guise::LongMessage,
        Guise::Chatter,
    ];
}

/// A port whose guise can be changed; a change ends the connections.
pub(crate) struct Impostor {
    pub(crate) port: u16,
    guise: watch::Sender<Guise>,
}

impl Impostor {
    pub(crate) fn new(guise: Guise) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let guise = watch::Sender::new(guise);
        let mut changes = guise.subscribe();
        tokio::spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let client = tokio::select! {
                    accepted = listener.accept() => accepted,
                    // The sender is gone.
                    Err(_) = changes.wait_for(|_| false) => return,
                };
                let Ok((client, _)) = client else { continue };
                let mut changes = changes.clone();
                let guise = *changes.borrow_and_update();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = play(guise, client) => {}
                        _ = changes.changed() => {}
                    }
                });
            }
        });
        Impostor { port, guise }
    }

    pub(crate) fn play(&self, guise: Guise) {
        self.guise.send_replace(guise);
    }
}

async fn play(guise: Guise, mut client: TcpStream) -> std::io::Result<()> {
    let mut asked = [0; 1024];
    match guise {
        Guise::Server(port) => {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let mut server = TcpStream::connect(address).await?;
            tokio::io::copy_bidirectional(&mut client, &mut server).await?;
        }
        Guise::Silent => while client.read(&mut asked).await? > 0 {},
        Guise::Http => {
            let _ = client.read(&mut asked).await?;
            let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
            client.write_all(answer).await?;
        }
        Guise::Ssh => {
            client.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n").await?;
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        Guise::Noise => {
            let mut state = 1_u64;
            let noise: Vec<u8> = std::iter::repeat_with(|| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 56) as u8
            })
            .take(1 << 16)
            .collect();
            client.write_all(&noise).await?;
        }
        Guise::Endless => loop {
            client.write_all(&[0; 1 << 16]).await?;
        },
        Guise::LongMessage => {
            let _ = client.read(&mut asked).await?;
            client.write_all(b"N\x7f\xff\xff\xff").await?;
            loop {
                client.write_all(&[b'x'; 1 << 16]).await?;
            }
        }
        Guise::Chatter => {
            let _ = client.read(&mut asked).await?;
            client.write_all(b"R\0\0\0\x08\0\0\0\0").await?;
            for number in 0_u64.. {
                let text = format!("parameter{number:012}\0{}\0", "v".repeat(990));
                let mut message = vec![b'S'];
                message.extend((text.len() as u32 + 4).to_be_bytes());
                message.extend(text.as_bytes());
                client.write_all(&message).await?;
            }
        }
    }
    Ok(())
}
