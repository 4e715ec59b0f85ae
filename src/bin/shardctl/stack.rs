//! `shardctl render`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pgshard::ops::hosts::Hosts;
use pgshard::ops::stack::{self as library, Rendered, StackOptions};
use serde_json::json;

use crate::context::Context;
use crate::exit::Exit;
use crate::render::{Output, Report};

/// Write the files of the programs around the servers: Patroni, etcd, systemd, PgBouncer, Pgpool-II, HAProxy.
///
/// They are made of the topology, hold no passwords, and are copied to no server.
#[derive(Args)]
#[command(after_help = "\
Without --out the files are printed, each after its name. Columns with --output json: file, program, text.

Exit codes: 0 fine, 2 something is missing, 4 a file is there with other contents.

Examples:
  shardctl render etcd --etcd 10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379
  shardctl render patroni --etcd 10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379 --network 10.0.0.0/24 --out out
  shardctl render systemd --out out
  shardctl render haproxy --listen 10.0.0.9 --port 5000
  shardctl render pgbouncer --listen 10.0.0.9 --dir /etc/pgbouncer
  shardctl render pgpool --listen 10.0.0.9 --port 9999 --network 10.0.0.0/24 --dir /etc/pgpool2")]
pub(crate) struct Render {
    /// What for.
    #[arg(value_enum)]
    what: What,

    /// The members of etcd, as clients reach them.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    etcd: Vec<String>,

    /// A network from which servers and clients connect.
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    network: Vec<String>,

    /// Let COMMIT wait for nobody: a failover may lose what was acknowledged.
    #[arg(long)]
    asynchronous: bool,

    /// Encrypt nothing: for one machine, or to try things out.
    #[arg(long)]
    no_tls: bool,

    /// The first port that PgBouncer, Pgpool-II or HAProxy listens on.
    #[arg(long, value_name = "PORT", default_value_t = 6432)]
    port: u16,

    /// The address that they listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    listen: String,

    /// The directory in which PgBouncer or Pgpool-II has its files, on its machine.
    #[arg(long, value_name = "DIR", default_value = "/etc/pgshard")]
    dir: PathBuf,

    /// Where the servers' data directories are; hosts.toml beside the topology file. For patroni.
    #[arg(long, env = "SHARDCTL_HOSTS", value_name = "FILE")]
    hosts: Option<PathBuf>,

    /// Write the files below this directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Replace files that are there with other contents.
    #[arg(long, requires = "out")]
    force: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    Patroni,
    Etcd,
    Systemd,
    Pgbouncer,
    Pgpool,
    Haproxy,
}

impl Render {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        // Its passwords are not needed.
        let loader = pgshard::config::Loader::new().without_secrets();
        let config = loader.load(context.config_path())?;
        let mut options = StackOptions::default();
        (options.etcd, options.networks) = (self.etcd, self.network);
        (options.synchronous, options.tls) = (!self.asynchronous, !self.no_tls);
        (options.port, options.listen, options.dir) = (self.port, self.listen, self.dir);
        let files = match self.what {
            What::Patroni => {
                let hosts = match &self.hosts {
                    Some(file) => Hosts::load(file)?,
                    None => Hosts::load(context.config_path().with_file_name("hosts.toml"))?,
                };
                library::patroni(&config, &hosts, &options)?
            }
            What::Etcd => library::etcd(config.cluster.as_str(), &options)?,
            What::Systemd => library::systemd(&config),
            What::Pgbouncer => library::pgbouncer(&config, &options)?,
            What::Pgpool => library::pgpool(&config, &options)?,
            What::Haproxy => library::haproxy(&config, &options)?,
        };
        if let Some(out) = &self.out {
            Rendered::write(&files, out, self.force)?;
        } else if context.output() == Output::Table {
            let mut text = String::new();
            for file in &files {
                text.push_str(&format!("# ---- {}\n{}", file.name.display(), file.text));
            }
            crate::render::write(text.as_bytes())?;
            return Ok(Exit::Fine);
        }
        let mut report = Report::new(["file", "program", "text"]);
        if self.out.is_some() {
            report = Report::new(["file"]);
        }
        for file in &files {
            let name = json!(file.name);
            match self.out {
                Some(_) => report.row([name]),
                None => report.row([name, json!(file.program), json!(file.text)]),
            }
        }
        context.print(&report)?;
        Ok(Exit::Fine)
    }
}
