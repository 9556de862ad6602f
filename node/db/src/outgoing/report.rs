//! What people are shown of requests that wait or were given up. Addresses and headers often hold secrets: neither is shown.

use std::sync::Arc;

use activestore_types::Result;
use arrow::array::TimestampNanosecondArray;
use arrow::record_batch::RecordBatch;

use super::{Figures, Kept, Outgoing, kept};
use crate::counters::{CounterKind, Figures as Counters};
use crate::plugins::ms_to_ns;
use crate::system::{batch, count, optional, text};
use crate::tables::Relations;

/// A figure of a processor's requests: name, meaning, kind, and how it is read.
type Figure = (&'static str, &'static str, CounterKind, fn(&Figures) -> u64);

/// The requests that wait or were given up, those of each processor in their order.
pub(crate) fn outgoing(relations: &Relations) -> Result<RecordBatch> {
    let database = relations.database();
    let notes = relations.store.notes(kept::PREFIX);
    let all: Vec<_> = notes
        .iter()
        .filter_map(|(key, note)| {
            let (processor, number) = kept::place(key)?;
            let kept = Kept::read(note).ok()?;
            let database = database.as_ref();
            let tried = database.and_then(|db| db.outgoing.tried(&processor, number));
            Some((processor, kept, tried))
        })
        .collect();
    let state = |kept: &Kept| {
        if kept.dead.is_some() {
            "dead"
        } else {
            "waiting"
        }
    };
    batch(vec![
        (
            "processor",
            text(all.iter().map(|(name, ..)| name.as_str())),
        ),
        ("id", text(all.iter().map(|(_, kept, _)| kept.id()))),
        ("state", text(all.iter().map(|(_, kept, _)| state(kept)))),
        (
            "at",
            Arc::new(TimestampNanosecondArray::from_iter_values(
                all.iter().map(|(_, kept, _)| ms_to_ns(kept.created_ms)),
            )),
        ),
        (
            "method",
            text(all.iter().map(|(_, kept, _)| kept.method.as_str())),
        ),
        (
            "host",
            optional(
                all.iter()
                    .map(|(_, kept, _)| Some(kept.target()?.to_string())),
            ),
        ),
        (
            "bytes",
            count(all.iter().map(|(_, kept, _)| kept.bytes() as u64)),
        ),
        (
            "tries",
            count(
                all.iter()
                    .map(|(.., tried)| tried.as_ref().map_or(0, |tried| u64::from(tried.tries))),
            ),
        ),
        (
            "error",
            optional(all.iter().map(|(_, kept, tried)| {
                let last = || tried.as_ref().map(|tried| tried.error.clone());
                kept.dead.clone().or_else(last)
            })),
        ),
    ])
}

impl Outgoing {
    /// The figures of each processor that has sent requests since the start, or of which there are some.
    pub(crate) fn count(&self, all: &mut Counters) {
        let lines: Vec<(String, Figures)> = {
            let queue = self.queue.lock();
            let lines = queue.lines.iter();
            lines
                .map(|(name, line)| (name.clone(), line.figures()))
                .collect()
        };
        let each: [Figure; 6] = [
            (
                "activestore_requests_waiting",
                "Requests of a processor that wait to be delivered.",
                CounterKind::Gauge,
                |figures| figures.waiting,
            ),
            (
                "activestore_requests_waiting_bytes",
                "Bytes of requests of a processor that wait to be delivered.",
                CounterKind::Gauge,
                |figures| figures.waiting_bytes,
            ),
            (
                "activestore_requests_dead",
                "Requests of a processor that were given up and are kept.",
                CounterKind::Gauge,
                |figures| figures.dead,
            ),
            (
                "activestore_requests_delivered_total",
                "Requests of a processor that were delivered.",
                CounterKind::Counter,
                |figures| figures.delivered,
            ),
            (
                "activestore_requests_failed_total",
                "Attempts to deliver a request of a processor that failed.",
                CounterKind::Counter,
                |figures| figures.failed,
            ),
            (
                "activestore_requests_given_up_total",
                "Requests of a processor that were given up.",
                CounterKind::Counter,
                |figures| figures.died,
            ),
        ];
        for (name, help, kind, value) in each {
            for (processor, figures) in &lines {
                let label = vec![("processor", processor.clone())];
                all.push(name, help, kind, label, value(figures) as f64);
            }
        }
    }
}
