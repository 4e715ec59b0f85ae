//! What `shardctl render` writes is started: etcd, Patronis of two shards, HAProxy, PgBouncer, Pgpool-II.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use pgshard::local::{Binaries, ReservedPort};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio_postgres::{Client, NoTls};

use crate::support::installed_programs;

const PASSWORD: &str = "rendered";

struct Stack {
    dir: tempfile::TempDir,
    bindir: PathBuf,
    ports: HashMap<String, ReservedPort>,
    children: Vec<Child>,
}

impl Stack {
    fn port(&self, name: &str) -> u16 {
        self.ports[name].number()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// As the servers' user, for at most three minutes, whatever becomes of the test.
    fn run(&mut self, program: &str, arguments: &[&str], variables: &[(&str, &str)]) {
        let mut command = match nix::unistd::geteuid().is_root() {
            true => {
                let mut command = Command::new("setpriv");
                command.args([
                    "--reuid=postgres",
                    "--regid=postgres",
                    "--init-groups",
                    "timeout",
                    "180",
                ]);
                command
            }
            false => {
                let mut command = Command::new("timeout");
                command.arg("180");
                command
            }
        };
        let log =
            std::fs::File::create(self.path(&format!("{}.log", self.children.len()))).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .arg(program)
            .args(arguments)
            .env("PATH", format!("{path}:/usr/sbin"))
            .envs(variables.iter().copied())
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.children.push(command.spawn().expect("it starts"));
    }

    async fn shardctl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shardctl"));
        command
            .arg("render")
            .args(arguments)
            .current_dir(self.dir.path())
            .env_clear();
        let output = command.output().await.expect("shardctl runs");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    async fn session(
        &self,
        port: u16,
        user: &str,
        database: &str,
    ) -> Result<Client, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(port)
            .user(user)
            .password(PASSWORD)
            .dbname(database);
        config.connect_timeout(Duration::from_secs(3));
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// One value, by a simple query, in which pools have no opinion.
    async fn ask(&self, port: u16, user: &str, database: &str, sql: &str) -> Option<String> {
        let session = self.session(port, user, database).await.ok()?;
        let asked = tokio::time::timeout(Duration::from_secs(5), session.simple_query(sql));
        let messages = asked.await.ok()?.ok()?;
        messages.into_iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
    }

    async fn until(&self, what: &str, port: u16, who: (&str, &str), sql: &str, wanted: &str) {
        let deadline = Instant::now() + Duration::from_secs(75);
        loop {
            let seen = self.ask(port, who.0, who.1, sql).await;
            if seen.as_deref() == Some(wanted) {
                return;
            }
            if Instant::now() > deadline {
                for log in 0..self.children.len() {
                    let text = std::fs::read_to_string(self.path(&format!("{log}.log")));
                    let text = text.unwrap_or_default();
                    let tail: Vec<&str> = text.lines().rev().take(8).collect();
                    println!("{log}: {}", tail.join("\n"));
                }
                panic!("{what}: {seen:?} and not {wanted}");
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        for child in &self.children {
            if let Some(pid) = child.id() {
                let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).expect("a pid"));
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
            }
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        for child in &mut self.children {
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

async fn post(port: u16, path: &str, body: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    // patroni:rendered
    let request = format!(
        "POST {path} HTTP/1.0\r\nAuthorization: Basic cGF0cm9uaTpyZW5kZXJlZA==\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text).await;
    text
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    let mode = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(path, mode).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_rendered_is_started() {
    if !installed_programs(&["patroni", "etcd", "haproxy", "pgbouncer", "pgpool"]) {
        return;
    }
    let bindir = Binaries::find(None).await.unwrap().dir().to_owned();
    let names = ["s0a", "s0b", "s1a", "s1b"];
    let mut ports = HashMap::new();
    for name in names {
        ports.insert(name.to_owned(), ReservedPort::new(None).unwrap());
        ports.insert(format!("{name}-rest"), ReservedPort::new(None).unwrap());
    }
    // Ports that follow one another: of the kernel's own choice there are none.
    let base = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    for (at, name) in ["etcd", "haproxy", "pgbouncer", "pgpool"]
        .into_iter()
        .enumerate()
    {
        let port = base + 10 * u16::try_from(at).unwrap();
        ports.insert(name.to_owned(), ReservedPort::new(Some(port)).unwrap());
    }
    let mut stack = Stack {
        dir: tempfile::tempdir().unwrap(),
        bindir,
        ports,
        children: Vec::new(),
    };
    let mode = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(stack.dir.path(), mode).unwrap();
    let mut topology =
        "cluster = \"bank\"\ndatabase = \"bank\"\nuser = \"app\"\n[routing]\nhash = \"pg\"\n\
                        key = \"uuid\"\nbuckets = 16\nversion = 1\n"
            .to_owned();
    let mut hosts = "conninfo = \"sslmode=disable\"\n".to_owned();
    for shard in ["s0", "s1"] {
        let of = |node: &str| {
            (
                stack.port(&format!("{shard}{node}")),
                stack.port(&format!("{shard}{node}-rest")),
            )
        };
        let ((a, a_rest), (b, b_rest)) = (of("a"), of("b"));
        topology.push_str(&format!(
            "[[shard]]\nid = \"{shard}\"\n[shard.patroni]\nscope = \"{shard}\"\n\
             urls = [\"http://127.0.0.1:{a_rest}\", \"http://127.0.0.1:{b_rest}\"]\n\
             [[shard.node]]\nid = \"{shard}a\"\nhost = \"127.0.0.1\"\nport = {a}\n\
             [[shard.node]]\nid = \"{shard}b\"\nhost = \"127.0.0.1\"\nport = {b}\n"
        ));
        for node in ["a", "b"] {
            hosts.push_str(&format!(
                "[[host]]\nnode = \"{shard}{node}\"\ndata = \"{}\"\nbin = \"{}\"\n",
                stack.path(&format!("data-{shard}{node}")).display(),
                stack.bindir.display()
            ));
        }
    }
    write(&stack.path("shards.toml"), &topology);
    write(&stack.path("hosts.toml"), &hosts);

    let etcd = format!("127.0.0.1:{}", stack.port("etcd"));
    let (haproxy, pgbouncer, pgpool) = (
        stack.port("haproxy"),
        stack.port("pgbouncer"),
        stack.port("pgpool"),
    );
    let dir = stack.path("out");
    let dir = dir.to_str().unwrap().to_owned();
    let common = [
        "--no-tls",
        "--network",
        "127.0.0.1/32",
        "--out",
        &dir,
        "--dir",
        &dir,
        "--etcd",
        &etcd,
    ];
    for (what, port) in [
        ("etcd", 1),
        ("patroni", 1),
        ("systemd", 1),
        ("haproxy", haproxy),
        ("pgbouncer", pgbouncer),
        ("pgpool", pgpool),
    ] {
        let port = port.to_string();
        stack
            .shardctl(&[&[what, "--port", &port], &common[..]].concat())
            .await;
    }
    let printed = stack.shardctl(&[&["haproxy"], &common[..3]].concat()).await;
    assert!(printed.contains("# ---- haproxy.cfg"), "{printed}");
    let unit = std::fs::read_to_string(stack.path("out/s1b/patroni.service")).unwrap();
    assert!(unit.contains("KillMode=process"), "{unit}");
    for shard in ["s0", "s1"] {
        std::fs::set_permissions(
            stack.path(&format!("out/{shard}")),
            std::fs::Permissions::from_mode(0o777),
        )
        .unwrap();
    }

    let env = std::fs::read_to_string(stack.path("out/etcd1/etcd.env")).unwrap();
    let kv = stack.path("kv");
    let mut variables: Vec<(&str, &str)> = env
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .collect();
    variables.push(("ETCD_DATA_DIR", kv.to_str().unwrap()));
    stack.run("etcd", &["--unsafe-no-fsync"], &variables);
    let secrets = [
        ("PATRONI_SUPERUSER_PASSWORD", PASSWORD),
        ("PATRONI_REPLICATION_PASSWORD", PASSWORD),
        ("PATRONI_RESTAPI_PASSWORD", PASSWORD),
    ];
    for name in names {
        let file = stack.path(&format!("out/{name}/patroni.yml"));
        stack.run("patroni", &[file.to_str().unwrap()], &secrets);
    }
    let config = stack.path("out/haproxy.cfg");
    stack.run("haproxy", &["-db", "-f", config.to_str().unwrap()], &[]);

    // HAProxy leads to each shard's primary, and to its standby.
    let who = ("postgres", "postgres");
    let standby = "SELECT pg_is_in_recovery()";
    for at in [0, 2] {
        stack
            .until("a primary", haproxy + at, who, standby, "f")
            .await;
        stack
            .until("a standby", haproxy + at + 1, who, standby, "t")
            .await;
    }
    let sync = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
    stack
        .until("a synchronous standby", haproxy, who, sync, "1")
        .await;
    let session = stack
        .session(haproxy, "postgres", "postgres")
        .await
        .unwrap();
    for sql in [
        "CREATE ROLE app LOGIN PASSWORD 'rendered'",
        "CREATE DATABASE bank OWNER app",
    ] {
        session.batch_execute(sql).await.unwrap();
    }
    let port = "SELECT inet_server_port()";
    let primary = stack
        .ask(haproxy, "postgres", "postgres", port)
        .await
        .unwrap();
    let first = if primary == stack.port("s0a").to_string() {
        "s0a"
    } else {
        "s0b"
    };
    let second = if first == "s0a" { "s0b" } else { "s0a" };

    // PgBouncer.
    write(
        &stack.path("out/userlist.txt"),
        "\"app\" \"rendered\"\n\"pgbouncer_admin\" \"rendered\"\n",
    );
    let config = stack.path("out/pgbouncer.ini");
    stack.run("pgbouncer", &[config.to_str().unwrap()], &[]);
    let app = ("app", first);
    stack.until("PgBouncer", pgbouncer, app, standby, "f").await;
    let session = stack.session(pgbouncer, "app", first).await.unwrap();
    session
        .batch_execute("CREATE TABLE t (x int); INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    assert!(
        stack.session(pgbouncer, "app", "bank").await.is_err(),
        "no database is open by default"
    );
    let mode = "SHOW CONFIG";
    assert!(
        stack
            .ask(pgbouncer, "pgbouncer_admin", "pgbouncer", mode)
            .await
            .is_some()
    );

    // Pgpool-II, of the first shard.
    write(&stack.path("out/s0/pool_passwd"), "app:TEXTrendered\n");
    write(&stack.path("out/s0/pcp.conf"), "");
    let file = |name: &str| {
        stack
            .path(&format!("out/s0/{name}"))
            .to_str()
            .unwrap()
            .to_owned()
    };
    let (config, hba, pcp) = (file("pgpool.conf"), file("pool_hba.conf"), file("pcp.conf"));
    stack.run(
        "pgpool",
        &["-n", "-f", &config, "-a", &hba, "-F", &pcp],
        &[],
    );
    let bank = ("app", "bank");
    stack
        .until("Pgpool-II", pgpool, bank, "SELECT x FROM t", "1")
        .await;
    let session = stack.session(pgpool, "app", "bank").await.unwrap();
    let status = session.simple_query("SHOW POOL_STATUS").await.unwrap();
    let taken: HashMap<String, String> = status
        .iter()
        .filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                Some((row.get(0)?.to_owned(), row.get(1)?.to_owned()))
            }
            _ => None,
        })
        .collect();
    for (name, value) in [
        // Its number for streaming replication.
        ("backend_clustering_mode", "1"),
        ("load_balance_mode", "0"),
        ("sr_check_user", "app"),
    ] {
        let seen = taken.get(name).map(String::as_str).unwrap_or_default();
        assert_eq!(seen, value, "{name}");
    }
    drop(session);

    // A switchover: HAProxy and Pgpool-II follow, and what was written is there.
    let rest = stack.port(&format!("{first}-rest"));
    let body = format!("{{\"leader\": \"{first}\", \"candidate\": \"{second}\"}}");
    // Patroni sees a loop later that the standby is synchronous.
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        let answer = post(rest, "/switchover", &body).await;
        if answer.starts_with("HTTP/1.0 200") {
            break;
        }
        assert!(Instant::now() < deadline, "{answer}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let new = stack.port(second).to_string();
    stack
        .until("HAProxy follows", haproxy, who, port, &new)
        .await;
    stack
        .until("what was written", haproxy, bank, "SELECT x FROM t", "1")
        .await;
    // Pgpool-II looks for the primary when it starts.
    let mut old = stack.children.pop().expect("Pgpool-II");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(old.id().unwrap()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    old.wait().await.unwrap();
    stack.run(
        "pgpool",
        &["-n", "-f", &config, "-a", &hba, "-F", &pcp],
        &[],
    );
    stack
        .until("Pgpool-II follows", pgpool, bank, standby, "f")
        .await;
}
