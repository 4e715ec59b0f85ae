//! Progress on standard error, drawn only on a terminal.

use std::borrow::Cow;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A group of progress bars and spinners.
pub(crate) struct Progress(MultiProgress);

impl Progress {
    pub(crate) fn new() -> Self {
        // indicatif draws nothing where standard error is not a terminal.
        Progress(MultiProgress::with_draw_target(
            ProgressDrawTarget::stderr_with_hz(10),
        ))
    }

    /// A bar up to `total`; it vanishes when finished and cleared, or dropped.
    pub(crate) fn bar(&self, total: u64, message: impl Into<Cow<'static, str>>) -> ProgressBar {
        let style = ProgressStyle::with_template(
            "{msg:24} [{bar:32}] {human_pos}/{human_len} {per_sec:>12} {eta:>4}",
        )
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
        let bar = self.0.add(ProgressBar::new(total));
        bar.set_style(style);
        bar.set_message(message);
        bar
    }

    /// A spinner for work of unknown length.
    pub(crate) fn spinner(&self, message: impl Into<Cow<'static, str>>) -> ProgressBar {
        let bar = self.0.add(ProgressBar::new_spinner());
        bar.set_message(message);
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }
}
