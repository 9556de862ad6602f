//! Searching the keys of one vector. An encoded key is the encodings of its columns one after the other,
//! none of which begins another: keys are compared a column at a time, and only those rows are looked
//! up that the search comes by.

use std::cmp::Ordering;
use std::ops::Range;

use activestore_types::key::push_text;
use activestore_types::{Error, KeyBuffer, Result};

use crate::block::dictionary::Values;
use crate::block::ints::Probe;

/// One column of the keys of a vector.
pub(super) struct KeyColumn<'a>(Kind<'a>);

enum Kind<'a> {
    /// Text by its dictionary, ascending.
    Text {
        codes: Probe<'a>,
        values: &'a Values,
        /// The encoded value of the code that was compared last.
        last: Option<u64>,
        encoded: Vec<u8>,
    },
    /// 64-bit numbers, encoded as they are compared; descending if the flag says so.
    Long(Probe<'a>, bool),
    Encoded(KeyBuffer),
}

impl<'a> KeyColumn<'a> {
    /// Text or bytes, by codes of a dictionary.
    pub(super) fn text(codes: Probe<'a>, values: &'a Values) -> Self {
        KeyColumn(Kind::Text {
            codes,
            values,
            last: None,
            encoded: Vec::new(),
        })
    }

    /// Numbers of 64 bits.
    pub(super) fn long(numbers: Probe<'a>, descending: bool) -> Self {
        KeyColumn(Kind::Long(numbers, descending))
    }

    /// Anything else.
    pub(super) fn encoded(keys: KeyBuffer) -> Self {
        KeyColumn(Kind::Encoded(keys))
    }

    /// Compares a row's part of the key with the head of `target`; what follows that head.
    fn compare<'t>(&mut self, row: usize, target: &'t [u8]) -> Result<(Ordering, &'t [u8])> {
        let number;
        let part = match &mut self.0 {
            Kind::Text {
                codes,
                values,
                last,
                encoded,
            } => {
                let code = codes.get(row)?;
                if *last != Some(code) {
                    let value = usize::try_from(code).ok().and_then(|code| values.get(code));
                    let value = value.ok_or_else(|| {
                        Error::corrupt(format!("code {code} is not in a dictionary"))
                    })?;
                    encoded.clear();
                    push_text(value, encoded);
                    *last = Some(code);
                }
                encoded.as_slice()
            }
            Kind::Long(numbers, descending) => {
                let ordered = numbers.get(row)? ^ (1 << 63);
                let ordered = if *descending { !ordered } else { ordered };
                number = ordered.to_be_bytes();
                number.as_slice()
            }
            Kind::Encoded(keys) => keys.key(row),
        };
        let (head, after) = target.split_at_checked(part.len()).unwrap_or((target, &[]));
        Ok((part.cmp(head), after))
    }
}

/// The keys of a vector.
pub(super) struct Keys<'a> {
    rows: usize,
    columns: Vec<KeyColumn<'a>>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(rows: usize, columns: Vec<KeyColumn<'a>>) -> Self {
        Keys { rows, columns }
    }

    /// Whether the key of a row is below `target`.
    fn is_below(&mut self, row: usize, target: &[u8]) -> Result<bool> {
        let mut rest = target;
        for column in &mut self.columns {
            let (order, after) = column.compare(row, rest)?;
            match order {
                Ordering::Less => return Ok(true),
                Ordering::Greater => return Ok(false),
                Ordering::Equal => rest = after,
            }
        }
        Ok(!rest.is_empty())
    }

    /// The first of the rows whose key is not below `target`; the end of the rows if none.
    pub(super) fn lower_bound(&mut self, rows: Range<usize>, target: &[u8]) -> Result<usize> {
        let (mut low, mut high) = (rows.start, rows.end);
        while low < high {
            let middle = low.midpoint(high);
            if self.is_below(middle, target)? {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// As [`Keys::lower_bound`] of the rows from `first` on, for a bound that is likely near.
    pub(super) fn bound_near(&mut self, first: usize, target: &[u8]) -> Result<usize> {
        let (mut low, mut step) = (first, 1);
        let mut next = first;
        while next < self.rows && self.is_below(next, target)? {
            low = next + 1;
            next = low + step - 1;
            step *= 2;
        }
        self.lower_bound(low..next.min(self.rows), target)
    }
}
