//! Spans as the JSON of OTLP (`ExportTraceServiceRequest`): numbers of 64 bits are texts there, identities are hex.

use serde_json::{Value, json};

use super::layer::{Ended, Said};

/// A span within the program.
const KIND_INTERNAL: u8 = 1;

/// It went wrong.
const STATUS_ERROR: u8 = 2;

/// The message for these spans, from the node of that name.
pub(super) fn message(spans: &[Ended], node: &str) -> Value {
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    json!({ "resourceSpans": [{
        "resource": { "attributes": [
            text("service.name", "activestore"),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", node),
        ]},
        "scopeSpans": [{
            "scope": { "name": "activestore" },
            "spans": spans.iter().map(span).collect::<Vec<_>>(),
        }],
    }]})
}

fn span(span: &Ended) -> Value {
    let mut out = json!({
        "traceId": format!("{:032x}", span.trace),
        "spanId": format!("{:016x}", span.span),
        "name": span.name,
        "kind": KIND_INTERNAL,
        "startTimeUnixNano": span.begun_ns.to_string(),
        "endTimeUnixNano": span.ended_ns.to_string(),
        "attributes": span.fields.iter().map(|(key, said)| {
            json!({ "key": key, "value": value(said) })
        }).collect::<Vec<_>>(),
        "events": span.events.iter().map(|(ns, text)| {
            json!({ "timeUnixNano": ns.to_string(), "name": text })
        }).collect::<Vec<_>>(),
    });
    if let Some(members) = out.as_object_mut() {
        if let Some(parent) = span.parent {
            members.insert("parentSpanId".to_owned(), format!("{parent:016x}").into());
        }
        if span.failed {
            members.insert("status".to_owned(), json!({ "code": STATUS_ERROR }));
        }
    }
    out
}

fn value(said: &Said) -> Value {
    match said {
        Said::Text(text) => json!({ "stringValue": text }),
        Said::Number(number) => json!({ "intValue": number.to_string() }),
        Said::Real(number) => json!({ "doubleValue": number }),
        Said::Truth(truth) => json!({ "boolValue": truth }),
    }
}
