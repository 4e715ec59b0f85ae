//! `shardctl backup check`.

use std::time::{Duration, SystemTime};

use clap::Args;
use pgshard::ops::backup as library;
use serde_json::json;

use super::Place;
use crate::context::Context;
use crate::credentials::AdminRole;
use crate::duration::parse as duration;
use crate::exit::Exit;
use crate::render::Report;

/// Check that each shard has a backup that is new enough, and archives its log.
#[derive(Args)]
#[command(after_help = "\
Columns: shard, newest, age_seconds, problems.

Exit codes: 0 all is well, 1 it is not.")]
pub(crate) struct Check {
    #[command(flatten)]
    place: Place,

    /// How old the newest backup may be.
    #[arg(long, value_name = "DURATION", default_value = "26h", value_parser = duration)]
    max_age: Duration,

    #[command(flatten)]
    admin: AdminRole,
}

impl Check {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (config, store, shards) = self.place.load(context)?;
        let login = self.admin.login()?;
        let mut report = Report::new(["shard", "newest", "age_seconds", "problems"]);
        let mut exit = Exit::Fine;
        for shard in shards {
            let newest = store.list(shard).await?.pop();
            let mut problems = Vec::new();
            let now = SystemTime::now();
            let age = newest.as_ref().and_then(|backup| backup.age(now));
            match age {
                None => problems.push("there is no backup".to_owned()),
                Some(age) if age > self.max_age => problems.push(format!(
                    "the newest backup is older than {}",
                    humantime::format_duration(self.max_age)
                )),
                Some(_) => {}
            }
            match library::archiving(&config, &[shard], login.role()).await {
                Ok(found) => problems.extend(found.into_iter().flat_map(|one| one.problems)),
                Err(error) => problems.push(error.to_string()),
            }
            if !problems.is_empty() {
                exit = Exit::Problem;
            }
            report.row([
                json!(shard),
                json!(newest.map(|backup| backup.id)),
                json!(age.map(|age| age.as_secs())),
                json!(problems.join("; ")),
            ]);
        }
        context.print(&report)?;
        Ok(exit)
    }
}
