//! Passwords are in no Debug, Display, error or log of this crate, at any level.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use uuid::Uuid;

use crate::support::{INSERT, credentials, installed};

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stay_secret() {
    let buffer = Buffer::default();
    let writer = buffer.clone();
    tracing_subscriber::registry()
        .with(Targets::new().with_target("pgshard", tracing::Level::TRACE))
        .with(tracing_subscriber::fmt::layer().with_writer(move || writer.clone()))
        .init();
    let (local, mut config) = installed(1, 0).await;
    let app = local.app_conninfo("s0a").unwrap();
    let right = String::from_utf8_lossy(app.get_password().unwrap()).into_owned();
    assert!(right.len() > 8);
    let wrong = "hunter2-is-no-password";
    let secrets = [right.as_str(), wrong];
    let clean = |what: String| {
        assert!(
            !secrets.iter().any(|secret| what.contains(secret)),
            "{what}"
        )
    };
    clean(format!("{:?}", credentials(&app)));

    // The right one.
    clean(format!("{config:?}"));
    let cluster = crate::support::client(config.clone()).await;
    let id = pgshard::CustomerId(Uuid::new_v4());
    let session = cluster.session(&id).unwrap();
    let done = session.transaction(|tx| async move {
        let _ = tx.execute("SELECT 1 / 0", &[]).await;
        tx.execute(INSERT, &[&id]).await
    });
    let error = done.await.unwrap_err();
    let lease = session.read().lease().await.unwrap();
    clean(format!(
        "{cluster:?} {session:?} {lease:?} {error:?} {error}"
    ));
    clean(format!("{:?}", cluster.status()));
    drop(lease);
    local
        .stop("s0a", pgshard::local::StopMode::Fast)
        .await
        .unwrap();
    let error = session
        .read()
        .within(Duration::from_secs(1))
        .rows("SELECT 1", &[])
        .await;
    clean(format!("{error:?}"));
    local.start_node("s0a").await.unwrap();
    cluster.close().await;

    // A wrong one.
    config.password = Some(wrong.to_owned().into());
    config.timeouts.primary = Duration::from_secs(1);
    clean(format!("{config:?}"));
    let cluster = pgshard::Cluster::connect(config.clone()).unwrap();
    let error = cluster.ready(Duration::from_secs(2)).await.unwrap_err();
    assert!(error.to_string().contains("password"), "{error}");
    clean(format!("{error} {error:?}"));
    let session = cluster.session(&id).unwrap();
    let error = session.read().rows("SELECT 1", &[]).await.unwrap_err();
    clean(format!("{error} {error:?} {:?}", cluster.status()));
    cluster.close().await;

    let log = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("pgshard"), "nothing was logged at all");
    clean(log);
}
