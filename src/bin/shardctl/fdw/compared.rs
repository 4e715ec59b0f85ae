//! `fdw diff` as a part of other commands: its arguments in one, and what differs.

use clap::{Args, Command, FromArgMatches as _};
use pgshard::Config;
use pgshard::fdw::Difference;

use super::Server;
use super::shards::Shards;
use crate::exit::Usage;

/// A reporting server, and how it should be.
#[derive(Args)]
pub(crate) struct Compared {
    #[command(flatten)]
    shards: Shards,

    #[command(flatten)]
    server: Server,
}

impl Compared {
    /// Reads the arguments of `fdw diff`, split as a shell does.
    pub(crate) fn parse(arguments: &str) -> anyhow::Result<Self> {
        let words = shlex::split(arguments)
            .ok_or_else(|| Usage(format!("{arguments}: a quotation mark has no partner")))?;
        let command = Compared::augment_args(Command::new("fdw diff").no_binary_name(true));
        let wrong = |error: clap::Error| Usage(format!("--fdw: {}", error.render()));
        let matches = command.try_get_matches_from(words).map_err(wrong)?;
        Ok(Compared::from_arg_matches(&matches).map_err(wrong)?)
    }

    /// What differs now.
    pub(crate) async fn differences(&self, config: &Config) -> anyhow::Result<Vec<Difference>> {
        let fdw = self.shards.plan(config).await?;
        let (login, reporting) = self.server.reporting()?;
        let differences = fdw.diff(&reporting).await;
        differences.map_err(|error| login.explain(error))
    }
}
