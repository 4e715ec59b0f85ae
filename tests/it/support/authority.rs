//! A certificate authority, and servers with its certificates.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use pgshard::local::LocalCluster;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ED25519,
    date_time_ymd,
};

use super::superuser;

/// What a certificate holds for a server that is connected to on this machine.
pub(crate) const HERE: [&str; 2] = ["localhost", "127.0.0.1"];

pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// An authority whose signatures have no digest that a login could be bound to.
    pub(crate) fn without_digest() -> Self {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// Installs a certificate for these names as the server's own.
    pub(crate) async fn certify(&self, local: &LocalCluster, node: &str, names: &[&str]) {
        self.install(local, node, params(names)).await;
    }

    /// Installs one that is not valid any more.
    pub(crate) async fn certify_expired(&self, local: &LocalCluster, node: &str) {
        let mut params = params(&HERE);
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
        self.install(local, node, params).await;
    }

    async fn install(&self, local: &LocalCluster, node: &str, params: CertificateParams) {
        let (certificate, key) = self.sign(params);
        let dir = local.node(node).unwrap().data_dir();
        give(&dir, "server.crt", &certificate.pem());
        give(&dir, "server.key", &key.serialize_pem());
        reload(local, node).await;
    }

    /// Writes the certificate and the key of a client for this role.
    pub(crate) fn certify_client(&self, role: &str, certificate: &Path, key: &Path) {
        let mut params = params(&[]);
        params.distinguished_name.push(DnType::CommonName, role);
        let (signed, private) = self.sign(params);
        std::fs::write(certificate, signed.pem()).unwrap();
        std::fs::write(key, private.serialize_pem()).unwrap();
        std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn sign(&self, params: CertificateParams) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate, key)
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).unwrap()
}

/// Switches encryption on; says whether the server has any.
pub(crate) async fn encrypt(local: &LocalCluster, node: &str) -> bool {
    let admin = superuser(local, node).await;
    let Err(error) = admin.batch_execute("ALTER SYSTEM SET ssl = on").await else {
        return true;
    };
    let text = error
        .as_db_error()
        .map(|answer| answer.message().to_owned());
    assert!(text.unwrap().contains("SSL is not supported by this build"));
    eprintln!("this PostgreSQL was built without TLS: only the refusals without it were tested");
    false
}

/// Replaces the rules by which the application's role may log in, here by one for its encrypted and
/// one for its other connections.
pub(crate) async fn admit(local: &LocalCluster, node: &str, encrypted: &str, other: &str) {
    let path = local.node(node).unwrap().data_dir().join("pg_hba.conf");
    let old = std::fs::read_to_string(&path).unwrap();
    let rest = old.lines().filter(|line| !line.contains(" app "));
    let mut text = format!(
        "hostssl all app 127.0.0.1/32 {encrypted}\nhostnossl all app 127.0.0.1/32 {other}\n"
    );
    rest.for_each(|line| text.extend([line, "\n"]));
    std::fs::write(&path, text).unwrap();
    reload(local, node).await;
}

/// Has the server read its files again, and waits until new sessions see that.
pub(crate) async fn reload(local: &LocalCluster, node: &str) {
    let admin = superuser(local, node).await;
    let before: String = loaded(&admin).await;
    admin
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .unwrap();
    for _ in 0..200 {
        if loaded(&superuser(local, node).await).await != before {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the server did not read its files again");
}

async fn loaded(admin: &tokio_postgres::Client) -> String {
    let sql = "SELECT pg_conf_load_time()::text";
    admin.query_one(sql, &[]).await.unwrap().get(0)
}

/// Writes a file that belongs to the server's user alone.
pub(crate) fn give(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let owner = std::fs::metadata(dir).unwrap();
    chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
}
