//! An operation and its calls are spans with OpenTelemetry's names, and no statement is in them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use uuid::Uuid;

use crate::support::{client, installed};

type Fields = BTreeMap<String, String>;

/// What a span held when it closed, and the name of the span around it.
type Closed = (Fields, Option<String>);

#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Closed>>>);

struct Reader<'a>(&'a mut Fields);

impl Visit for Reader<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}").trim_matches('"').to_owned();
        self.0.insert(field.name().to_owned(), text);
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target() == "pgshard::span" && *metadata.level() <= Level::DEBUG
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::new();
        attributes.record(&mut Reader(&mut fields));
        let span = context.span(id).unwrap();
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        values.record(&mut Reader(
            span.extensions_mut().get_mut::<Fields>().unwrap(),
        ));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        let around = span.parent().and_then(|parent| {
            let extensions = parent.extensions();
            extensions.get::<Fields>()?.get("otel.name").cloned()
        });
        let fields = span.extensions_mut().remove::<Fields>().unwrap();
        self.0.lock().unwrap().push((fields, around));
    }
}

#[tokio::test]
async fn operations_and_calls_are_spans_without_statements() {
    let (local, config) = installed(1, 0).await;
    let cluster = client(config).await;
    let spans = Spans::default();
    let listening = tracing_subscriber::registry().with(spans.clone());
    let _listening = tracing::subscriber::set_default(listening);

    let session = cluster.session(&Uuid::nil()).unwrap();
    let secret = "the customer's secret";
    session
        .transaction(async |tx| {
            tx.query_one::<(String,)>("SELECT $1::text AS told", &[&secret])
                .await
        })
        .await
        .unwrap();
    let read = session.read();
    read.rows(
        "SELECT 1 / length(substr($1::text, 1, 0)) AS told",
        &[&secret],
    )
    .await
    .unwrap_err();
    cluster.close().await;

    let spans = std::mem::take(&mut *spans.0.lock().unwrap());
    let names: Vec<&str> = spans.iter().map(|(f, _)| f["otel.name"].as_str()).collect();
    for name in ["begin", "execute", "commit", "transaction", "read"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    let port = local.node("s0a").unwrap().port().to_string();
    for (fields, around) in &spans {
        assert!(!format!("{fields:?}").contains("secret"), "{fields:?}");
        assert!(!format!("{fields:?}").contains("told"), "{fields:?}");
        assert_eq!(fields["pgshard.shard"], "s0");
        if fields["otel.kind"] != "client" {
            continue;
        }
        assert_eq!(fields["db.system.name"], "postgresql");
        assert_eq!(fields["db.namespace"], "bankdb");
        assert_eq!(fields["server.address"], "127.0.0.1");
        assert_eq!(fields["server.port"], port);
        assert_eq!(fields["pgshard.node"], "s0a");
        assert!(around.is_some(), "{fields:?} stands alone");
    }
    let failed = spans
        .iter()
        .find(|(f, _)| f.contains_key("db.response.status_code"));
    let (failed, around) = failed.expect("a call that failed");
    assert_eq!(failed["db.response.status_code"], "22012");
    assert_eq!(failed["otel.status_code"], "ERROR");
    assert_eq!(around.as_deref(), Some("read"));
}
