//! A password is changed while the process runs: the file first, then the role. No caller notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use pgshard::config::{Login, PasswordError, PasswordProvider, PasswordSource};
use pgshard::{Cluster, ErrorKind};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::{installed, superuser, tmpdir};

/// Ends the client's connections, so that the next read makes one.
async fn hang_up(admin: &Client) {
    let sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'app'";
    admin.batch_execute(sql).await.unwrap();
}

async fn read(cluster: &Cluster) -> pgshard::Result<()> {
    let session = cluster.session(&Uuid::nil())?;
    let read = session.read().within(Duration::from_secs(8));
    read.query_one::<(i32,)>("SELECT 1", &[]).await.map(|_| ())
}

async fn set_password(admin: &Client, password: &str) {
    let sql = format!("ALTER ROLE app PASSWORD '{password}'");
    admin.batch_execute(&sql).await.unwrap();
}

fn write(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_file_is_read_at_each_connect() {
    let (local, mut config) = installed(1, 0).await;
    let admin = superuser(&local, "s0a").await;
    let files = tmpdir();
    let file = files.path().join("app");
    set_password(&admin, "first").await;
    write(&file, "first\n");
    config.password = Some(PasswordSource::File(file.clone()));
    let cluster = Cluster::connect(config.clone()).unwrap();
    read(&cluster).await.unwrap();

    // The file is ahead of the role.
    write(&file, "second\n");
    hang_up(&admin).await;
    read(&cluster).await.unwrap();

    set_password(&admin, "second").await;
    hang_up(&admin).await;
    read(&cluster).await.unwrap();

    // A file that is just being replaced.
    std::fs::remove_file(&file).unwrap();
    hang_up(&admin).await;
    read(&cluster).await.unwrap();

    // One process that starts now has nothing to go by.
    let other = Cluster::connect(config).unwrap();
    let refused = other.ready(Duration::from_secs(2)).await.unwrap_err();
    assert!(refused.to_string().contains("password file"), "{refused}");
    other.close().await;
    write(&file, "third\n");
    set_password(&admin, "third").await;
    hang_up(&admin).await;
    read(&cluster).await.unwrap();
    cluster.close().await;
}

struct Vault {
    asked: Arc<AtomicUsize>,
}

impl PasswordProvider for Vault {
    fn password(&self, login: Login) -> BoxFuture<'_, Result<String, PasswordError>> {
        assert_eq!(
            (login.user.as_str(), login.host.as_str()),
            ("app", "127.0.0.1")
        );
        let nth = self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            match nth {
                0 => Err("the vault is sealed".into()),
                _ => Ok("first".to_owned()),
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_is_asked_at_each_connect() {
    let (local, mut config) = installed(1, 0).await;
    let admin = superuser(&local, "s0a").await;
    set_password(&admin, "first").await;
    let asked = Arc::new(AtomicUsize::new(0));
    let vault = Vault {
        asked: Arc::clone(&asked),
    };
    config.password = Some(PasswordSource::provider(vault));
    let cluster = Cluster::connect(config.clone()).unwrap();
    read(&cluster).await.unwrap();
    let before = asked.load(Ordering::Relaxed);
    assert!(before >= 2, "{before}");
    hang_up(&admin).await;
    read(&cluster).await.unwrap();
    assert!(asked.load(Ordering::Relaxed) > before);
    cluster.close().await;

    struct Sealed;
    impl PasswordProvider for Sealed {
        fn password(&self, _: Login) -> BoxFuture<'_, Result<String, PasswordError>> {
            Box::pin(async { Err("the vault is sealed".into()) })
        }
    }
    config.password = Some(PasswordSource::provider(Sealed));
    config.timeouts.primary = Duration::from_secs(1);
    let cluster = Cluster::connect(config).unwrap();
    let refused = read(&cluster).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(
        refused.to_string().contains("password provider"),
        "{refused}"
    );
    cluster.close().await;
}
