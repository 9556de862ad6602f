//! Digests: a count and an additive hash of what a table shows, so that two nodes can compare
//! their copies whatever files they hold them in.
//!
//! Each visible non-null cell outside the key adds the XXH3-128 of (key, column name, value,
//! stamp); each row adds that of its key alone. Sums wrap, so order does not matter.

use std::sync::Arc;

use activestore_types::{ColumnId, Error, KeyRange, OriginId, Result};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type,
    Int64Type, TimeUnit, TimestampNanosecondType,
};
use xxhash_rust::xxh3::xxh3_128;

use super::Snapshot;
use super::piece::VECTORS_HELD_MAX;
use super::resolve::{Cells, Resolver};
use super::scan::piece::Pieces;
use super::scan::source::Plan;

/// What a table shows, in a few bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Digest {
    /// Rows counted.
    pub rows: u64,
    /// The wrapping sum of the hashes, little-endian.
    pub hash: [u8; 16],
}

impl Snapshot {
    /// The digest of what is visible at `now_ms`. With an origin: only the cells that this node
    /// wrote, and the rows that hold one of them or that it wrote last.
    ///
    /// # Errors
    /// `Corrupt` from a damaged file.
    pub fn digest(&self, origin: Option<OriginId>, now_ms: u64) -> Result<Digest> {
        let schema = self.schema();
        let (wanted, names): (Vec<ColumnId>, Vec<&str>) = schema
            .columns
            .iter()
            .filter(|column| !schema.is_key(column.id))
            .map(|column| (column.id, column.name.as_str()))
            .unzip();
        let plan = Arc::new(Plan::all(schema));
        let mut resolver = Resolver::new(Arc::clone(&self.0.origins), schema, &wanted, now_ms);
        let mut pieces = Pieces::new(wanted);
        let mut sum = Sum::default();
        let Some(mut merge) = self.scan_sources(&KeyRange::all(), &plan, &mut pieces)? else {
            return Ok(sum.digest());
        };
        let mut fragments = Vec::new();
        while merge.next_key(&mut pieces, &mut fragments)? {
            sum.key(merge.key());
            let barrier = self.tombstones().covering(merge.key());
            for fragment in &fragments {
                pieces.load(fragment.piece)?;
            }
            if resolver.resolve(&pieces, &mut fragments, barrier)? {
                let counts = |writer: OriginId| origin.is_none_or(|origin| origin == writer);
                let mut counted = fragments
                    .first()
                    .is_some_and(|newest| counts(newest.origin));
                for (column, winner) in resolver.winners.iter().enumerate() {
                    let Some(fragment) = winner.and_then(|place| fragments.get(place)) else {
                        continue;
                    };
                    let (Some(array), Some(name)) =
                        (pieces.array(fragment.piece, column), names.get(column))
                    else {
                        continue;
                    };
                    if counts(fragment.origin) && array.is_valid(fragment.row) {
                        sum.cell(name, array, fragment.row, fragment.hlc)?;
                        counted = true;
                    }
                }
                if counted {
                    sum.row();
                }
            }
            fragments.clear();
            if pieces.vectors() > VECTORS_HELD_MAX {
                pieces.clear();
            }
        }
        Ok(sum.digest())
    }
}

#[derive(Default)]
pub(super) struct Sum {
    rows: u64,
    pub(super) hash: u128,
    /// The key with its length before it, then what is hashed with it.
    bytes: Vec<u8>,
    key: usize,
}

impl Sum {
    pub(super) fn key(&mut self, key: &[u8]) {
        self.bytes.clear();
        push(&mut self.bytes, key);
        self.key = self.bytes.len();
    }

    pub(super) fn row(&mut self) {
        self.bytes.truncate(self.key);
        self.rows += 1;
        self.add();
    }

    pub(super) fn cell(
        &mut self,
        name: &str,
        array: &ArrayRef,
        row: usize,
        hlc: u64,
    ) -> Result<()> {
        self.bytes.truncate(self.key);
        push(&mut self.bytes, name.as_bytes());
        push_value(&mut self.bytes, array, row)?;
        self.bytes.extend(hlc.to_le_bytes());
        self.add();
        Ok(())
    }

    pub(super) fn delete(&mut self, hlc: u64) {
        self.bytes.truncate(self.key);
        push(&mut self.bytes, b"");
        self.bytes.extend(hlc.to_le_bytes());
        self.add();
    }

    fn add(&mut self) {
        self.hash = self.hash.wrapping_add(xxh3_128(&self.bytes));
    }

    fn digest(&self) -> Digest {
        Digest {
            rows: self.rows,
            hash: self.hash.to_le_bytes(),
        }
    }
}

fn push(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// A value's canonical bytes: little-endian numbers, floats by their bits, text and bytes as they
/// are, each with its length before it.
fn push_value(out: &mut Vec<u8>, array: &ArrayRef, row: usize) -> Result<()> {
    match array.data_type() {
        ArrowType::Boolean => push(out, &[u8::from(array.as_boolean().value(row))]),
        ArrowType::Int32 => push(
            out,
            &array.as_primitive::<Int32Type>().value(row).to_le_bytes(),
        ),
        ArrowType::Date32 => push(
            out,
            &array.as_primitive::<Date32Type>().value(row).to_le_bytes(),
        ),
        ArrowType::Int64 => push(
            out,
            &array.as_primitive::<Int64Type>().value(row).to_le_bytes(),
        ),
        ArrowType::Timestamp(TimeUnit::Nanosecond, _) => push(
            out,
            &array
                .as_primitive::<TimestampNanosecondType>()
                .value(row)
                .to_le_bytes(),
        ),
        ArrowType::Float32 => push(
            out,
            &array.as_primitive::<Float32Type>().value(row).to_le_bytes(),
        ),
        ArrowType::Float64 => push(
            out,
            &array.as_primitive::<Float64Type>().value(row).to_le_bytes(),
        ),
        ArrowType::Decimal128(_, _) => {
            push(
                out,
                &array
                    .as_primitive::<Decimal128Type>()
                    .value(row)
                    .to_le_bytes(),
            );
        }
        ArrowType::Utf8 => push(out, array.as_string::<i32>().value(row).as_bytes()),
        ArrowType::Binary => push(out, array.as_binary::<i32>().value(row)),
        other => return Err(Error::corrupt(format!("{other} is not a column type"))),
    }
    Ok(())
}
