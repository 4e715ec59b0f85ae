//! Shards whose logs are archived, and a store of their backups.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use pgshard::local::{Binaries, LocalCluster, LocalSpec, ReservedPort};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio_postgres::Client;

use super::cli::{Ran, Shardctl};
use super::{connect, install, start_spec, superuser};

pub(crate) struct BackedUp {
    pub(crate) cluster: LocalCluster,
    pub(crate) shardctl: Shardctl,
    place: TempDir,
    password: String,
}

impl BackedUp {
    /// Shards with a replica each, whose primaries archive into a store.
    pub(crate) async fn start(shards: usize) -> Self {
        let backed_up = BackedUp::prepared(shards, Vec::new()).await;
        backed_up.archive().await;
        backed_up
    }

    /// The same, but that nothing is archived yet.
    pub(crate) async fn prepared(shards: usize, more: Vec<(String, String)>) -> Self {
        let mut settings = vec![("archive_mode".to_owned(), "on".to_owned())];
        settings.extend(more);
        let cluster = start_spec(LocalSpec {
            shards,
            replicas: 1,
            settings,
            ..LocalSpec::default()
        })
        .await;
        install(&cluster).await;
        let shardctl = Shardctl::new(&cluster);
        let place = tempfile::tempdir().expect("a directory");
        // The servers' user runs the program, and writes into the store.
        let program = place.path().join("shardctl");
        std::fs::copy(env!("CARGO_BIN_EXE_shardctl"), &program).expect("a copy");
        let store = place.path().join("store");
        std::fs::create_dir(&store).expect("a store");
        for path in [place.path(), &store, &program] {
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(path, mode).expect("permissions");
        }
        let password = cluster.superuser().password.expect("a password");
        BackedUp {
            password: password.expose_secret().to_owned(),
            cluster,
            shardctl,
            place,
        }
    }

    /// Has the primaries archive, and sees that it arrives.
    pub(crate) async fn archive(&self) {
        let program = self.path("shardctl");
        let program = program.to_str().expect("UTF-8");
        let apply = [
            "backup",
            "archiving",
            "--apply",
            "--yes",
            "--shardctl",
            program,
        ];
        let ran = self.run(&apply).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        let ran = self.run(&["backup", "archiving", "--prove"]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Runs `shardctl --output json` with the store and the superuser's password.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(&[], arguments).await
    }

    /// The same, to be killed at a point of its journal.
    pub(crate) async fn killed_at(&self, point: &str, arguments: &[&str]) {
        let variables = [("PGSHARD_JOURNAL_CRASH", point)];
        let ran = self.run_with(&variables, arguments).await;
        assert_eq!(ran.code, -1, "not killed at {point}: {ran:?}");
    }

    pub(crate) async fn run_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
        let store = self.path("store");
        let store = store.to_str().expect("UTF-8");
        let path = std::env::var("PATH").expect("a path");
        let mut all = vec![
            ("PGSHARD_ADMIN_PASSWORD", self.password.as_str()),
            ("SHARDCTL_STORE", store),
            ("PATH", path.as_str()),
        ];
        all.extend(variables);
        let bindir = bindir().await;
        let mut arguments = [&["--output", "json"], arguments].concat();
        let needs = ["run", "verify"]
            .iter()
            .any(|name| arguments.get(3) == Some(name));
        let named = arguments.contains(&"--pg-bindir");
        if !named && (arguments[2] == "restore" || needs && arguments[2] == "backup") {
            arguments.extend(["--pg-bindir", bindir.to_str().expect("UTF-8")]);
        }
        let ran = self.shardctl.run_with(&all, &arguments).await;
        assert!(!ran.out.contains(&self.password) && !ran.err.contains(&self.password));
        ran
    }

    /// Restores, with the program that the servers' user can run.
    pub(crate) async fn restore(&self, arguments: &[&str]) -> Ran {
        let program = self.path("shardctl");
        let program = program.to_str().expect("UTF-8");
        let all = [&["restore", "--yes", "--shardctl", program], arguments].concat();
        self.run(&all).await
    }

    /// Adds a customer to a shard, by hand.
    pub(crate) async fn insert(&self, node: &str, name: &str) {
        let session = superuser(&self.cluster, node).await;
        let sql = format!(
            "INSERT INTO customers (customer_id, full_name, email, country)
             VALUES (gen_random_uuid(), '{name}', gen_random_uuid() || '@example.com', 'GB')"
        );
        // Its placement does not matter here.
        session
            .batch_execute("SET session_replication_role = replica")
            .await
            .expect("a setting");
        let drop = "ALTER TABLE customers DROP CONSTRAINT IF EXISTS pgshard_placement";
        session.batch_execute(drop).await.expect("no constraint");
        session.batch_execute(&sql).await.expect("a row");
    }

    /// The names of the customers in a restored directory, by a server on it.
    pub(crate) async fn names(&self, data: &Path) -> Vec<String> {
        let served = self.serve(data).await;
        let rows = served
            .session
            .query("SELECT full_name FROM customers ORDER BY 1", &[]);
        let rows = rows.await.expect("rows");
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Starts a server on a restored directory.
    pub(crate) async fn serve(&self, data: &Path) -> Served {
        let about = std::fs::metadata(data).expect("a directory");
        let program = bindir().await.join("pg_ctl");
        let ctl = |arguments: &[&str]| {
            let mut command = std::process::Command::new(&program);
            command.arg("-D").arg(data).args(arguments).current_dir("/");
            command.stdout(std::process::Stdio::null());
            if nix::unistd::geteuid().is_root() {
                command.uid(about.uid()).gid(about.gid());
            }
            command
        };
        let log = data.join("served.log");
        let port = ReservedPort::new(None).expect("a port");
        let options = format!("-p {} -c unix_socket_directories=", port.number());
        let start = [
            "start",
            "-w",
            "-l",
            log.to_str().expect("UTF-8"),
            "-o",
            &options,
        ];
        let started = ctl(&start).status().expect("pg_ctl runs").success();
        assert!(started, "{:?}", std::fs::read_to_string(&log));
        let mut settings = self.cluster.superuser_conninfo("s0a").expect("a node");
        let mut at = tokio_postgres::Config::new();
        at.host("127.0.0.1")
            .port(port.number())
            .user("postgres")
            .dbname("bank");
        at.dbname(settings.get_dbname().expect("a database"));
        at.password(settings.get_password().expect("a password"));
        settings = at;
        Served {
            session: connect(settings).await,
            stop: ctl(&["stop", "-w", "-m", "immediate"]),
            _port: port,
        }
    }
}

/// A server on a restored directory, until this is dropped.
pub(crate) struct Served {
    pub(crate) session: Client,
    stop: std::process::Command,
    _port: ReservedPort,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.stop.status();
    }
}

async fn bindir() -> PathBuf {
    let found = Binaries::find(None).await.expect("PostgreSQL");
    found.dir().to_owned()
}

/// A field of the only row.
#[track_caller]
pub(crate) fn field(ran: &Ran, name: &str) -> Value {
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json()[0][name].clone()
}
