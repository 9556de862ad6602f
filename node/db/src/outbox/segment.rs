//! What a sealed segment holds: committed row fragments and range tombstones, table by table, with
//! names in place of ids so that any node can read it, columns in the store's encodings, and zstd
//! over the whole. Values lie partition by partition, see [`Grouping`]. The bytes are described in FORMAT.md
//! under "Segment".
//!
//! An edge seals its own rows only, so the origin is the segment's node and is not repeated. What flows
//! down, or up through a gateway, is of many nodes and names them.

use std::collections::BTreeMap;
use std::sync::Arc;

use activestore_store::{decode_array, encode_array};
use activestore_types::{
    BatchColumn, ColumnId, DataType, Error, Hlc, Result, RowBatch, TableName, TableSchema,
};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::DataType as ArrowType;
use serde::{Deserialize, Serialize};

mod shown;

use super::grouping::Grouping;
use super::origins::{Gather, Naming, Origins};
use super::parts::{bits, exactly, numbers, read_numbers};

mod thinned;

pub(crate) use thinned::Stays;

/// Rows of the node that sealed the segment.
const OWN_ROWS: u8 = 3;
/// Rows of several nodes, which it names.
const NAMED_ROWS: u8 = 4;
/// As `NAMED_ROWS`, of rows that come up through a gateway.
const RELAYED_ROWS: u8 = 5;
/// As `OWN_ROWS`, with all values in the order of arrival.
const UNGROUPED: u8 = 1;
const ZSTD_LEVEL: i32 = 3;
/// The most a segment's payload may unpack to, in bytes: a lying peer must not fill the memory.
pub(crate) const UNPACKED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Rows and the definition they were written under.
pub(crate) type Member = (Arc<TableSchema>, RowBatch);

/// A table's part of a segment.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Section {
    pub(crate) table: TableName,
    pub(crate) partition_key: Vec<String>,
    pub(crate) clustering_key: Vec<(String, bool)>,
    pub(crate) flexible: bool,
    pub(crate) ttl_s: Option<u64>,
    pub(crate) rows: u32,
    columns: Vec<PackedColumn>,
    hlc: Vec<u8>,
    expiry_ms: Option<Vec<u8>>,
    tombstone: Option<Vec<u8>>,
    /// Whether values lie in the order of arrival, those of the partition key aside.
    #[serde(skip)]
    ungrouped: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct PackedColumn {
    name: String,
    data_type: DataType,
    values: Vec<u8>,
    set: Option<Vec<u8>>,
}

/// A range tombstone by table name.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Erased {
    pub(crate) table: TableName,
    pub(crate) start: Vec<u8>,
    pub(crate) end: Vec<u8>,
    pub(crate) hlc: u64,
    /// Who erased, as an origin of the local store; only while it is packed.
    #[serde(skip)]
    pub(crate) origin: u32,
}

/// A whole segment.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Segment {
    version: u8,
    pub(crate) sections: Vec<Section>,
    pub(crate) erased: Vec<Erased>,
    /// Whose rows they are; `None` where all are the sender's.
    #[serde(skip)]
    pub(crate) origins: Option<Origins>,
}

impl Segment {
    /// Packs batches (with their schemas) and tombstones. Batches of one table are laid end to end,
    /// so that a delta runs through them. With `naming` every row keeps its origin.
    pub(crate) fn pack(
        batches: &[Member],
        erased: Vec<Erased>,
        naming: Option<&Naming<'_>>,
    ) -> Result<Vec<u8>> {
        let mut groups: BTreeMap<(TableName, u32), Vec<&Member>> = BTreeMap::new();
        for entry in batches {
            groups
                .entry((entry.0.name.clone(), entry.0.version))
                .or_default()
                .push(entry);
        }
        let mut sections = Vec::with_capacity(groups.len());
        let mut gather = naming.map(Gather::new);
        for entries in groups.values() {
            if let Some((schema, _)) = entries.first() {
                let members: Vec<&RowBatch> = entries.iter().map(|(_, batch)| batch).collect();
                sections.push(Section::pack(schema, &members)?);
                if let Some(gather) = &mut gather {
                    gather.section(
                        members
                            .iter()
                            .flat_map(|batch| batch.origin.iter().copied()),
                    )?;
                }
            }
        }
        if let Some(gather) = &mut gather {
            erased
                .iter()
                .try_for_each(|one| gather.erased(one.origin))?;
        }
        let segment = Segment {
            version: match naming {
                Some(naming) if naming.via.is_some() => RELAYED_ROWS,
                Some(_) => NAMED_ROWS,
                None => OWN_ROWS,
            },
            sections,
            erased,
            origins: None,
        };
        let failed = |error| Error::internal(format!("a segment cannot be packed: {error}"));
        let mut plain = postcard::to_stdvec(&segment).map_err(failed)?;
        if let Some(gather) = gather {
            plain = gather.end().append_to(plain).map_err(failed)?;
        }
        zstd::bulk::compress(&plain, ZSTD_LEVEL).map_err(Error::from)
    }

