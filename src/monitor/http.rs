//! HTTP to Patroni and etcd: one connection a request, and everything bounded. Redirects are answers
//! like any other.

use std::io;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HOST, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::config::{Config, HttpLogin, HttpUrl};
use crate::error::Result;
use crate::pool::Socket;
#[cfg(feature = "tls")]
use crate::pool::TlsFiles;

/// No answer that is read whole, and no line of a stream, is longer.
pub(super) const LARGEST: usize = 1 << 20;

/// Headers are no longer than this.
const HEADERS: usize = 64 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("what answers does not speak HTTP: {0}")]
    Protocol(#[source] hyper::Error),
    #[error("the answer is longer than {LARGEST} bytes")]
    TooLarge,
    #[cfg(feature = "etcd")]
    #[error("it answers with status {0}")]
    Status(u16),
    #[cfg(not(feature = "tls"))]
    #[error("it needs TLS, but pgshard was built without the feature `tls`")]
    NoTls,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The other side's clock.
    pub(super) date: Option<SystemTime>,
    pub(crate) body: Vec<u8>,
}

/// What requests have in common.
pub(crate) struct Http {
    #[cfg(feature = "tls")]
    tls: Option<TlsFiles>,
    timeout: Duration,
}

impl Http {
    /// Reads the certificates if one of the addresses needs them.
    pub(crate) fn new<'a>(
        config: &Config,
        timeout: Duration,
        urls: impl IntoIterator<Item = &'a HttpUrl>,
    ) -> Result<Self> {
        #[cfg(feature = "tls")]
        return Ok(Http {
            tls: match urls.into_iter().any(HttpUrl::is_https) {
                true => Some(TlsFiles::read(&config.tls)?),
                false => None,
            },
            timeout,
        });
        #[cfg(not(feature = "tls"))]
        {
            let _ = (config, urls.into_iter());
            Ok(Http { timeout })
        }
    }

    /// The longest that an answer may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Asks and reads the whole answer, whatever its status.
    pub(crate) async fn get(
        &self,
        url: &HttpUrl,
        path: &str,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, HttpError> {
        self.ask(Method::GET, url, path, None, authorization).await
    }

    /// The same, by any method, with JSON.
    pub(crate) async fn ask(
        &self,
        method: Method,
        url: &HttpUrl,
        path: &str,
        body: Option<&serde_json::Value>,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, HttpError> {
        self.whole(url, request(method, url, path, body, authorization))
            .await
    }

    /// Posts JSON and reads the whole answer; any status but 200 is an error.
    #[cfg(feature = "etcd")]
    pub(super) async fn post(
        &self,
        url: &HttpUrl,
        path: &str,
        body: &serde_json::Value,
        authorization: Option<&HeaderValue>,
    ) -> Result<Vec<u8>, HttpError> {
        match self
            .ask(Method::POST, url, path, Some(body), authorization)
            .await?
        {
            Answer {
                status: 200, body, ..
            } => Ok(body),
            other => Err(HttpError::Status(other.status)),
        }
    }

    /// Posts JSON and gives the answer as it comes.
    #[cfg(feature = "etcd")]
    pub(super) async fn stream(
        &self,
        url: &HttpUrl,
        path: &str,
        body: &serde_json::Value,
        authorization: Option<&HeaderValue>,
    ) -> Result<Stream, HttpError> {
        let request = request(Method::POST, url, path, Some(body), authorization);
        let (response, task) = timeout(self.timeout, self.send(url, request))
            .await
            .map_err(|_| HttpError::Timeout(self.timeout))??;
        match response.status().as_u16() {
            200 => Ok(Stream {
                body: response.into_body(),
                _task: task,
            }),
            status => Err(HttpError::Status(status)),
        }
    }

    async fn whole(
        &self,
        url: &HttpUrl,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, HttpError> {
        let exchange = async {
            let (response, _task) = self.send(url, request).await?;
            let status = response.status().as_u16();
            let date = response
                .headers()
                .get(DATE)
                .and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
            let body = Limited::new(response.into_body(), LARGEST).collect().await;
            let body = body.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    return HttpError::TooLarge;
                }
                match error.downcast::<hyper::Error>() {
                    Ok(error) => HttpError::Protocol(*error),
                    Err(error) => HttpError::Connect(io::Error::other(error)),
                }
            })?;
            Ok(Answer {
                status,
                date,
                body: body.to_bytes().into(),
            })
        };
        timeout(self.timeout, exchange)
            .await
            .unwrap_or(Err(HttpError::Timeout(self.timeout)))
    }

    async fn send(
        &self,
        url: &HttpUrl,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, AbortOnDropHandle<()>), HttpError> {
        let wire = TokioIo::new(self.connect(url).await?);
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEADERS)
            .handshake(wire)
            .await
            .map_err(HttpError::Protocol)?;
        // What goes wrong there is told to the request.
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            let _ = connection.await;
        }));
        let response = sender.send_request(request).await;
        Ok((response.map_err(HttpError::Protocol)?, task))
    }

    async fn connect(&self, url: &HttpUrl) -> Result<Box<dyn Wire>, HttpError> {
        let socket = Socket::connect(url.host(), url.port())
            .await
            .map_err(HttpError::Connect)?;
        if !url.is_https() {
            return Ok(Box::new(socket));
        }
        #[cfg(feature = "tls")]
        {
            let invalid = |error| HttpError::Connect(io::Error::other(error));
            let name = rustls::pki_types::ServerName::try_from(url.host().to_owned()).map_err(
                |error| invalid(Box::<dyn std::error::Error + Send + Sync>::from(error)),
            )?;
            let files = self.tls.as_ref().ok_or_else(|| {
                invalid("no https address was configured, so no certificates were read".into())
            })?;
            let connector = tokio_rustls::TlsConnector::from(files.current());
            let wire = connector.connect(name, socket).await;
            Ok(Box::new(wire.map_err(HttpError::Connect)?))
        }
        #[cfg(not(feature = "tls"))]
        Err(HttpError::NoTls)
    }
}

/// An answer that goes on and on.
#[cfg(feature = "etcd")]
pub(super) struct Stream {
    body: Incoming,
    _task: AbortOnDropHandle<()>,
}

#[cfg(feature = "etcd")]
impl Stream {
    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(HttpError::Protocol(error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

fn request(
    method: Method,
    url: &HttpUrl,
    path: &str,
    body: Option<&serde_json::Value>,
    authorization: Option<&HeaderValue>,
) -> Request<Full<Bytes>> {
    let host = match url.host().contains(':') {
        true => format!("[{}]:{}", url.host(), url.port()),
        false => format!("{}:{}", url.host(), url.port()),
    };
    let body = body.map(ToString::to_string).unwrap_or_default();
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = method;
    // The addresses and paths that are configured are plain; what comes from elsewhere is checked alike.
    if let Ok(target) = format!("{}{path}", url.path()).parse() {
        *request.uri_mut() = target;
    }
    let headers = request.headers_mut();
    if let Ok(host) = HeaderValue::from_str(&host) {
        headers.insert(HOST, host);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(authorization) = authorization {
        headers.insert(AUTHORIZATION, authorization.clone());
    }
    request
}

/// Basic authentication.
pub(crate) fn basic(login: &HttpLogin) -> Option<HeaderValue> {
    let plain = format!("{}:{}", login.user, login.password.expose_secret());
    let coded = base64::engine::general_purpose::STANDARD.encode(plain);
    secret_value(&format!("Basic {coded}"))
}

/// A header's value that is not shown by `Debug`.
pub(super) fn secret_value(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests;
