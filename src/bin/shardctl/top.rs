//! `shardctl top`.
//!
//! [`model`] is what is known, [`draw`] makes a picture of it, [`terminal`] shows pictures and reads keys, and [`facts`]
//! brings what the servers say. Nothing that a server does, or fails to do, keeps a picture or a key waiting.

mod draw;
mod facts;
mod model;
mod terminal;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use futures::future::join_all;
use pgshard::Cluster;
use pgshard::ops::Credentials;

use crate::context::Context;
use crate::credentials::Login;
use crate::duration::parse as duration;
use crate::exit::{Exit, Usage};
use crate::render::{self, Output};
use crate::status::exit;
use crate::watch::is_settled;

use facts::Facts;
use model::Model;

/// Watch the whole cluster live: shards, nodes, lag, connections, events, transactions in doubt.
///
/// It looks as a service does, with the same credentials, and changes nothing.
#[derive(Args)]
#[command(after_help = "\
Keys: q, Escape or Ctrl-C ends it; up and down (or k and j) choose a node, about which more is told; p holds the picture; ? tells
the keys.

Connections are counted as the topology file's role, or as --user with pg_monitor, whose password is read from
PGSHARD_MONITOR_PASSWORD or from --password-file: without pg_monitor the running and waiting ones of others are not seen.

--once prints one picture; with --output json the facts in it: at, shards, nodes, events, in_doubt.

Exit codes: 0; of --once: 0 all shards are steady and all nodes readable, 1 otherwise, 3 no server answered.

Examples:
  shardctl top
  shardctl top --user monitor --interval 500ms
  shardctl top --once --width 100
  shardctl --output json top --once")]
pub(crate) struct Top {
    /// How often the picture is made anew; servers are asked half as often.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    interval: Duration,

    /// Count connections as this role instead of the topology file's.
    #[arg(long, value_name = "ROLE")]
    user: Option<String>,

    /// A file with that role's password on one line, readable by you only.
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,

    /// Print one picture, and end.
    #[arg(long)]
    once: bool,

    /// With --once: how wide it is. [default: the terminal's, else 100]
    #[arg(long, value_name = "COLUMNS", requires = "once", value_parser = clap::value_parser!(u16).range(40..=500))]
    width: Option<u16>,

    /// With --once: how high it is. [default: as high as it needs]
    #[arg(long, value_name = "LINES", requires = "once", value_parser = clap::value_parser!(u16).range(10..=500))]
    height: Option<u16>,
}

/// How long --once waits for a complete picture.
const PATIENCE: Duration = Duration::from_secs(5);

impl Top {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        if self.interval < Duration::from_millis(100) {
            return Err(Usage("--interval is at least 100ms".to_owned()).into());
        }
        if context.output() != Output::Table && !(self.once && context.output() == Output::Json) {
            return Err(
                Usage("top is a picture; --output json goes with --once".to_owned()).into(),
            );
        }
        if !self.once {
            terminal::check()?;
        }
        let config = context.load()?;
        let role = match self.user {
            None => Credentials {
                user: config.user.clone(),
                password: None,
            },
            Some(user) => {
                let file = self.password_file.as_deref();
                let variable = "PGSHARD_MONITOR_PASSWORD";
                Login::new(user, "--password-file", file, variable)?
                    .role()
                    .clone()
            }
        };
        let cluster = Cluster::observe(config.clone())?;
        let facts = Facts::gather(&config, &role, self.interval * 2);
        let mut model = Model::new(config.cluster.to_string());
        if !self.once {
            let shown = terminal::show(&cluster, &facts, &mut model, self.interval).await;
            cluster.close().await;
            return shown.map(|()| Exit::Fine);
        }
        let shards = cluster.config().shards.iter().map(|shard| shard.id);
        let settled = join_all(shards.map(|shard| cluster.wait_for(shard, PATIENCE, is_settled)));
        let complete = tokio::time::timeout(PATIENCE, facts.complete());
        let (settled, _) = tokio::join!(settled, complete);
        for settled in settled {
            settled?;
        }
        let shards = cluster.status();
        cluster.close().await;
        model.see(&shards, &facts.latest());
        if context.output() == Output::Json {
            let mut bytes = serde_json::to_vec_pretty(&model.facts())?;
            bytes.push(b'\n');
            render::write(&bytes)?;
        } else {
            let width = self.width.or_else(terminal::width).unwrap_or(100);
            let height = self.height.unwrap_or_else(|| draw::height(&model));
            render::write(draw::text(&model, width, height)?.as_bytes())?;
        }
        Ok(exit(&shards))
    }
}
