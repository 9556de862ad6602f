//! Where one column's vectors lie and what is in them. Very short vectors (a constant, a step that
//! never changes) stand in the index itself, which is in memory: reading them costs no disk.

use activestore_types::{Error, Result};

use crate::block::Family;
use crate::block::cursor::Cursor;
use crate::block::dictionary::Values;
use crate::sum::Sums;
use crate::zone::{Zones, push_ints, read_ints};

/// A vector of up to this many bytes stands in the index.
pub(crate) const INLINE_BYTES_MAX: usize = 32;

/// The index of a column on its way into a file.
pub(crate) struct IndexBuilder {
    /// Per row group: where its chunk begins; 0 where it has none (the magic stands there).
    chunks: Vec<u64>,
    /// Per vector: its bytes in the chunk; 0 in a group without a chunk and for one held here.
    lengths: Vec<u64>,
    /// Per vector: its bytes, if they stand here, or nothing.
    inline: Values,
    any_inline: bool,
    pub(crate) zones: Zones,
    pub(crate) sums: Sums,
}

impl IndexBuilder {
    /// Nothing yet.
    pub(crate) fn new(family: Family) -> Self {
        IndexBuilder {
            chunks: Vec::new(),
            lengths: Vec::new(),
            inline: Values::default(),
            any_inline: false,
            zones: Zones::new(family),
            sums: Sums::new(family),
        }
    }

    /// Begins a row group; `None` where it holds nothing of the column.
    pub(crate) fn push_group(&mut self, chunk: Option<u64>) {
        self.chunks.push(chunk.unwrap_or(0));
    }

    /// Adds a vector that takes so many bytes in its chunk.
    pub(crate) fn push_stored(&mut self, length: u64) {
        self.lengths.push(length);
        self.inline.push(&[]);
    }

    /// Adds a vector that stands here.
    pub(crate) fn push_inline(&mut self, bytes: &[u8]) {
        self.lengths.push(0);
        self.inline.push(bytes);
        self.any_inline = true;
    }

    /// Its bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        push_ints(&self.chunks, &mut out);
        push_ints(&self.lengths, &mut out);
        if self.any_inline {
            self.inline.encode(&mut out);
        } else {
            Values::default().encode(&mut out);
        }
        self.zones.encode(&mut out);
        self.sums.encode(&mut out);
        out
    }
}

/// The index of a stored column.
#[derive(Debug)]
pub(crate) struct ColumnIndex {
    /// Per vector: where it begins; 0 in a group without a chunk.
    starts: Vec<u64>,
    lengths: Vec<u32>,
    inline: Values,
    pub(crate) zones: Zones,
    pub(crate) sums: Sums,
}

/// Where a vector's bytes are.
pub(crate) enum Spot<'a> {
    /// Its group holds nothing of the column.
    Nowhere,
    /// In the index.
    Inline(&'a [u8]),
    /// In the file, with a checksum.
    Stored {
        /// From this byte on.
        offset: u64,
        /// With the checksum.
        length: u64,
    },
}

impl ColumnIndex {
    /// From its bytes in a file of this version, or its page's. `groups` gives each row group's first
    /// vector.
    ///
    /// # Errors
    /// `Corrupt` for bytes that [`IndexBuilder::encode`] does not write.
    pub(crate) fn decode(
        bytes: &[u8],
        family: Family,
        version: u8,
        groups: impl ExactSizeIterator<Item = usize>,
        vectors: usize,
    ) -> Result<Self> {
        let mut bytes = Cursor::new(bytes);
        let chunks = read_ints(&mut bytes, groups.len())?;
        let mut lengths = Vec::with_capacity(vectors);
        for length in read_ints(&mut bytes, vectors)? {
            lengths.push(
                u32::try_from(length)
                    .map_err(|_| Error::corrupt(format!("a vector of {length} bytes")))?,
            );
        }
        let inline_bytes_max = vectors.saturating_mul(INLINE_BYTES_MAX);
        let inline = Values::decode(&mut bytes, vectors, inline_bytes_max)?;
        let zones = Zones::decode(&mut bytes, family, version, vectors)?;
        let sums = Sums::decode(&mut bytes, family, version, vectors)?;
        bytes.finish()?;
        let mut starts = Vec::with_capacity(vectors);
        let mut groups = groups.zip(chunks).peekable();
        let mut next = 0;
        for (v, length) in lengths.iter().enumerate() {
            if let Some((_, chunk)) = groups.next_if(|(first, _)| *first == v) {
                next = chunk;
            }
            starts.push(next);
            if next > 0 {
                next = next.saturating_add(u64::from(*length));
            }
        }
        Ok(ColumnIndex {
            starts,
            lengths,
            inline,
            zones,
            sums,
        })
    }

    /// Where a vector's bytes are.
    pub(crate) fn spot(&self, v: usize) -> Spot<'_> {
        let (Some(offset), Some(length)) = (self.starts.get(v), self.lengths.get(v)) else {
            return Spot::Nowhere;
        };
        match self.inline.get(v) {
            _ if *offset == 0 => Spot::Nowhere,
            Some(bytes) if !bytes.is_empty() => Spot::Inline(bytes),
            _ => Spot::Stored {
                offset: *offset,
                length: u64::from(*length),
            },
        }
    }

    /// Where the bytes of a vector end in the file.
    pub(crate) fn end(&self, v: usize) -> u64 {
        let (start, length) = (self.starts.get(v), self.lengths.get(v));
        let length = u64::from(length.copied().unwrap_or(0));
        start.copied().unwrap_or(0).saturating_add(length)
    }
}
