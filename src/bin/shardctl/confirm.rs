//! Asking before something is changed.

use std::io::{BufRead, IsTerminal};

use crate::failure::say;

/// What became of the question.
pub(crate) enum Answer {
    Yes,
    No,
    /// There is nobody to ask.
    Nobody,
}

/// Asks on the terminal; anything but "y" or "yes" is no.
pub(crate) fn ask(question: &str) -> anyhow::Result<Answer> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(Answer::Nobody);
    }
    say(&format!("{question} [y/N] "));
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    Ok(match line.trim().to_lowercase().as_str() {
        "y" | "yes" => Answer::Yes,
        _ => Answer::No,
    })
}
