//! What a check looks at besides the servers' settings, as arguments: rows, backups, the reporting server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use pgshard::Config;
use pgshard::fdw::Difference;
use pgshard::ops::check::{BackupPolicy, CheckOptions, Finding};
use pgshard::ops::exporter::Checks;

use crate::duration::parse as duration;
use crate::exit::Usage;
use crate::fdw::Compared;

/// So many differences are told.
const TOLD: usize = 5;

#[derive(Args)]
pub(crate) struct Looks {
    /// Leave these findings out.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    skip: Vec<String>,

    /// How many rows of each sharded table are looked at, whether they belong to their shard; 0 for none.
    #[arg(long, value_name = "ROWS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    sample: u32,

    /// Look whether each shard's newest backup in this directory is new enough.
    #[arg(long, value_name = "DIR")]
    backups: Option<PathBuf>,

    /// How old it may be.
    #[arg(long, value_name = "DURATION", default_value = "26h", value_parser = duration, requires = "backups")]
    max_age: Duration,

    /// Look whether the reporting server is as `fdw apply` would make it: the arguments of `fdw diff`, in one.
    #[arg(long, value_name = "ARGUMENTS", allow_hyphen_values = true)]
    fdw: Option<String>,
}

impl Looks {
    /// Reads all of them, before anything is looked at.
    pub(crate) fn checks(
        self,
        config: &Config,
        mut options: CheckOptions,
    ) -> anyhow::Result<Checks> {
        for id in &self.skip {
            if !pgshard::ops::check::RULES.iter().any(|rule| rule.id == id) {
                return Err(Usage(format!("there is no finding {id}; see docs/check.md")).into());
            }
        }
        options.sample = self.sample;
        if let Some(store) = self.backups {
            let max_age = self.max_age;
            options.backups = Some(BackupPolicy::new(store, max_age));
        }
        let mut checks = Checks::new(options);
        checks.skip = self.skip;
        if let Some(arguments) = &self.fdw {
            let compared = Arc::new(Compared::parse(arguments)?);
            let config = config.clone();
            checks.also = Some(Arc::new(move || {
                let (config, compared) = (config.clone(), Arc::clone(&compared));
                Box::pin(async move { drift(&config, &compared).await })
            }));
        }
        Ok(checks)
    }
}

async fn drift(config: &Config, compared: &Compared) -> Vec<Finding> {
    let (id, evidence) = match compared.differences(config).await {
        Ok(differences) if differences.is_empty() => return Vec::new(),
        Ok(differences) => {
            let words = |found: &Difference| format!("{} {}", found.change, found.object);
            let mut told: Vec<String> = differences.iter().take(TOLD).map(words).collect();
            if let Some(more @ 1..) = differences.len().checked_sub(TOLD) {
                told.push(format!("{more} more"));
            }
            ("fdw-drift", told.join(", "))
        }
        Err(error) => ("unread", format!("the reporting server: {error:#}")),
    };
    Finding::of_cluster(id, evidence).into_iter().collect()
}
