//! Log lines to stderr. `ACTIVESTORE_LOG` sets what is logged, as in `info,activestore_db=debug`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// What is logged unless `ACTIVESTORE_LOG` says otherwise.
const DEFAULT_FILTER: &str =
    "info,datafusion=warn,quinn=warn,rumqttc=warn,cranelift=warn,wasmtime=warn";

/// Starts logging; the first call in a process counts.
pub fn start(format: LogFormat) {
    let filter = std::env::var("ACTIVESTORE_LOG")
        .ok()
        .and_then(|text| EnvFilter::try_new(text).ok())
        .unwrap_or_else(|| EnvFilter::new(DEFAULT_FILTER));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second subscriber is refused, which only a test could meet.
    let _ = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .try_init(),
    };
}
