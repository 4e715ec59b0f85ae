//! Against servers that misbehave.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::*;
use crate::config::Config;

fn http() -> Http {
    let text = "cluster = \"bank\"\ndatabase = \"bankdb\"\nuser = \"app\"\n[routing]\nhash = \"pg\"\n\
                [[shard]]\nid = \"s0\"\n[[shard.node]]\nid = \"s0a\"\nhost = \"127.0.0.1\"\n";
    let config = Config::parse(text, "shards.toml").unwrap();
    Http::new(&config, Duration::from_millis(300), []).unwrap()
}

/// The address of a server that takes one request, and then sends these pieces with pauses between.
async fn server(pieces: Vec<Vec<u8>>, pause: Duration) -> HttpUrl {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await;
        for piece in pieces {
            if stream.write_all(&piece).await.is_err() {
                return;
            }
            tokio::time::sleep(pause).await;
        }
    });
    HttpUrl::parse(&format!("http://127.0.0.1:{port}")).unwrap()
}

async fn get(answer: &[u8]) -> Result<Answer, HttpError> {
    let url = server(vec![answer.to_vec()], Duration::ZERO).await;
    http().get(&url, "/primary", None).await
}

#[tokio::test]
async fn an_answer_is_read_with_its_clock() {
    let answer =
        get(b"HTTP/1.0 503 Service Unavailable\r\nDate: Mon, 23 Nov 2026 02:47:17 GMT\r\n\r\n{}")
            .await
            .unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (503, &b"{}"[..]));
    let date = answer.date.unwrap().duration_since(SystemTime::UNIX_EPOCH);
    assert_eq!(date.unwrap().as_secs(), 1_795_402_037);
    let odd = get(b"HTTP/1.1 200 OK\r\nDate: yesterday\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(odd.unwrap().date, None);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let answer =
        get(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(answer.await.unwrap().status, 302);
}

#[tokio::test]
async fn garbage_and_silence_are_errors() {
    let garbage: [&[u8]; 5] = [
        b"",
        b"N\0\0\0\x1eSFATAL\0",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
    ];
    for answer in garbage {
        let outcome = get(answer).await;
        assert!(
            matches!(outcome, Err(HttpError::Protocol(_))),
            "{outcome:?}"
        );
    }
    let headers = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    assert!(get(headers.as_bytes()).await.is_err());
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let url = HttpUrl::parse(&format!("http://127.0.0.1:{port}")).unwrap();
    let refused = http().get(&url, "/", None).await;
    assert!(matches!(refused, Err(HttpError::Connect(_))), "{refused:?}");
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let mut pieces = vec![b"HTTP/1.1 200 OK\r\n\r\n".to_vec()];
    pieces.extend(std::iter::repeat_n(vec![b' '; 64 << 10], 20));
    let url = server(pieces, Duration::ZERO).await;
    let outcome = http().get(&url, "/", None).await;
    assert!(matches!(outcome, Err(HttpError::TooLarge)), "{outcome:?}");
}

#[tokio::test]
async fn a_slow_drip_does_not_outlast_the_deadline() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    let mut pieces: Vec<Vec<u8>> = answer.iter().map(|byte| vec![*byte]).collect();
    pieces.extend(std::iter::repeat_n(vec![b' '], 1000));
    let url = server(pieces, Duration::from_millis(20)).await;
    let began = Instant::now();
    let outcome = http().get(&url, "/", None).await;
    assert!(matches!(outcome, Err(HttpError::Timeout(_))), "{outcome:?}");
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_password_is_not_shown() {
    let value = basic(&HttpLogin {
        user: "reader".to_owned(),
        password: "s3cret".into(),
    })
    .unwrap();
    assert_eq!(value.to_str().unwrap(), "Basic cmVhZGVyOnMzY3JldA==");
    assert!(!format!("{value:?}").contains("cmVh"));
}
