//! Follows spans from begin to end.

use std::fmt::{Debug, Write};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::queue::Queue;

/// Fields and events that are kept of one span.
const KEPT_MAX: usize = 32;

/// Bytes of a field's text.
const TEXT_BYTES_MAX: usize = 1_024;

/// Whose spans are sent: this program's, and not those of the libraries in it.
const TARGET: &str = "activestore";

/// What a field says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// A text, or whatever has one.
    Text(String),
    /// A whole number.
    Number(i64),
    /// Any other number.
    Real(f64),
    /// Yes or no.
    Truth(bool),
}

/// A span that ended.
#[derive(Clone, Debug)]
pub struct Ended {
    pub(super) trace: u128,
    pub(super) span: u64,
    pub(super) parent: Option<u64>,
    pub(super) name: &'static str,
    /// Nanoseconds since 1970.
    pub(super) begun_ns: u128,
    pub(super) ended_ns: u128,
    pub(super) fields: Vec<(&'static str, Said)>,
    /// When, and what.
    pub(super) events: Vec<(u128, String)>,
    pub(super) failed: bool,
}

/// A span under way.
struct Begun {
    span: Ended,
    started: Instant,
}

/// Collects spans into the queue.
#[derive(Debug)]
pub struct SpanLayer {
    queue: Arc<Queue>,
    seed: u64,
    count: AtomicU64,
}

impl SpanLayer {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        SpanLayer {
            queue,
            // Drawn by the standard library at random for each process.
            seed: RandomState::new().hash_one(std::process::id()),
            count: AtomicU64::new(0),
        }
    }

    /// Whether it follows that span, or keeps that event.
    pub fn follows(metadata: &Metadata<'_>) -> bool {
        let most = if metadata.is_span() {
            Level::DEBUG
        } else {
            Level::WARN
        };
        metadata.target().starts_with(TARGET) && *metadata.level() <= most
    }

    /// A number that no other span has; never zero, which says that there is none.
    fn number(&self) -> u64 {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mut mixed = self
            .seed
            .wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).max(1)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else {
            return;
        };
        let above = span.parent().and_then(|parent| {
            let extensions = parent.extensions();
            let begun: &Begun = extensions.get()?;
            Some((begun.span.trace, begun.span.span))
        });
        let mut begun = Begun {
            span: Ended {
                trace: above.map_or_else(
                    || (u128::from(self.number()) << 64) | u128::from(self.number()),
                    |(trace, _)| trace,
                ),
                span: self.number(),
                parent: above.map(|(_, parent)| parent),
                name: span.name(),
                begun_ns: now_ns(),
                ended_ns: 0,
                fields: Vec::new(),
                events: Vec::new(),
                failed: false,
            },
            started: Instant::now(),
        };
        attributes.record(&mut Fields(&mut begun.span.fields));
        span.extensions_mut().insert(begun);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else {
            return;
        };
        if let Some(begun) = span.extensions_mut().get_mut::<Begun>() {
            values.record(&mut Fields(&mut begun.span.fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(span) = context.event_span(event) else {
            return;
        };
        if let Some(begun) = span.extensions_mut().get_mut::<Begun>() {
            begun.span.failed |= *event.metadata().level() == Level::ERROR;
            if begun.span.events.len() < KEPT_MAX {
                let mut said = Sentence::default();
                event.record(&mut said);
                begun.span.events.push((now_ns(), cut(said.0)));
            }
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        let begun = span.extensions_mut().remove::<Begun>();
        if let Some(Begun { mut span, started }) = begun {
            // The wall clock may have been set meanwhile.
            span.ended_ns = span.begun_ns + started.elapsed().as_nanos();
            self.queue.push(span);
        }
    }
}

fn now_ns() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos())
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    text
}

/// The fields of a span; a later value takes the place of an earlier one.
struct Fields<'a>(&'a mut Vec<(&'static str, Said)>);

impl Fields<'_> {
    fn say(&mut self, field: &Field, said: Said) {
        let mut known = self.0.iter_mut();
        if let Some((_, before)) = known.find(|(name, _)| *name == field.name()) {
            *before = said;
        } else if self.0.len() < KEPT_MAX {
            self.0.push((field.name(), said));
        }
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.say(field, Said::Text(cut(format!("{value:?}"))));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.say(field, Said::Text(cut(value.to_owned())));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.say(field, Said::Number(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.say(
            field,
            Said::Number(i64::try_from(value).unwrap_or(i64::MAX)),
        );
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.say(field, Said::Real(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.say(field, Said::Truth(value));
    }
}

/// An event as a line: its message, and what it names.
#[derive(Default)]
struct Sentence(String);

impl Visit for Sentence {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let space = if self.0.is_empty() { "" } else { " " };
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{space}{value:?}"),
            name => write!(self.0, "{space}{name}={value:?}"),
        };
    }
}