    /// Unpacks a payload.
    ///
    /// # Errors
    /// `Invalid` when the bytes are not a segment this version reads.
    pub(crate) fn unpack(payload: &[u8]) -> Result<Segment> {
        let wrong = |why: String| Error::invalid(format!("a segment cannot be read: {why}"));
        let plain = zstd::bulk::decompress(payload, UNPACKED_BYTES_MAX)
            .map_err(|error| wrong(error.to_string()))?;
        let (mut segment, rest) = postcard::take_from_bytes::<Segment>(&plain)
            .map_err(|error| wrong(error.to_string()))?;
        match segment.version {
            OWN_ROWS | UNGROUPED => {}
            NAMED_ROWS | RELAYED_ROWS => {
                let origins = Origins::read(rest, segment.version == RELAYED_ROWS)
                    .map_err(|error| wrong(error.to_string()))?;
                origins.fits(segment.sections.len(), segment.erased.len())?;
                segment.origins = Some(origins);
            }
            other => {
                return Err(wrong(format!(
                    "it has version {other}, this node reads {UNGROUPED} and {OWN_ROWS} to {RELAYED_ROWS}"
                )));
            }
        }
        for section in &mut segment.sections {
            section.ungrouped = segment.version == UNGROUPED;
        }
        Ok(segment)
    }

    /// When the oldest of its rows was written, in milliseconds since 1970.
    pub(crate) fn oldest_ms(&self) -> Result<Option<u64>> {
        let mut oldest = self.erased.iter().map(|one| Hlc(one.hlc).wall_ms()).min();
        for section in &self.sections {
            let stamps = read_numbers(&section.hlc, section.rows as usize)?;
            let first = stamps.iter().min().map(|stamp| Hlc(*stamp).wall_ms());
            oldest = [oldest, first].into_iter().flatten().min();
        }
        Ok(oldest)
    }

    /// Row fragments in all sections.
    pub(crate) fn rows(&self) -> u64 {
        self.sections
            .iter()
            .map(|section| u64::from(section.rows))
            .sum()
    }
}

impl Section {
    fn pack(schema: &TableSchema, batches: &[&RowBatch]) -> Result<Section> {
        let rows: usize = batches.iter().map(|batch| batch.rows).sum();
        let mut keys = Vec::with_capacity(schema.partition_key.len());
        for id in &schema.partition_key {
            let parts: Vec<&dyn Array> = batches
                .iter()
                .filter_map(|batch| Some(&*batch.column(*id)?.array))
                .collect();
            keys.push(concat(&parts)?);
        }
        let grouping = Grouping::of(&keys, rows)?;
        let mut columns = Vec::new();
        for column in &schema.columns {
            let grouped = !schema.partition_key.contains(&column.id);
            if !batches
                .iter()
                .any(|batch| batch.column(column.id).is_some())
            {
                continue;
            }
            let mut parts: Vec<ArrayRef> = Vec::with_capacity(batches.len());
            let mut set: Vec<bool> = Vec::with_capacity(rows);
            for batch in batches {
                match batch.column(column.id) {
                    Some(found) => {
                        parts.push(found.array.clone());
                        match &found.set {
                            Some(bits) => set.extend(bits.iter()),
                            None => set.extend(std::iter::repeat_n(true, batch.rows)),
                        }
                    }
                    None => {
                        parts.push(new_null_array(&column.data_type.arrow(), batch.rows));
                        set.extend(std::iter::repeat_n(false, batch.rows));
                    }
                }
            }
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            let packed = |array: ArrayRef| -> Result<Vec<u8>> {
                let array = if grouped {
                    grouping.gather(&array)?
                } else {
                    array
                };
                Ok(encode_array(&array))
            };
            let set = set
                .iter()
                .any(|bit| !bit)
                .then(|| packed(Arc::new(BooleanArray::from(set))))
                .transpose()?;
            columns.push(PackedColumn {
                name: column.name.clone(),
                data_type: column.data_type,
                values: packed(concat(&parts)?)?,
                set,
            });
        }
        let name = |id: ColumnId| {
            schema
                .column_by_id(id)
                .map_or_else(String::new, |column| column.name.clone())
        };
        Ok(Section {
            table: schema.name.clone(),
            partition_key: schema.partition_key.iter().map(|id| name(*id)).collect(),
            clustering_key: schema
                .clustering_key
                .iter()
                .map(|key| (name(key.id), key.descending))
                .collect(),
            flexible: schema.flexible,
            ttl_s: schema.ttl_s,
            rows: u32::try_from(rows)
                .map_err(|_| Error::internal("a segment holds too many rows"))?,
            columns,
            hlc: numbers(batches.iter().flat_map(|batch| batch.hlc.iter().copied())),
            expiry_ms: batches
                .iter()
                .any(|batch| batch.expiry_ms.is_some())
                .then(|| {
                    numbers(batches.iter().flat_map(|batch| {
                        (0..batch.rows).map(|row| {
                            batch
                                .expiry_ms
                                .as_ref()
                                .and_then(|expiry| expiry.get(row).copied())
                                .unwrap_or(0)
                        })
                    }))
                }),
            tombstone: batches
                .iter()
                .any(|batch| batch.tombstone.is_some())
                .then(|| {
                    let bits: BooleanArray = batches
                        .iter()
                        .flat_map(|batch| {
                            (0..batch.rows).map(|row| {
                                Some(batch.tombstone.as_ref().is_some_and(|bits| bits.value(row)))
                            })
                        })
                        .collect();
                    encode_array(&(Arc::new(bits) as ArrayRef))
                }),
            ungrouped: false,
        })
    }

