//! The journal of a procedure of many steps: what was begun, what is done, and with what result.
//!
//! A procedure such as a switchover changes several servers, one step after another. Each step is
//! written down, on the disk, before it begins and after it is done. When the process dies in between,
//! [`Journal::resume`] opens the same journal: the steps that are done answer with the result that
//! they had, and the first other one runs again. A step therefore looks at the servers before it
//! changes them, and can be repeated.
//!
//! A journal is a file of JSON lines. It holds no passwords. One procedure at a time works on a
//! subject (a shard, say) of a directory of journals; who else tries is refused.
//!
//! ```
//! # use pgshard::ops::journal::{Journal, Outcome};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> pgshard::Result<()> {
//! let dir = std::env::temp_dir().join(format!("journal-{}", uuid::Uuid::new_v4()));
//! let mut journal = Journal::begin(&dir, "count", "shard0", &["customers"])?;
//! let rows: u64 = journal.step("count rows", async { Ok(42) }).await?;
//! drop(journal); // the process dies
//!
//! let id = Journal::unfinished(&dir)?[0].id;
//! let mut journal = Journal::resume(&dir, id)?;
//! let again: u64 = journal.step("count rows", async { unreachable!() }).await?;
//! assert_eq!(rows, again);
//! journal.end(Outcome::Done)?;
//! assert!(Journal::unfinished(&dir)?.is_empty());
//! # std::fs::remove_dir_all(&dir).unwrap(); Ok(()) }
//! ```

mod file;
mod line;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use crate::error::{Error, Result};

pub use line::{Head, Outcome};

use file::File;
use line::Line;

