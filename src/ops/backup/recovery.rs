//! A server that recovers, apart from everybody: no network, a socket that only its own user reaches.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::host::process;
use crate::host::spawn::{self, io_error};

use super::Target;
use super::tools::Tools;

/// A data directory and how its server is reached while it recovers.
pub(super) struct Recovery<'t> {
    pub(super) tools: &'t Tools,
    pub(super) data: PathBuf,
    /// The superuser of the data.
    pub(super) user: String,
}

/// The files in the data directory that belong to the recovery, and are gone after it.
const HBA: &str = "pgshard_recovery_hba.conf";
const LOG: &str = "pgshard_recovery.log";
const OWN: &str = "pgshard_recovery.conf";
/// What `postgresql.auto.conf` was before.
const AUTO: &str = "pgshard_recovery_auto.conf";
const INCLUDE: &str = "include_if_exists = 'pgshard_recovery.conf'";

impl Recovery<'_> {
    /// Writes the recovery's settings. They are in a file of their own that overrides all others.
    pub(super) async fn configure(&self, target: &Target, fetch: &str) -> Result<()> {
        let data = self.data.display();
        let mut lines = vec![
            ("restore_command", fetch.to_owned()),
            ("recovery_target_timeline", "latest".to_owned()),
            ("recovery_target_action", "pause".to_owned()),
            ("hot_standby", "on".to_owned()),
            // It must not write into the archive that it is made of, nor wait for or follow anybody.
            ("archive_mode", "off".to_owned()),
            ("primary_conninfo", String::new()),
            ("primary_slot_name", String::new()),
            ("synchronous_standby_names", String::new()),
            ("listen_addresses", String::new()),
            ("unix_socket_directories", data.to_string()),
            ("unix_socket_permissions", "0700".to_owned()),
            ("port", "5432".to_owned()),
            ("hba_file", format!("{data}/{HBA}")),
            ("ssl", "off".to_owned()),
            ("logging_collector", "off".to_owned()),
            ("log_destination", "stderr".to_owned()),
        ];
        lines.extend(target.settings());
        let conf = self.data.join("postgresql.conf");
        let mut main = match std::fs::read_to_string(&conf) {
            Ok(text) => text,
            // Debian keeps it elsewhere: what a standby must not have less of is in the control file.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => self.minimal().await?,
            Err(e) => return Err(io_error(format!("cannot read {}", conf.display()), e)),
        };
        // Of settings in both, that of postgresql.auto.conf wins: they are there as well.
        let auto = self.data.join("postgresql.auto.conf");
        let mut own = String::new();
        for (name, value) in &lines {
            let value = value.replace('\\', "\\\\").replace('\'', "''");
            own.push_str(&format!("{name} = '{value}'\n"));
        }
        if !main.contains(INCLUDE) {
            main.push_str(&format!("\n{INCLUDE}\n"));
            self.write("postgresql.conf", &main)?;
        }
        let saved = self.data.join(AUTO);
        if !saved.exists() {
            let old = std::fs::read_to_string(&auto).unwrap_or_default();
            self.write(AUTO, &old)?;
        }
        let old = std::fs::read_to_string(&saved).unwrap_or_default();
        let names: Vec<&str> = lines.iter().map(|(name, _)| *name).collect();
        self.write("postgresql.auto.conf", &without(&old, &names))?;
        self.write(OWN, &own)?;
        self.write(HBA, "local all all trust\n")?;
        // A backup of a standby brings it: its server would wait for more log for ever.
        remove(&self.data.join("standby.signal"))?;
        self.write("recovery.signal", "")
    }

    async fn minimal(&self) -> Result<String> {
        let mut command = self.tools.command("pg_controldata");
        command.arg("-D").arg(&self.data);
        let output = spawn::run(command, Duration::from_secs(30)).await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let names = [
            ("max_connections setting", "max_connections"),
            ("max_worker_processes setting", "max_worker_processes"),
            ("max_wal_senders setting", "max_wal_senders"),
            ("max_prepared_xacts setting", "max_prepared_transactions"),
            ("max_locks_per_xact setting", "max_locks_per_transaction"),
        ];
        let mut conf =
            "# Made by a recovery: the servers' own is not in their data directory.\n".to_owned();
        for line in text.lines() {
            if let Some((label, value)) = line.split_once(':')
                && let Some((_, name)) = names.iter().find(|(known, _)| *known == label)
            {
                conf.push_str(&format!("{name} = {}\n", value.trim()));
            }
        }
        for (file, text) in [("pg_hba.conf", "# Nobody yet.\n"), ("pg_ident.conf", "")] {
            if !self.data.join(file).exists() {
                self.write(file, text)?;
            }
        }
        Ok(conf)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let file = self.data.join(name);
        std::fs::write(&file, text)
            .map_err(|e| io_error(format!("cannot write {}", file.display()), e))?;
        self.tools.account.own(&file, 0o600)
    }

    /// Starts it, if it does not run.
    pub(super) async fn start(&self) -> Result<()> {
        if process::postmaster(&self.data).is_some() {
            return Ok(());
        }
        let mut command = self.tools.command("pg_ctl");
        command
            .arg("-D")
            .arg(&self.data)
            .args(["start", "-W", "-l"])
            .arg(self.data.join(LOG));
        spawn::run(command, Duration::from_secs(60)).await?;
        // It has been started, and may not have said so yet.
        for _ in 0..100 {
            if process::postmaster(&self.data).is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Stops it, cleanly, if it runs.
    pub(super) async fn stop(&self) -> Result<()> {
        if process::postmaster(&self.data).is_none() {
            return Ok(());
        }
        let mut command = self.tools.command("pg_ctl");
        command
            .arg("-D")
            .arg(&self.data)
            .args(["stop", "-w", "-t", "600", "-m", "fast"]);
        spawn::run(command, Duration::from_secs(660))
            .await
            .map(drop)
    }

    /// Asks it for one line.
    pub(super) async fn ask(&self, sql: &str) -> Result<String> {
        let mut command = self.tools.command("psql");
        command
            .args(["-XAtqw", "-p", "5432", "-d", "postgres", "-U", &self.user])
            .arg("-h")
            .arg(&self.data)
            .args(["-c", sql]);
        let output = spawn::run(command, Duration::from_secs(60)).await?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Waits until it has stopped at its target, or has recovered all where there is none, and returns how
    /// far it came. `progress` is told that meanwhile.
    pub(super) async fn until_there(
        &self,
        target: &Target,
        patience: Duration,
        progress: impl Fn(&str),
    ) -> Result<()> {
        let there = match target {
            Target::Latest => "NOT pg_is_in_recovery()",
            _ => "NOT pg_is_in_recovery() OR pg_get_wal_replay_pause_state() = 'paused'",
        };
        let sql = format!("SELECT {there}, coalesce(pg_last_wal_replay_lsn()::text, '')");
        let deadline = Instant::now() + patience;
        loop {
            if let Ok(line) = self.ask(&sql).await {
                let (there, lsn) = line.split_once('|').unwrap_or((&line, ""));
                if there == "t" {
                    return Ok(());
                }
                progress(lsn);
            } else if process::postmaster(&self.data).is_none() {
                let log = self.log();
                let early = "recovery ended before configured recovery target was reached";
                return Err(match log.contains(early) {
                    true => Error::refused(format!(
                        "the archive ends before {target}: choose an earlier one, or the latest"
                    )),
                    false => Error::new(
                        ErrorKind::Io,
                        format!("the server ended while it recovered: {}", spawn::tail(&log)),
                    ),
                });
            }
            if Instant::now() > deadline {
                return Err(Error::new(
                    ErrorKind::Timeout,
                    format!(
                        "it did not come to {target} within {} s; see {}",
                        patience.as_secs(),
                        self.data.join(LOG).display()
                    ),
                ));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.data.join(LOG)).unwrap_or_default()
    }

    /// Removes the recovery's settings, after the server has stopped. It still archives nothing: that is for whoever
    /// puts it into service.
    pub(super) fn release(&self) -> Result<()> {
        let conf = self.data.join("postgresql.conf");
        let main = std::fs::read_to_string(&conf)
            .map_err(|e| io_error(format!("cannot read {}", conf.display()), e))?;
        self.write(
            "postgresql.conf",
            &main.replace(&format!("\n{INCLUDE}\n"), "\n"),
        )?;
        if let Ok(old) = std::fs::read_to_string(self.data.join(AUTO)) {
            let others = [
                "archive_mode",
                "primary_conninfo",
                "primary_slot_name",
                "synchronous_standby_names",
            ];
            let new = format!("{}archive_mode = 'off'\n", without(&old, &others));
            self.write("postgresql.auto.conf", &new)?;
        }
        for name in [AUTO, OWN, HBA, "recovery.signal"] {
            remove(&self.data.join(name))?;
        }
        Ok(())
    }
}

fn remove(file: &Path) -> Result<()> {
    match std::fs::remove_file(file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(io_error(format!("cannot remove {}", file.display()), e))
        }
        _ => Ok(()),
    }
}

/// `postgresql.auto.conf` without some settings.
fn without(text: &str, settings: &[&str]) -> String {
    text.lines()
        .filter(|line| {
            let name = line.split(['=', ' ']).next().unwrap_or_default();
            !settings.contains(&name)
        })
        .flat_map(|line| [line, "\n"])
        .collect()
}