    /// The columns' names and types, for making or growing the table.
    pub(crate) fn column_types(&self) -> impl Iterator<Item = (&str, DataType)> {
        self.columns
            .iter()
            .map(|column| (column.name.as_str(), column.data_type))
    }

    /// The order that values lie in.
    fn grouping(&self) -> Result<Grouping> {
        if self.ungrouped {
            return Ok(Grouping::none());
        }
        let rows = self.rows as usize;
        let mut keys = Vec::with_capacity(self.partition_key.len());
        for name in &self.partition_key {
            let key = self.columns.iter().find(|column| column.name == *name);
            let key = key.ok_or_else(|| {
                Error::invalid(format!("a segment lacks the key's column '{name}'"))
            })?;
            keys.push(key.decode(rows)?);
        }
        Grouping::of(&keys, rows)
    }

    /// The rows as a batch of the local table. `origin` is the local id of the segment's node.
    ///
    /// # Errors
    /// `Invalid` when a part does not decode, has another length than the section says, or has
    /// another type than the local column.
    pub(crate) fn batch(&self, schema: &TableSchema, origin: u32) -> Result<RowBatch> {
        let rows = self.rows as usize;
        let grouping = self.grouping()?;
        let mut columns = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let arrived = |array: ArrayRef| {
                if self.partition_key.contains(&column.name) {
                    Ok(array)
                } else {
                    grouping.scatter(&array)
                }
            };
            let local = schema.column(&column.name).ok_or_else(|| {
                Error::internal(format!(
                    "column '{}' was not added to {}",
                    column.name, schema.name
                ))
            })?;
            if local.data_type != column.data_type {
                return Err(Error::conflict(format!(
                    "column '{}' of {} is {} here and {} at the sender",
                    column.name, schema.name, local.data_type, column.data_type
                )));
            }
            columns.push(BatchColumn {
                id: local.id,
                array: arrived(column.decode(rows)?)?,
                set: match &column.set {
                    None => None,
                    Some(set) => {
                        let set = exactly(decode_array(set, &ArrowType::Boolean)?, rows)?;
                        Some(arrived(set)?.as_boolean().values().clone())
                    }
                },
            });
        }
        let batch = RowBatch {
            table: schema.id,
            rows,
            columns,
            hlc: read_numbers(&self.hlc, rows)?,
            origin: std::iter::repeat_n(origin, rows).collect(),
            expiry_ms: self
                .expiry_ms
                .as_deref()
                .map(|expiry| read_numbers(expiry, rows))
                .transpose()?,
            tombstone: self
                .tombstone
                .as_deref()
                .map(|set| bits(set, rows))
                .transpose()?,
        };
        batch.validate()?;
        Ok(batch)
    }
}

impl PackedColumn {
    fn decode(&self, rows: usize) -> Result<ArrayRef> {
        exactly(decode_array(&self.values, &self.data_type.arrow())?, rows)
    }
}
