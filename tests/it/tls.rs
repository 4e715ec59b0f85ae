//! Encryption is verified in full, with a real authority made here: a wrong name, a wrong authority
//! or a server without TLS is refused, and nothing falls back to plaintext.

use std::time::Duration;

use pgshard::config::{Config, TlsMode};
use pgshard::{Cluster, ErrorKind};
use uuid::Uuid;

use crate::support::authority::{Authority, encrypt};
use crate::support::installed;

async fn encrypted(config: Config) -> pgshard::Result<bool> {
    let cluster = Cluster::connect(config)?;
    let outcome = cluster
        .session(&Uuid::nil())?
        .read()
        .within(Duration::from_secs(8))
        .query_one::<(bool,)>(
            "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
            &[],
        )
        .await;
    cluster.close().await;
    outcome.map(|(ssl,)| ssl)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verified_in_full() {
    let (local, mut config) = installed(1, 0).await;
    let authority = Authority::new();
    let files = tempfile::tempdir().unwrap();
    let ca_file = files.path().join("ca.pem");
    std::fs::write(&ca_file, &authority.pem).unwrap();
    config.tls.mode = Some(TlsMode::VerifyFull);
    config.tls.ca_file = Some(ca_file.clone());
    config.timeouts.primary = Duration::from_secs(2);

    // The server speaks no TLS yet.
    let refused = encrypted(config.clone()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");

    if !encrypt(&local, "s0a").await {
        return;
    }
    authority
        .certify(&local, "s0a", &["localhost", "127.0.0.1"])
        .await;
    assert!(encrypted(config.clone()).await.unwrap());

    // Another name than the one that is connected to.
    authority.certify(&local, "s0a", &["db.example.com"]).await;
    let refused = encrypted(config.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("certificate"), "{refused}");

    // Another authority than the one that is trusted.
    Authority::new()
        .certify(&local, "s0a", &["localhost", "127.0.0.1"])
        .await;
    let refused = encrypted(config.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("certificate"), "{refused}");

    // One that has expired.
    authority.certify_expired(&local, "s0a").await;
    let refused = encrypted(config.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("expired"), "{refused}");

    // Without TLS the same server can be reached, which shows that the refusals were TLS's.
    config.tls.mode = Some(TlsMode::Plaintext);
    assert!(!encrypted(config).await.unwrap());
}
