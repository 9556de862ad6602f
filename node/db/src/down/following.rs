//! The edge in its cloud's stream: where it stands, and rows from above into the store.
//!
//! The place is a note in the log record of the rows, so a crash at any time neither loses nor repeats a
//! segment. Rows wait for the definition of their table; if the definitions that are here are as new as
//! the rows, the table was dropped since, and they are passed over.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use activestore_store::Note;
use activestore_sync_proto::{ChainHash, DownPosition, Progress, SealedSegment, StartOver};
use activestore_types::{Epoch, Error, NodeId, Result, RowBatch, SyncMode, TableName, TableSchema};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::NOTE;
use super::passing_on::forget_whole;
use crate::db::Inner;
use crate::events::Kind;
use crate::inbox::ours_alone;
use crate::incoming::{Incoming, same_key};
use crate::outbox::origins::Origins;
use crate::outbox::segment::{Section, Segment};
use crate::replica::{VERSION_NOTE, held_definitions};
use crate::set_aside::{Part, lasts};

/// The place of an edge in its cloud's stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    node: NodeId,
    pub(crate) epoch: Epoch,
    pub(crate) seq: u64,
    hash: ChainHash,
    /// Where the fetching of the tables goes on; `None` when they are here.
    pub(crate) cursor: Option<Vec<u8>>,
    /// Row fragments taken from above since it last started over.
    pub(crate) rows: u64,
}

impl Place {
    fn note(&self) -> Result<Note> {
        let value = postcard::to_stdvec(self)
            .map_err(|error| Error::internal(format!("the place in the stream: {error}")))?;
        Ok(Note {
            key: NOTE.to_vec(),
            value: Some(value),
        })
    }
}

impl Inner {
    /// Where this node stands in the cloud's stream; `None` where it never followed one.
    pub(crate) fn place(&self) -> Result<Option<Place>> {
        let kept = self.store.note(NOTE);
        kept.map(|bytes| postcard::from_bytes(&bytes))
            .transpose()
            .map_err(|error| {
                Error::corrupt(format!(
                    "the place in the cloud's stream cannot be read: {error}"
                ))
            })
    }

    pub(crate) fn down_position(&self) -> Result<DownPosition> {
        Ok(match self.place()? {
            None => DownPosition::default(),
            Some(place) => DownPosition {
                node: place.node,
                epoch: place.epoch,
                progress: Progress {
                    seq: place.seq,
                    hash: place.hash,
                },
                cursor: place.cursor.map(Bytes::from),
            },
        })
    }

    pub(crate) fn start_over(&self, start: &StartOver) -> Result<()> {
        let _turn = self.down.following.lock();
        let moved = self.place()?.is_some_and(|at| at.node != start.node);
        if moved || held_definitions(self) > start.definitions {
            // Another cloud, or one that went back to an older state: its numbers tell now what counts as new.
            self.store.commit(activestore_store::WriteSet {
                batches: Vec::new(),
                tombstones: Vec::new(),
                notes: vec![Note {
                    key: VERSION_NOTE.to_vec(),
                    value: None,
                }],
            })?;
        }
        let place = Place {
            node: start.node,
            epoch: start.epoch,
            seq: start.seq,
            hash: start.hash,
            cursor: Some(Vec::new()),
            rows: 0,
        };
        self.down.started_over.fetch_add(1, Ordering::Relaxed);
        let text = "the cloud's tables are fetched from the beginning";
        self.events.tell(Kind::FetchBegun, Some(start.node), text);
        let mut incoming = Incoming::default();
        incoming.notes.push(forget_whole());
        if moved {
            let before = self.place()?.map(|at| at.node);
            incoming.notes.extend(self.note_first_cloud(before));
        }
        self.take_in(incoming, place.note()?)?;
        Ok(())
    }

    pub(crate) fn apply_down(
        &self,
        node: NodeId,
        epoch: Epoch,
        segment: &SealedSegment,
    ) -> Result<()> {
        let _turn = self.down.following.lock();
        let place = self.place()?;
        let here = place
            .as_ref()
            .filter(|at| at.node == node && at.epoch == epoch && at.cursor.is_none());
        let Some(here) = here else {
            return Err(Error::conflict("this is not the stream that is followed"));
        };
        if segment.seq == here.seq && segment.hash == here.hash {
            return Ok(());
        }
        if segment.seq != here.seq + 1 || segment.prev_hash != here.hash {
            return Err(Error::conflict(format!(
                "segment {} does not follow segment {}",
                segment.seq, here.seq
            )));
        }
        let _aside = self.set_aside.turn();
        let mut incoming = Incoming::first();
        self.taken_from_above(&segment.payload, node, &mut incoming)?;
        let next = Place {
            seq: segment.seq,
            hash: segment.hash,
            rows: here.rows + incoming.fragments(),
            ..here.clone()
        };
        self.take_in(incoming, next.note()?)?;
        Ok(())
    }