/// A step as it happens, for whoever shows progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// It begins.
    Begun(&'a str),
    /// It is done.
    Done(&'a str),
    /// It was done by an earlier run of the procedure.
    DoneBefore(&'a str),
}

type Listener = Box<dyn FnMut(Progress<'_>) + Send>;

/// The open journal of a procedure that runs.
pub struct Journal {
    file: File,
    head: Head,
    begun: Vec<String>,
    done: Vec<(String, Value)>,
    listener: Option<Listener>,
}

impl Journal {
    /// Begins a journal in `dir`, which is created if need be.
    ///
    /// # Errors
    ///
    /// [`Refused`](crate::ErrorKind::Refused) if another journal of the subject is not ended, with what
    /// to do; [`Io`](crate::ErrorKind::Io) if it cannot be written.
    pub fn begin(
        dir: &Path,
        procedure: &str,
        subject: &str,
        arguments: &impl Serialize,
    ) -> Result<Journal> {
        let _guard = file::lock_directory(dir)?;
        if let Some(other) = Journal::unfinished(dir)?
            .into_iter()
            .find(|head| head.subject == subject)
        {
            return Err(Error::refused(format!(
                "{} of {subject}, begun {}, has not ended: resume it, or abandon it (journal {} in {})",
                other.procedure,
                other.at,
                other.id,
                dir.display()
            )));
        }
        let head = Head::new(procedure, subject, line::value(arguments)?);
        let mut file = File::create(&file::path(dir, &head))?;
        file.append(&Line::Head(head.clone()))?;
        Ok(Journal {
            file,
            head,
            begun: Vec::new(),
            done: Vec::new(),
            listener: None,
        })
    }

    /// Opens the journal of a procedure that did not come to its end.
    ///
    /// # Errors
    ///
    /// [`Refused`](crate::ErrorKind::Refused) if there is none of that id, if it has ended, or if the
    /// procedure still runs.
    pub fn resume(dir: &Path, id: Uuid) -> Result<Journal> {
        let _guard = file::lock_directory(dir)?;
        let head = Journal::unfinished(dir)?
            .into_iter()
            .find(|head| head.id == id)
            .ok_or_else(|| {
                Error::refused(format!(
                    "{} holds no journal {id} of a procedure that has not ended",
                    dir.display()
                ))
            })?;
        let file = File::open(&file::path(dir, &head))?;
        let (mut begun, mut done) = (Vec::new(), Vec::new());
        for line in file::read(file.path())? {
            match line {
                Line::Begun { step, .. } => begun.push(step),
                Line::Done { step, result, .. } => done.push((step, result)),
                Line::Head(_) | Line::End { .. } => {}
            }
        }
        Ok(Journal {
            file,
            head,
            begun,
            done,
            listener: None,
        })
    }

    /// The procedures of a directory that did not come to their end, the oldest first; also those
    /// that run now.
    ///
    /// # Errors
    ///
    /// If a journal cannot be read.
    pub fn unfinished(dir: &Path) -> Result<Vec<Head>> {
        let mut found = Vec::new();
        for path in file::list(dir)? {
            let lines = file::read(&path)?;
            let ended = lines.iter().any(|line| matches!(line, Line::End { .. }));
            if let Some(Line::Head(head)) = lines.into_iter().next().filter(|_| !ended) {
                found.push(head);
            }
        }
        found.sort_by(|a, b| a.at.cmp(&b.at));
        Ok(found)
    }

    /// Tells a listener of each step.
    pub fn listen(&mut self, listener: impl FnMut(Progress<'_>) + Send + 'static) {
        self.listener = Some(Box::new(listener));
    }

    /// What the procedure is, and what it was asked for.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Where it is written.
    pub fn path(&self) -> PathBuf {
        self.file.path().to_owned()
    }

    /// Whether a step was begun, in this run or in an earlier one: it may have had its effect.
    pub fn has_begun(&self, step: &str) -> bool {
        self.begun.iter().any(|begun| begun == step)
    }

    /// The result of a step that is done, in this run or in an earlier one.
    ///
    /// # Errors
    ///
    /// If what was written is not a `T`.
    pub fn result<T: DeserializeOwned>(&self, step: &str) -> Result<Option<T>> {
        self.done
            .iter()
            .find(|(name, _)| name == step)
            .map(|(_, result)| line::parse(result.clone()))
            .transpose()
    }

    /// Runs a step, unless it is done: then its result is what it was.
    ///
    /// # Errors
    ///
    /// Those of the step; the journal stays open, and the step can be run again. And if the journal
    /// cannot be written: the step is then not begun, or its end is not written down.
    pub async fn step<T: Serialize + DeserializeOwned>(
        &mut self,
        step: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        if let Some(result) = self.result(step)? {
            self.tell(Progress::DoneBefore(step));
            return Ok(result);
        }
        self.tell(Progress::Begun(step));
        self.file.append(&Line::Begun {
            step: step.to_owned(),
            at: line::now(),
        })?;
        self.begun.push(step.to_owned());
        crash(step, "begun");
        let result = work.await?;
        let value = line::value(&result)?;
        crash(step, "ran");
        self.file.append(&Line::Done {
            step: step.to_owned(),
            at: line::now(),
            result: value.clone(),
        })?;
        self.done.push((step.to_owned(), value));
        crash(step, "done");
        self.tell(Progress::Done(step));
        Ok(result)
    }

    /// Ends the journal: nothing more is to be done.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn end(mut self, outcome: Outcome) -> Result<()> {
        self.file.append(&Line::End {
            outcome,
            at: line::now(),
        })
    }

    fn tell(&mut self, progress: Progress<'_>) {
        if let Some(listener) = &mut self.listener {
            listener(progress);
        }
    }
}

/// Dies as by `kill -9` at the point that a test names: `STEP begun`, `STEP ran` or `STEP done`.
#[cfg(feature = "fuzzing")]
fn crash(step: &str, point: &str) {
    if std::env::var("PGSHARD_JOURNAL_CRASH").is_ok_and(|at| at == format!("{step} {point}")) {
        let _ = nix::sys::signal::kill(nix::unistd::getpid(), nix::sys::signal::Signal::SIGKILL);
    }
}

#[cfg(not(feature = "fuzzing"))]
fn crash(_: &str, _: &str) {}
