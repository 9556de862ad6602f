//! Log lines to stderr. `ACTIVESTORE_LOG` sets what is logged, as in `info,activestore_db=debug`.

use std::io::IsTerminal;

use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

use crate::cli::LogFormat;
use crate::otlp::SpanLayer;

/// What is logged unless `ACTIVESTORE_LOG` says otherwise.
const DEFAULT_FILTER: &str =
    "info,datafusion=warn,quinn=warn,rumqttc=warn,cranelift=warn,wasmtime=warn";

/// Starts logging, and following spans where somebody takes them; the first call in a process counts.
pub fn start(format: LogFormat, spans: Option<SpanLayer>) {
    let filter = std::env::var("ACTIVESTORE_LOG")
        .ok()
        .and_then(|text| EnvFilter::try_new(text).ok())
        .unwrap_or_else(|| EnvFilter::new(DEFAULT_FILTER));
    let lines = fmt::layer().with_writer(std::io::stderr);
    // Two kinds of one thing, so they are boxed.
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Text => lines
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .boxed(),
    };
    let Some(spans) = spans else {
        // A filter for all is cheaper than one for each.
        let _ = registry().with(lines).with(filter).try_init();
        return;
    };
    // A second subscriber is refused, which only a test could meet.
    let _ = registry()
        .with(lines.with_filter(filter))
        .with(spans.with_filter(filter_fn(SpanLayer::follows)))
        .try_init();
}