    pub(crate) fn apply_rows(
        &self,
        epoch: Epoch,
        from: &[u8],
        payload: &[u8],
        next: Option<&[u8]>,
    ) -> Result<()> {
        let _turn = self.down.following.lock();
        let place = self.place()?;
        let here = place
            .as_ref()
            .filter(|at| at.epoch == epoch && at.cursor.as_deref() == Some(from));
        let Some(here) = here else {
            return Err(Error::conflict(
                "these rows are not the ones that are wanted",
            ));
        };
        let _aside = self.set_aside.turn();
        let mut incoming = Incoming::default();
        self.taken_from_above(payload, here.node, &mut incoming)?;
        incoming.notes.extend(self.fetched_note(&incoming.batches));
        if self.options.role.has_edges() {
            incoming.notes.extend(self.note_whole_up_to(payload)?);
        }
        if next.is_none() {
            incoming.notes.extend(self.note_fetched(here.node));
        }
        let place = Place {
            cursor: next.map(<[u8]>::to_vec),
            rows: here.rows + incoming.fragments(),
            ..here.clone()
        };
        let rows = place.rows;
        self.take_in(incoming, place.note()?)?;
        if next.is_none() {
            let text = format!("the cloud's tables are here, {rows} row fragments");
            self.events.tell(Kind::FetchDone, Some(here.node), text);
        }
        Ok(())
    }

    /// What a payload comes to here.
    fn taken_from_above(&self, payload: &[u8], by: NodeId, incoming: &mut Incoming) -> Result<()> {
        let content = Segment::unpack(payload)?;
        let Some(origins) = content.origins.as_ref().filter(|it| it.via.is_none()) else {
            return Err(Error::invalid("rows from above do not say who wrote them"));
        };
        let waits = origins.definitions > held_definitions(self);
        let local = origins.local(|node| self.store.origin_id(node))?;
        let mut aside = Vec::new();
        for (index, section) in content.sections.iter().enumerate() {
            let known = self.catalog.state().tables.get(&section.table).cloned();
            let Some(schema) = known else {
                self.lacks(waits, section.table.to_string(), section.rows)?;
                continue;
            };
            match self.batch_from_above(index, section, &schema, origins, &local) {
                Ok(batch) => incoming.rows(batch),
                // Defined otherwise here, which the status lists: one odd table holds up no other.
                Err(error) if lasts(&error) => aside.push(Part::of(index, section, &error)),
                Err(error) => return Err(error),
            }
        }
        let state = self.catalog.state();
        let is_view = |table: &TableName| state.views.contains_key(table);
        for (index, erased) in content.erased.iter().enumerate() {
            if is_view(&erased.table) {
                continue; // of rows that were not taken either
            }
            if let Some(schema) = self.catalog.state().tables.get(&erased.table) {
                incoming.erased(schema, erased, origins.of_erased(index, &local));
            }
        }
        // What is set aside would be erased for good, though it is to be taken once it fits.
        if aside.is_empty()
            && let Some(covered) = origins.covered.as_ref().filter(|one| !is_view(&one.table))
            && let Some(schema) = self.catalog.state().tables.get(&covered.table)
        {
            let origin = self.store.origin_id(by)?;
            match schema.sync {
                SyncMode::Down => self.prune(schema, covered, origin, incoming)?,
                SyncMode::Both => {
                    if let Some(spared) = self.spared(schema, by)? {
                        self.forget_as_above(schema, covered, &spared, incoming)?;
                    }
                }
                SyncMode::None | SyncMode::Up => {}
            }
        }
        let lost: u32 = aside.iter().map(|part: &Part| part.rows).sum();
        if let Some(first) = aside.first() {
            let what = first.reason.clone();
            match self.set_aside(by, true, aside, payload, 0) {
                Ok(note) => incoming.notes.push(note),
                // The cloud goes on having them.
                Err(error) => self.lacks(false, format!("{what}; {error}"), lost)?,
            }
        }
        Ok(())
    }

    /// A section that came from above once more.
    pub(crate) fn section_from_above(
        &self,
        index: usize,
        section: &Section,
        origins: &Origins,
    ) -> Result<RowBatch> {
        let schema = self.catalog.state().table(&section.table)?.clone();
        let local = origins.local(|node| self.store.origin_id(node))?;
        self.batch_from_above(index, section, &schema, origins, &local)
    }

    fn batch_from_above(
        &self,
        index: usize,
        section: &Section,
        schema: &Arc<TableSchema>,
        origins: &Origins,
        local: &[u32],
    ) -> Result<RowBatch> {
        if self.catalog.state().views.contains_key(&section.table) {
            return Err(ours_alone(self, &section.table));
        }
        same_key(schema, section)?;
        let schema = self.grown(schema.clone(), section)?;
        self.store.put_schema(schema.clone())?;
        let mut batch = section.batch(&schema, 0)?;
        batch.origin = origins.rows(index, batch.rows, local)?;
        Ok(batch)
    }

    /// Rows that nothing here can take: they wait, or are passed over and counted.
    fn lacks(&self, waits: bool, what: String, rows: u32) -> Result<()> {
        if waits {
            return Err(Error::overloaded(format!(
                "rows of {what} wait for its definition"
            )));
        }
        if rows > 0 {
            tracing::warn!(rows, "rows from the cloud are passed over: {what}");
            self.down
                .skipped
                .fetch_add(u64::from(rows), Ordering::Relaxed);
        }
        Ok(())
    }
}
