//! A real Prometheus scrapes the exporter and a client; its rules and every query of the dashboards work on
//! what it has.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use pgshard::local::ReservedPort;
use pgshard::ops::Credentials;
use pgshard::ops::check::CheckOptions;
use pgshard::ops::exporter::{Checks, Exporter, ExporterOptions};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::support::{installed_programs, start_spec, superuser};

fn monitoring(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs/operations/monitoring")
        .join(name)
}

async fn promtool(arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(monitoring(""));
    let output = command.output().await.expect("promtool runs");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).expect("UTF-8");
    (output.status.success(), text)
}

#[tokio::test]
async fn rules_are_right_and_each_alert_has_its_page() {
    if !installed_programs(&["promtool"]) {
        return;
    }
    for arguments in [
        &["check", "rules", "rules.yml"][..],
        &["check", "config", "prometheus.yml"],
        &["test", "rules", "rules_test.yml"],
    ] {
        let (fine, text) = promtool(arguments).await;
        assert!(fine, "{arguments:?}: {text}");
    }
    let rules = std::fs::read_to_string(monitoring("rules.yml")).unwrap();
    let tests = std::fs::read_to_string(monitoring("rules_test.yml")).unwrap();
    let alerts: BTreeSet<String> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .map(str::to_owned)
        .collect();
    let pages: BTreeSet<String> = std::fs::read_dir(monitoring("../../runbooks"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(alerts, pages);
    for alert in &alerts {
        assert!(
            rules.contains(&format!("docs/runbooks/{alert}.md")),
            "{alert}"
        );
        assert!(
            tests.contains(&format!("alertname: {alert}\n")),
            "{alert} has no test"
        );
    }
}

/// A server that is ended with the test.
struct Prometheus {
    address: String,
    _port: ReservedPort,
    _child: Child,
    _dir: tempfile::TempDir,
}

impl Prometheus {
    fn start(exporter: &str, client: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let rules = std::fs::read_to_string(monitoring("rules.yml")).expect("rules");
        std::fs::write(dir.path().join("rules.yml"), rules).expect("a file");
        let text = format!(
            "global: {{scrape_interval: 500ms, evaluation_interval: 500ms}}\nrule_files: [rules.yml]\n\
             scrape_configs:\n\
             - job_name: shardctl\n  static_configs: [{{targets: ['{exporter}']}}]\n\
             - job_name: services\n  static_configs: [{{targets: ['{client}']}}]\n"
        );
        let config = dir.path().join("prometheus.yml");
        std::fs::write(&config, text).expect("a file");
        let port = ReservedPort::new(None).expect("a port");
        let address = format!("127.0.0.1:{}", port.number());
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("prometheus starts");
        Prometheus {
            address,
            _port: port,
            _child: child,
            _dir: dir,
        }
    }

    async fn ask(&self, query: &str) -> String {
        let server = format!("http://{}", self.address);
        let (fine, text) = promtool(&["query", "instant", &server, query]).await;
        if fine {
            text.trim().to_owned()
        } else {
            String::new()
        }
    }

    /// Waits until a query has an answer.
    async fn until(&self, query: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            let text = self.ask(query).await;
            if !text.is_empty() {
                return text;
            }
            assert!(Instant::now() < deadline, "no data: {query}");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

/// Answers every scrape with what a client process has recorded.
async fn export(handle: metrics_exporter_prometheus::PrometheusHandle) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let text = handle.render();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n",
                text.len()
            );
            let _ = stream.write_all((head + &text).as_bytes()).await;
        }
    });
    address
}

async fn get(address: &str, path: &str) -> (String, String) {
    let mut stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("a server");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    (
        head.lines().next().unwrap_or_default().to_owned(),
        body.to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_of_the_dashboards_has_data() {
    if !installed_programs(&["promtool", "prometheus"]) {
        return;
    }
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).expect("no other recorder");
    let cluster = start_spec(pgshard::local::LocalSpec {
        shards: 2,
        replicas: 1,
        settings: vec![
            ("archive_mode".into(), "on".into()),
            ("archive_command".into(), "true".into()),
        ],
        ..Default::default()
    })
    .await;
    let config = crate::support::install(&cluster).await;
    for node in ["s0a", "s1a"] {
        let session = superuser(&cluster, node).await;
        let role = "CREATE ROLE monitor LOGIN PASSWORD 'watching' IN ROLE pg_monitor";
        session.batch_execute(role).await.unwrap();
        session
            .batch_execute("SELECT pg_switch_wal()")
            .await
            .unwrap();
    }
    let client = pgshard::Cluster::connect(config.clone()).unwrap();
    client.ready(Duration::from_secs(20)).await.unwrap();

    let mut options = ExporterOptions::new(Credentials {
        user: "monitor".into(),
        password: Some("watching".to_owned().into()),
    });
    options.listen = ([127, 0, 0, 1], 0).into();
    options.interval = Duration::from_millis(500);
    let mut check = CheckOptions::new(&config);
    check.role = options.role.clone();
    options.checks = Some(Checks::new(check));
    let exporter = Exporter::bind(options).await.unwrap();
    let address = exporter.address().unwrap().to_string();
    tokio::spawn(async move { exporter.run(&config).await });

    let prometheus = Prometheus::start(&address, &export(handle).await);
    prometheus.until("shardctl_up").await;
    prometheus.until("pgshard_shard_writable").await;
    // By name and place.
    prometheus
        .until("shardctl_check_finding{id=\"unread\",severity=\"warn\",node=\"s0a\"}")
        .await;
    let (status, _) = get(&address, "/healthz").await;
    assert!(status.contains("200"), "{status}");
    let (status, _) = get(&address, "/other").await;
    assert!(status.contains("404"), "{status}");

    // The exporter's text is as Prometheus wants it.
    let (_, text) = get(&address, "/metrics").await;
    let mut lint = Command::new("promtool");
    lint.args(["check", "metrics"]).stdin(Stdio::piped());
    lint.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut lint = lint.spawn().unwrap();
    let mut stdin = lint.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).await.unwrap();
    drop(stdin);
    let linted = lint.wait_with_output().await.unwrap();
    assert!(linted.status.success(), "{linted:?}\n{text}");

    for dashboard in ["overview", "shard", "client"] {
        let file = monitoring(&format!("dashboards/{dashboard}.json"));
        let board: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        for panel in board["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let query = target["expr"].as_str().unwrap();
                let query = query.replace("$shard", "s0");
                prometheus.until(&query).await;
            }
        }
    }
    let quiet = prometheus
        .ask("ALERTS{alertname=\"ShardWithoutPrimary\"}")
        .await;
    assert_eq!(quiet, "");
    assert!(
        prometheus
            .until("shardctl_primaries{shard=\"s0\"}")
            .await
            .contains("=> 1 ")
    );

    // And it notices.
    cluster.kill("s0a").await.unwrap();
    prometheus.until("shardctl_up{node=\"s0a\"} == 0").await;
    prometheus
        .until("ALERTS{alertname=\"ShardWithoutPrimary\",shard=\"s0\"}")
        .await;
    prometheus
        .until("ALERTS{alertname=\"ServerDown\",node=\"s0a\"}")
        .await;
    client.close().await;
}
