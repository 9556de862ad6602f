//! A segment that is sealed and was not handed out, with less in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use activestore_types::{Error, Hlc, Result, RowBatch, TableName, TableSchema};

use super::super::let_go::Gone;
use super::super::packing::no_rows;
use super::super::parts::read_numbers;
use super::super::queue::Thinned;
use super::{OWN_ROWS, Section, Segment, ZSTD_LEVEL};

/// What stays of a section.
pub(crate) enum Stays {
    All,
    /// Rows of a table in the place of those that were there, and how many of these went.
    Rows(Arc<TableSchema>, Vec<RowBatch>, u64),
}

impl Section {
    /// Whether some of its rows are deletes.
    pub(crate) fn has_deletes(&self) -> bool {
        self.tombstone.is_some()
    }
}

impl Segment {
    /// The segment without what does not stay; `None` where everything does. A segment of an older version stays
    /// as it is.
    pub(crate) fn thinned(
        self,
        mut stays: impl FnMut(&Section) -> Result<Stays>,
    ) -> Result<Option<Thinned>> {
        if self.version != OWN_ROWS {
            return Ok(None);
        }
        let mut gone: BTreeMap<TableName, Gone> = BTreeMap::new();
        let mut sections = Vec::with_capacity(self.sections.len());
        for section in self.sections {
            let (schema, batches, went) = match stays(&section)? {
                Stays::Rows(schema, batches, went) if went > 0 => (schema, batches, went),
                _ => {
                    sections.push(section);
                    continue;
                }
            };
            let stamps = read_numbers(&section.hlc, section.rows as usize)?;
            let ms = |stamp: Option<&u64>| stamp.map_or(0, |stamp| Hlc(*stamp).wall_ms());
            gone.entry(section.table.clone()).or_default().add(Gone {
                rows: went,
                first_ms: ms(stamps.iter().min()),
                last_ms: ms(stamps.iter().max()),
                times: 0,
            });
            let mut members: Vec<&RowBatch> = batches.iter().filter(|one| one.rows > 0).collect();
            // The receiver must know the table: rows that a range covers may come after it.
            let named = no_rows(&schema);
            if members.is_empty() && self.erased.iter().any(|one| one.table == section.table) {
                members.push(&named);
            }
            if !members.is_empty() {
                sections.push(Section::pack(&schema, &members)?);
            }
        }
        if gone.is_empty() {
            return Ok(None);
        }
        let rest = Segment { sections, ..self };
        let rows = rest.rows() + rest.erased.len() as u64;
        if rest.sections.is_empty() && rest.erased.is_empty() {
            return Ok(Some(Thinned { rest: None, gone }));
        }
        let plain = postcard::to_stdvec(&rest)
            .map_err(|error| Error::internal(format!("a segment cannot be packed: {error}")))?;
        let bytes = zstd::bulk::compress(&plain, ZSTD_LEVEL)?;
        Ok(Some(Thinned {
            rest: Some((rows, bytes.into())),
            gone,
        }))
    }
}
