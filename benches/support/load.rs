//! Callers in closed loops, and what they cost: wall time, the process's CPU, allocations.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use super::counting;
use super::paired::Paired;

/// What one measurement saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Operations.
    pub(crate) operations: f64,
    /// Operations a second.
    pub(crate) throughput: f64,
    /// CPU of this process (the servers are others) an operation, in microseconds.
    pub(crate) cpu: f64,
    /// Allocations an operation.
    pub(crate) allocations: f64,
}

/// The CPU time that this process used so far.
pub(crate) fn cpu() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("Linux has this clock");
    Duration::from(time)
}

/// Runs an operation over and over in so many tasks, for so long.
///
/// The operation gets the caller's number and a count of its own.
pub(crate) async fn sample<F, Fut>(callers: usize, time: Duration, operation: F) -> Sample
where
    F: Fn(usize, usize) -> Fut + Copy + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let stop = Arc::new(AtomicBool::new(false));
    let (start, cpu_before, allocations) = (Instant::now(), cpu(), counting::total());
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                let mut turn = 0;
                while !stop.load(Ordering::Relaxed) {
                    operation(caller, turn).await;
                    turn += 1;
                }
                turn
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let mut operations = 0;
    for task in tasks {
        operations += task.await.expect("a caller that ends");
    }
    let operations = operations as f64;
    Sample {
        operations,
        throughput: operations / start.elapsed().as_secs_f64(),
        cpu: (cpu() - cpu_before).as_secs_f64() * 1e6 / operations,
        allocations: (counting::total() - allocations) as f64 / operations,
    }
}

/// Compares two series of samples that were taken next to each other.
pub(crate) fn compare(name: &str, subject: &[Sample], baseline: &[Sample]) {
    let paired = |figure: fn(&Sample) -> f64| {
        let figures = |samples: &[Sample]| samples.iter().map(figure).collect::<Vec<_>>();
        Paired::of(&figures(subject), &figures(baseline))
    };
    println!(
        "{}",
        paired(|s| s.throughput).row(&format!("{name}: throughput"), "/s")
    );
    println!("{}", paired(|s| s.cpu).row(&format!("{name}: CPU"), "us"));
    println!(
        "{}",
        paired(|s| s.allocations).row(&format!("{name}: allocations"), "  ")
    );
}

/// How long and how often is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) pairs: usize,
    pub(crate) time: Duration,
    callers: Option<usize>,
    /// One contestant alone, to be looked at with a profiler.
    only: Option<usize>,
}

impl Plan {
    /// From the command line: `--pairs N`, `--ms N`, `--callers N`, `--only CONTESTANT`.
    pub(crate) fn from_args() -> Self {
        let args: Vec<String> = std::env::args().collect();
        let number = |name: &str| {
            let at = args.iter().position(|arg| arg == name)?;
            args.get(at + 1)?.parse::<usize>().ok()
        };
        Plan {
            pairs: number("--pairs").unwrap_or(21),
            time: Duration::from_millis(number("--ms").unwrap_or(250) as u64),
            callers: number("--callers"),
            only: number("--only"),
        }
    }

    /// Whether a contestant takes part.
    pub(crate) fn includes(&self, contestant: usize) -> bool {
        self.only.is_none_or(|only| only == contestant)
    }

    /// The numbers of callers to measure.
    pub(crate) fn callers(&self) -> Vec<usize> {
        match self.callers {
            Some(callers) => vec![callers],
            None => vec![1, 8, 64],
        }
    }
}
