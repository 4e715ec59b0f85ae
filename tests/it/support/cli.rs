//! `shardctl` beside a cluster.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Output, Stdio};

use pgshard::local::LocalCluster;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use super::bank_toml;

/// `shardctl` in a directory with the configuration of a cluster.
pub(crate) struct Shardctl {
    directory: TempDir,
    password: String,
}

impl Shardctl {
    pub(crate) fn new(cluster: &LocalCluster) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("shards.toml"), bank_toml(cluster)).expect("a file");
        let settings = cluster.app_conninfo("s0a").expect("a node");
        let password = settings.get_password().expect("a password");
        Shardctl {
            directory,
            password: String::from_utf8_lossy(password).into_owned(),
        }
    }

    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    pub(crate) fn dir(&self) -> &Path {
        self.directory.path()
    }

    /// Runs it, without blocking the runtime that may serve its connections.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(&[], arguments).await
    }

    /// As [`run`](Self::run), with more variables.
    pub(crate) async fn run_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
        let mut command = self.command(variables, arguments);
        let output = command.stdin(Stdio::null()).output();
        Ran::new(output.await.expect("shardctl runs"))
    }

    /// As [`run_with`](Self::run_with), on a terminal on which somebody types an answer. What the
    /// terminal shows is the standard error.
    pub(crate) async fn answer(
        &self,
        answer: &str,
        variables: &[(&str, &str)],
        arguments: &[&str],
    ) -> Ran {
        let nix::pty::OpenptyResult { master, slave } =
            nix::pty::openpty(None, None).expect("a terminal");
        let mut typed = File::from(master.try_clone().expect("a descriptor"));
        writeln!(typed, "{answer}").expect("typed");
        let mut command = self.command(variables, arguments);
        command
            .stdin(slave.try_clone().expect("a descriptor"))
            .stdout(Stdio::piped())
            .stderr(slave);
        let child = command.spawn().expect("shardctl starts");
        let output = child.wait_with_output().await.expect("shardctl runs");
        // The end of a terminal that nobody has open any more is an error.
        drop(command);
        let mut shown = Vec::new();
        let _ = File::from(master).read_to_end(&mut shown);
        Ran::new(Output {
            stderr: shown,
            ..output
        })
    }

    /// Starts it, to be read from while it runs.
    pub(crate) fn start(&self, arguments: &[&str]) -> tokio::process::Child {
        let mut command = self.command(&[], arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        command.spawn().expect("shardctl starts")
    }

    /// Starts it with more variables, to be read from while it runs, errors too.
    pub(crate) fn start_with(
        &self,
        variables: &[(&str, &str)],
        arguments: &[&str],
    ) -> tokio::process::Child {
        let mut command = self.command(variables, arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().expect("shardctl starts")
    }

    fn command(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shardctl"));
        command
            .args(arguments)
            .current_dir(self.dir())
            .env_clear()
            .env("HOME", self.dir())
            .env("PGSHARD_PASSWORD", &self.password)
            .envs(variables.iter().copied())
            .kill_on_drop(true);
        command
    }
}

/// What a run left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    fn new(output: Output) -> Self {
        Ran {
            // -1: killed by a signal.
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
