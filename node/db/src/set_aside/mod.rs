//! Rows of other nodes that this one cannot take as its tables are: another primary key here, a column of another
//! type, a table that is the cloud's own. They are set aside in the log record that acknowledges them, with the
//! reason, so that one odd table holds up no other, and wait until somebody has mended the cause and has them tried
//! again ([`retry`]). Their stamps and writers stay, so a second try changes nothing that the first has done.
//!
//! What is set aside is a note: there is little room, and nothing goes to make some. A segment for which there is none
//! is not acknowledged, and stays with who sealed it.

mod retry;

use std::sync::atomic::{AtomicU64, Ordering};

use activestore_store::Note;
use activestore_types::{Error, ErrorKind, NodeId, Result, TableName};
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use crate::counters::Figures;
use crate::db::Inner;
use crate::events::Kind;
use crate::outbox::segment::{Section, Segment};

pub use retry::RetryReport;

/// Segments of which something is set aside, at most.
pub(crate) const SEGMENTS_MAX: usize = 256;
/// Bytes that they take at most.
pub(crate) const BYTES_MAX: usize = 2 * 1024 * 1024;
/// Nothing is set aside where notes would take more than so many eighths of the memory they may: how far each
/// edge's rows are applied is a note too.
const NOTE_EIGHTHS: usize = 6;
/// Bytes of a reason, and of a row, that are shown.
const TEXT_BYTES_MAX: usize = 1024;
/// Behind a note: its rows came later than deletes are remembered.
const LATE_MARK: &[u8] = b"late";
/// Before a running number: a segment of which something is set aside.
const PREFIX: &[u8] = b"refused/";

/// What a database holds for rows that are set aside.
#[derive(Default)]
pub(crate) struct SetAside {
    /// From reading what there is until the record that changes it is committed.
    turn: Mutex<()>,
    /// Rows set aside since the start.
    rows: AtomicU64,
    /// Rows taken by a later try since the start.
    taken: AtomicU64,
    /// Rows that were discarded since the start.
    discarded: AtomicU64,
}

impl SetAside {
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }
}

/// A table's part of a segment that is set aside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Which section of the segment.
    pub(crate) section: u32,
    pub(crate) table: TableName,
    pub(crate) rows: u32,
    pub(crate) reason: String,
}

impl Part {
    pub(crate) fn of(number: usize, section: &Section, error: &Error) -> Part {
        Part {
            section: u32::try_from(number).unwrap_or(u32::MAX),
            table: section.table.clone(),
            rows: section.rows,
            reason: cut(error.to_string()),
        }
    }
}

/// A segment of which something is set aside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Aside {
    /// When, in nanoseconds since 1970.
    pub(crate) at_ns: i64,
    /// Whom it came from.
    pub(crate) from: NodeId,
    /// Whether it came from above.
    pub(crate) down: bool,
    pub(crate) parts: Vec<Part>,
    pub(crate) payload: Vec<u8>,
    /// Whether its rows came later than deletes are remembered: behind the rest, where earlier notes end.
    #[serde(skip)]
    pub(crate) late: bool,
}

/// Whether an error says that rows do not fit what this node has, so that trying again at once is of no use.
pub(crate) fn lasts(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Denied)
}

impl Inner {
    /// What is to be noted to set parts of a segment aside, behind `before` such notes of the same record; who calls
    /// has the turn until it is committed.
    ///
    /// # Errors
    /// `Overloaded`, with the first reason, where there is no room.
    pub(crate) fn set_aside(
        &self,
        from: NodeId,
        down: bool,
        parts: Vec<Part>,
        payload: &[u8],
        before: usize,
    ) -> Result<Note> {
        self.set_aside_as(from, down, parts, payload, before, false)
    }

