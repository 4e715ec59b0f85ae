//! The log, on standard error.

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::exit::Usage;
use crate::render::Output;

/// Sets levels by module, such as `pgshard::topology=debug`.
const VARIABLE: &str = "PGSHARD_LOG";

/// Starts the log at the level that the number of `-v` asks for, or as PGSHARD_LOG says. A program
/// that reads JSON from standard error gets no log that nobody asked for; nor does the audience of a
/// command that tells its own story.
pub(crate) fn init(verbose: u8, output: Output, story: bool) -> anyhow::Result<()> {
    let directives = match std::env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => text,
        _ if verbose == 0 && (story || output == Output::Json) => "off".to_owned(),
        _ => by_count(verbose).to_owned(),
    };
    subscriber(&directives, std::io::stderr)?.init();
    Ok(())
}

/// Colours are for a terminal that wants them (<https://no-color.org>).
fn colours() -> bool {
    use std::io::IsTerminal;
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

fn by_count(verbose: u8) -> &'static str {
    match verbose {
        0 => "warn",
        1 => "warn,pgshard=info,shardctl=info",
        2 => "info,pgshard=debug,shardctl=debug",
        _ => "trace",
    }
}

fn subscriber<W>(directives: &str, writer: W) -> anyhow::Result<impl Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .parse(directives)
        .map_err(|error| Usage(format!("{VARIABLE} is not a list of module=level: {error}")))?;
    Ok(tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(permitted))
        .with(
            tracing_subscriber::fmt::layer()
                .with_ansi(colours())
                .with_writer(writer),
        ))
}

/// The driver logs statements with their parameters, which are customers' data, below info.
/// Whatever level is asked for, those stay hidden. (It speaks to the `log` crate, which nothing
/// here listens to; this holds if that ever changes.)
fn permitted(metadata: &Metadata<'_>) -> bool {
    let driver = metadata.target().starts_with("tokio_postgres")
        || metadata.target().starts_with("postgres")
        || metadata.target() == "log";
    !driver || *metadata.level() <= Level::INFO
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(directives: &str) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let subscriber = subscriber(directives, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!(target: "tokio_postgres::query", "with parameters: [\"4711\"]");
            tracing::trace!(target: "tokio_postgres::connection", "row 4711");
            tracing::debug!(target: "log", "bridged: 4711");
            tracing::info!(target: "tokio_postgres::connection", "a notice");
            tracing::debug!(target: "pgshard::pool", "our own");
        });
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn statements_and_parameters_stay_hidden_at_every_level() {
        for directives in [
            by_count(0),
            by_count(3),
            "trace",
            "tokio_postgres=trace",
            "tokio_postgres::query=debug,debug",
        ] {
            let log = logged(directives);
            assert!(!log.contains("4711"), "{directives}: {log}");
        }
        let log = logged(by_count(3));
        assert!(log.contains("our own") && log.contains("a notice"), "{log}");
    }

    #[test]
    fn levels_rise_with_the_count() {
        assert!(!logged(by_count(0)).contains("our own"));
        assert!(!logged(by_count(1)).contains("our own"));
        assert!(logged(by_count(2)).contains("our own"));
    }

    #[test]
    fn nonsense_is_wrong_usage() {
        let error = match subscriber("pgshard=loud", std::io::sink) {
            Ok(_) => panic!("accepted"),
            Err(error) => error,
        };
        assert!(error.is::<Usage>(), "{error}");
    }
}
