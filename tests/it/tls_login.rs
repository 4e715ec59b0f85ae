//! Logins over TLS: bound to their channel where that is required, by a certificate where the server
//! wants one, and by another certificate as soon as the file holds it.

use std::path::Path;
use std::time::Duration;

use pgshard::config::{ChannelBinding, TlsMode};
use pgshard::{Cluster, Config, ErrorKind};
use rustls::crypto::ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256;
use uuid::Uuid;

use crate::support::authority::{Authority, HERE, admit, encrypt, give, reload};
use crate::support::{installed, superuser, tmpdir};

async fn ask(cluster: &Cluster) -> pgshard::Result<(bool, String)> {
    let sql = "SELECT ssl, coalesce(client_dn, '') FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let session = cluster.session(&Uuid::nil())?;
    let read = session.read().within(Duration::from_secs(6));
    read.query_one(sql, &[]).await
}

async fn once(config: &Config) -> pgshard::Result<(bool, String)> {
    let cluster = Cluster::connect(config.clone())?;
    let answer = ask(&cluster).await;
    cluster.close().await;
    answer
}

fn verified(mut config: Config, ca_file: &Path) -> Config {
    config.tls.mode = Some(TlsMode::VerifyFull);
    config.tls.ca_file = Some(ca_file.to_owned());
    config.timeouts.primary = Duration::from_secs(2);
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_must_be_bound_is_bound_or_refused() {
    let (local, config) = installed(1, 0).await;
    let files = tmpdir();
    let ca_file = files.path().join("ca.pem");
    let authority = Authority::new();
    std::fs::write(&ca_file, &authority.pem).unwrap();
    let prefer = verified(config, &ca_file);
    let mut require = prefer.clone();
    require.tls.channel_binding = ChannelBinding::Require;

    // Without encryption there is nothing to bind to: on loopback too, where it is the default.
    let mut plain = require.clone();
    plain.tls.mode = None;
    let refused = once(&plain).await.unwrap_err();
    assert!(refused.to_string().contains("channel binding"), "{refused}");

    if !encrypt(&local, "s0a").await {
        return;
    }
    authority.certify(&local, "s0a", &HERE).await;
    assert!(once(&require).await.unwrap().0);

    // A server that does not ask for a password, or not by SCRAM, has not shown that it knows it.
    for method in ["trust", "password"] {
        admit(&local, "s0a", method, "scram-sha-256").await;
        assert!(once(&prefer).await.unwrap().0, "{method}");
        let refused = once(&require).await.unwrap_err();
        assert!(
            refused.to_string().contains("channel binding"),
            "{method}: {refused}"
        );
    }
    admit(&local, "s0a", "scram-sha-256", "scram-sha-256").await;
    assert!(once(&require).await.unwrap().0);

    // A signature without a digest: the binding is not defined.
    let without = Authority::without_digest();
    std::fs::write(&ca_file, &without.pem).unwrap();
    without.certify(&local, "s0a", &HERE).await;
    assert!(once(&prefer).await.unwrap().0);
    let refused = once(&require).await.unwrap_err();
    assert!(refused.to_string().contains("channel binding"), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cryptography_is_the_processes_choice() {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites = vec![TLS13_CHACHA20_POLY1305_SHA256];
    provider.install_default().unwrap();
    let (local, config) = installed(1, 0).await;
    if !encrypt(&local, "s0a").await {
        return;
    }
    let files = tmpdir();
    let ca_file = files.path().join("ca.pem");
    let authority = Authority::new();
    std::fs::write(&ca_file, &authority.pem).unwrap();
    authority.certify(&local, "s0a", &HERE).await;
    let cluster = Cluster::connect(verified(config, &ca_file)).unwrap();
    let sql = "SELECT cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let session = cluster.session(&Uuid::nil()).unwrap();
    let (cipher,): (String,) = session.read().query_one(sql, &[]).await.unwrap();
    assert_eq!(cipher, "TLS_CHACHA20_POLY1305_SHA256");
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_a_login_and_may_be_replaced() {
    let (local, config) = installed(1, 0).await;
    if !encrypt(&local, "s0a").await {
        return;
    }
    let files = tmpdir();
    let path = |name: &str| files.path().join(name);
    let (ca_file, certificate, key) = (path("ca.pem"), path("client.pem"), path("client.key"));
    let servers = Authority::new();
    std::fs::write(&ca_file, &servers.pem).unwrap();
    servers.certify(&local, "s0a", &HERE).await;
    let clients = Authority::new();
    let data = local.node("s0a").unwrap().data_dir();
    give(&data, "clients.pem", &clients.pem);
    let admin = superuser(&local, "s0a").await;
    admin
        .batch_execute("ALTER SYSTEM SET ssl_ca_file = 'clients.pem'")
        .await
        .unwrap();
    admit(&local, "s0a", "cert", "reject").await;

    // Without a certificate the server does not let anyone in.
    let mut config = verified(config, &ca_file);
    config.password = None;
    let refused = once(&config).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    config.tls.cert_file = Some(certificate.clone());
    config.tls.key_file = Some(key.clone());

    // Another role's.
    clients.certify_client("somebody", &certificate, &key);
    let refused = once(&config).await.unwrap_err();
    assert!(refused.to_string().contains("app"), "{refused}");

    clients.certify_client("app", &certificate, &key);
    let cluster = Cluster::connect(config.clone()).unwrap();
    assert_eq!(ask(&cluster).await.unwrap().1, "/CN=app");

    // Another authority from now on, and a certificate of its in the same files: the next connection
    // takes it. A half-written file is not used.
    let next = Authority::new();
    std::fs::write(&certificate, "-----BEGIN").unwrap();
    give(
        &data,
        "clients.pem",
        &format!("{}{}", clients.pem, next.pem),
    );
    reload(&local, "s0a").await;
    let hang_up = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'";
    admin.batch_execute(hang_up).await.unwrap();
    assert_eq!(ask(&cluster).await.unwrap().1, "/CN=app");
    next.certify_client("app", &certificate, &key);
    give(&data, "clients.pem", &next.pem);
    reload(&local, "s0a").await;
    admin.batch_execute(hang_up).await.unwrap();
    assert_eq!(ask(&cluster).await.unwrap().1, "/CN=app");
    cluster.close().await;
}