    /// The same, of rows that came later than deletes are remembered.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn set_aside_late(
        &self,
        from: NodeId,
        parts: Vec<Part>,
        payload: &[u8],
        before: usize,
    ) -> Result<Note> {
        self.set_aside_as(from, false, parts, payload, before, true)
    }

    fn set_aside_as(
        &self,
        from: NodeId,
        down: bool,
        parts: Vec<Part>,
        payload: &[u8],
        before: usize,
        late: bool,
    ) -> Result<Note> {
        let held = self.store.notes(PREFIX);
        let taken: usize = held.iter().map(|(_, value)| value.len()).sum();
        let last = held.last().and_then(|(key, _)| number(key));
        let number = last.map_or(0, |last| last + 1) + before as u64;
        let aside = Aside {
            at_ns: self.env.clock.wall_ns(),
            from,
            down,
            parts,
            payload: payload.to_vec(),
            late,
        };
        let note = Note {
            key: [PREFIX, &number.to_be_bytes()].concat(),
            value: Some(written(&aside)?),
        };
        let bytes = note.value.as_ref().map_or(0, Vec::len);
        let change = std::iter::once((note.key.as_slice(), note.value.as_deref()));
        let fits = self.store.admit_notes(change, NOTE_EIGHTHS).is_ok();
        if held.len() + before >= SEGMENTS_MAX || taken + bytes > BYTES_MAX || !fits {
            let reason = aside.parts.first().map_or("", |part| part.reason.as_str());
            return Err(Error::overloaded(format!(
                "rows cannot be taken ({reason}), and as many are set aside as there is room for"
            ))
            .with_hint(
                "mend what system.rejected_writes tells of, then activestore sync retry-rejected",
            ));
        }
        let rows: u64 = aside.parts.iter().map(|part| u64::from(part.rows)).sum();
        for part in &aside.parts {
            tracing::warn!(
                %from, table = %part.table, rows = part.rows,
                "rows are set aside: {}", part.reason
            );
        }
        self.set_aside.rows.fetch_add(rows, Ordering::Relaxed);
        let reason = aside.parts.first().map_or("", |part| part.reason.as_str());
        let text = format!("{rows} rows were set aside: {reason}");
        self.events.tell(Kind::RowsSetAside, Some(from), text);
        Ok(note)
    }

    /// What is set aside, oldest first, each with its note's key.
    pub(crate) fn asides(&self) -> Vec<(Vec<u8>, Aside)> {
        let held = self.store.notes(PREFIX).into_iter();
        let held = held.filter_map(|(key, value)| {
            let (aside, rest) = postcard::take_from_bytes::<Aside>(&value).ok()?;
            let late = rest == LATE_MARK;
            Some((key, Aside { late, ..aside }))
        });
        held.collect()
    }

    /// What is set aside, a table of a segment each: where it came from, the part, its first row.
    pub(crate) fn parts_aside(&self) -> Vec<(Aside, Part, Option<String>)> {
        let mut all = Vec::new();
        for (_, mut aside) in self.asides() {
            let payload = std::mem::take(&mut aside.payload);
            let content = Segment::unpack(&payload).ok();
            for part in std::mem::take(&mut aside.parts) {
                let section = content.as_ref();
                let section =
                    section.and_then(|content| content.sections.get(part.section as usize));
                let row = section.and_then(Section::first_row).map(cut);
                all.push((aside.clone(), part, row));
            }
        }
        all
    }

    pub(crate) fn set_aside_figures(&self, all: &mut Figures) {
        let asides = self.asides();
        let parts = asides.iter().flat_map(|(_, aside)| &aside.parts);
        all.gauge(
            "activestore_sync_rows_aside",
            "Rows of other nodes that cannot be taken and are set aside.",
            parts.map(|part| u64::from(part.rows)).sum::<u64>() as f64,
        );
        let counters = [
            (
                "activestore_sync_rows_set_aside_total",
                "Rows of other nodes that were set aside since the start.",
                &self.set_aside.rows,
            ),
            (
                "activestore_sync_rows_retried_total",
                "Rows that were set aside and taken by a later try since the start.",
                &self.set_aside.taken,
            ),
            (
                "activestore_sync_rows_discarded_total",
                "Rows that were set aside, or refused by processors, and discarded on request since the start.",
                &self.set_aside.discarded,
            ),
        ];
        for (name, help, counter) in counters {
            all.counter(name, help, counter.load(Ordering::Relaxed) as f64);
        }
    }
}

fn number(key: &[u8]) -> Option<u64> {
    let digits = key.get(PREFIX.len()..)?.try_into().ok()?;
    Some(u64::from_be_bytes(digits))
}

fn written(aside: &Aside) -> Result<Vec<u8>> {
    let mut value = postcard::to_stdvec(aside)
        .map_err(|error| Error::internal(format!("rows cannot be set aside: {error}")))?;
    if aside.late {
        value.extend(LATE_MARK);
    }
    Ok(value)
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    text
}
