//! The answers to scrapes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::page::Page;

/// No more connections than this at once: a Prometheus or two, and a curious person.
const CONNECTIONS: usize = 64;

/// How long a connection may take to ask.
const HEADERS: Duration = Duration::from_secs(10);

pub(super) async fn serve(listener: TcpListener, page: &Arc<ArcSwap<Page>>, patience: Duration) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // No descriptors left, say: later perhaps.
            Err(error) => {
                tracing::warn!(%error, "a scrape could not be accepted");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let page = page.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let answer = service_fn(move |request: Request<hyper::body::Incoming>| {
                let answer = answer(request.uri().path(), &page.load(), patience);
                async move { Ok::<_, Infallible>(answer) }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADERS)
                .serve_connection(TokioIo::new(stream), answer);
            if let Err(error) = served.await {
                tracing::debug!(%error, "a scrape was not answered");
            }
        });
    }
}

fn answer(path: &str, page: &Page, patience: Duration) -> Response<Full<Bytes>> {
    let fresh = page.at.is_some_and(|at| at.elapsed() < patience);
    let (status, text) = match path {
        "/metrics" => {
            let age = page
                .at
                .map_or(f64::NAN, |at: Instant| at.elapsed().as_secs_f64());
            let own = format!(
                "# HELP shardctl_exporter_age_seconds How old these samples are.\n\
                 # TYPE shardctl_exporter_age_seconds gauge\nshardctl_exporter_age_seconds {age}\n"
            );
            (StatusCode::OK, format!("{}{own}", page.text))
        }
        "/healthz" if fresh => (StatusCode::OK, "fresh\n".to_owned()),
        "/healthz" => (
            StatusCode::SERVICE_UNAVAILABLE,
            "no round was complete lately\n".to_owned(),
        ),
        _ => (StatusCode::NOT_FOUND, "see /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}
