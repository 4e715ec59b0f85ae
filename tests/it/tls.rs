//! Encryption is verified in full, with a real authority made here: a wrong name, a wrong authority
//! or a server without TLS is refused, and nothing falls back to plaintext.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;

use pgshard::config::{Config, TlsMode};
use pgshard::local::LocalCluster;
use pgshard::{Cluster, ErrorKind};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use uuid::Uuid;

use crate::support::{installed, superuser};

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// Installs a certificate for these names as the server's own.
    async fn certify(&self, local: &LocalCluster, node: &str, names: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &self.issuer)
            .unwrap();
        let dir = local.node(node).unwrap().data_dir();
        give(&dir, "server.crt", &certificate.pem());
        give(&dir, "server.key", &key.serialize_pem());
        let admin = superuser(local, node).await;
        admin
            .batch_execute("SELECT pg_reload_conf()")
            .await
            .unwrap();
    }
}

/// Writes a file that belongs to the server's user alone.
fn give(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let owner = std::fs::metadata(dir).unwrap();
    chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
}

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

    let admin = superuser(&local, "s0a").await;
    if let Err(error) = admin.batch_execute("ALTER SYSTEM SET ssl = on").await {
        let text = error
            .as_db_error()
            .map(|answer| answer.message().to_owned());
        assert!(text.unwrap().contains("SSL is not supported by this build"));
        eprintln!("this PostgreSQL was built without TLS: only the refusal was tested");
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

    // Without TLS the same server can be reached, which shows that the refusals were TLS's.
    config.tls.mode = Some(TlsMode::Plaintext);
    assert!(!encrypted(config).await.unwrap());
}
