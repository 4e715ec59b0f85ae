//! What all procedures of many steps have: the machines, a superuser, a plan that is shown first, a
//! journal.

use std::path::PathBuf;

use clap::Args;
use pgshard::Config;
use pgshard::error::Error;
use pgshard::ops::hosts::Hosts;
use pgshard::ops::journal::{Journal, Progress};
use pgshard::ops::primary::Step;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::confirm::Consent;
use crate::context::Context;
use crate::credentials::{AdminRole, Login};
use crate::exit::Exit;
use crate::render::Report;

/// Where the machines are, and who changes the servers.
#[derive(Args)]
pub(crate) struct Machines {
    #[command(flatten)]
    admin: AdminRole,

    /// Where the servers' data directories are and how to reach their machines.
    ///
    /// Without it, hosts.toml beside the topology file.
    #[arg(long, env = "SHARDCTL_HOSTS", value_name = "FILE")]
    hosts: Option<PathBuf>,
}

impl Machines {
    pub(crate) fn load(&self, context: &Context) -> anyhow::Result<(Config, Hosts, Login)> {
        let config = context.load()?;
        let hosts = match &self.hosts {
            Some(file) => Hosts::load(file)?,
            None => Hosts::load(context.config_path().with_file_name("hosts.toml"))?,
        };
        Ok((config, hosts, self.admin.login()?))
    }
}

/// Where journals are kept.
#[derive(Args)]
pub(crate) struct Directory {
    /// The directory of the journals of procedures.
    ///
    /// Without it, journal beside the topology file.
    #[arg(long, env = "SHARDCTL_JOURNAL", value_name = "DIR")]
    journal: Option<PathBuf>,
}

impl Directory {
    pub(crate) fn path(&self, context: &Context) -> PathBuf {
        match &self.journal {
            Some(directory) => directory.clone(),
            None => context.config_path().with_file_name("journal"),
        }
    }
}

/// How a procedure is carried out.
#[derive(Args)]
pub(crate) struct Procedure {
    #[command(flatten)]
    pub(crate) machines: Machines,

    #[command(flatten)]
    directory: Directory,

    #[command(flatten)]
    consent: Consent,

    /// Go on with an interrupted run: what it has done is not done again.
    #[arg(long)]
    resume: bool,
}

impl Procedure {
    /// The plan of an interrupted run, with its journal.
    pub(crate) fn interrupted<P: DeserializeOwned>(
        &self,
        context: &Context,
        procedure: &str,
        subject: &str,
    ) -> anyhow::Result<(P, Journal)> {
        let directory = self.directory.path(context);
        let head = Journal::unfinished(&directory)?
            .into_iter()
            .find(|head| head.procedure == procedure && head.subject == subject)
            .ok_or_else(|| {
                Error::refused(format!(
                    "no {procedure} of {subject} was interrupted, as far as {} knows",
                    directory.display()
                ))
            })?;
        let plan = head.arguments()?;
        let mut journal = Journal::resume(&directory, head.id)?;
        listen(context, &mut journal);
        Ok((plan, journal))
    }

    /// The plan to carry out and its journal: an interrupted one if asked, else a new one that was shown
    /// and agreed to. Else the exit code.
    pub(crate) async fn begin<P: Serialize + DeserializeOwned>(
        &self,
        context: &Context,
        procedure: &str,
        subject: &str,
        plan: impl Future<Output = anyhow::Result<P>>,
        steps: impl Fn(&P) -> pgshard::Result<Vec<Step>>,
    ) -> anyhow::Result<Result<(P, Journal), Exit>> {
        if self.resume {
            return self.interrupted(context, procedure, subject).map(Ok);
        }
        let plan = plan.await?;
        let report = report(&steps(&plan)?);
        let about = report.shown();
        if let Some(exit) = self.consent.ends(context, &report, &about, "Do this?")? {
            return Ok(Err(exit));
        }
        let mut journal = Journal::begin(&self.directory.path(context), procedure, subject, &plan)?;
        listen(context, &mut journal);
        Ok(Ok((plan, journal)))
    }
}

/// Shows each step on standard error as it happens.
fn listen(context: &Context, journal: &mut Journal) {
    if context.output() != crate::render::Output::Table {
        return;
    }
    journal.listen(|progress| {
        crate::failure::say(&match progress {
            Progress::Begun(step) => format!("{step} …\n"),
            Progress::Done(step) => format!("{step}: done\n"),
            Progress::DoneBefore(step) => format!("{step}: done before\n"),
            _ => return,
        });
    });
}

fn report(steps: &[Step]) -> Report {
    let mut report = Report::new(["step", "node", "what"]);
    for step in steps {
        report.row([json!(step.name), json!(step.node), json!(step.what)]);
    }
    report
}

/// How a procedure that was interrupted goes on.
pub(crate) fn interrupted(error: anyhow::Error, command: &str) -> anyhow::Error {
    error.context(format!(
        "it did not come to its end: mend what is named below, then `shardctl {command} --resume`"
    ))
}
