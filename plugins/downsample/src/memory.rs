//! What is remembered of a key as bytes. Bytes that are not ours are no memory.
//!
//! ```text
//! buckets = 1 | begin i64 | late u64 | columns of: name | count u64 | min, max, sum f64 | first | last
//! pickers = 2 | columns of: name | 0, or 1 and the point picked | number of points u16 | points
//! name    = length u16 | bytes          first, last = time i64 | value f64          point = time i64 | bits u64
//! ```

use activestore_plugin::series::{Bits, Layout};

use crate::bucket::Bucket;
use crate::picker::{Picker, Point};

const BUCKETS: u8 = 1;
const PICKERS: u8 = 2;

/// The open bucket of a key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Open {
    /// When it began; none before the first row.
    pub begin: Option<i64>,
    /// Rows that came for an earlier bucket since one was sent.
    pub late: u64,
    /// One a watched column.
    pub columns: Vec<Bucket>,
}

/// Reads a key's open bucket.
pub fn read_open(bytes: &[u8], layout: &Layout) -> Open {
    let mut open = Open {
        columns: vec![Bucket::default(); layout.watched.len()],
        ..Open::default()
    };
    let mut reader = Reader(bytes);
    let head = (|| {
        (reader.bytes::<1>()? == [BUCKETS]).then_some(())?;
        Some((reader.i64()?, reader.u64()?))
    })();
    let Some((begin, late)) = head else {
        return open;
    };
    (open.begin, open.late) = (Some(begin), late);
    while let Some((name, bucket)) = reader.column(Reader::bucket) {
        if let Some(watched) = place(layout, name) {
            open.columns[watched] = bucket;
        }
    }
    open
}

/// Appends a key's open bucket.
pub fn write_open(open: &Open, layout: &Layout, out: &mut Vec<u8>) {
    let Some(begin) = open.begin else { return };
    out.push(BUCKETS);
    out.extend(begin.to_le_bytes());
    out.extend(open.late.to_le_bytes());
    for (watched, bucket) in open.columns.iter().enumerate() {
        if bucket.count == 0 {
            continue;
        }
        write_name(layout.name(watched), out);
        out.extend(bucket.count.to_le_bytes());
        for value in [bucket.min, bucket.max, bucket.sum] {
            out.extend(value.to_le_bytes());
        }
        for (time, value) in [bucket.first, bucket.last] {
            out.extend(time.to_le_bytes());
            out.extend(value.to_le_bytes());
        }
    }
}

/// Reads a key's pickers, one a watched column.
pub fn read_pickers(bytes: &[u8], layout: &Layout) -> Vec<Picker> {
    let mut pickers = vec![Picker::default(); layout.watched.len()];
    let mut reader = Reader(bytes);
    if reader.bytes::<1>() != Some([PICKERS]) {
        return pickers;
    }
    while let Some((name, mut picker)) = reader.column(Reader::picker) {
        let Some(watched) = place(layout, name) else {
            continue;
        };
        let kind = layout.fields[layout.watched[watched]].kind;
        for point in picker.picked.iter_mut().chain(&mut picker.points) {
            point.value = point.bits.number(kind);
        }
        pickers[watched] = picker;
    }
    pickers
}

/// Appends a key's pickers.
pub fn write_pickers(pickers: &[Picker], layout: &Layout, out: &mut Vec<u8>) {
    out.push(PICKERS);
    for (watched, picker) in pickers.iter().enumerate() {
        let Some(picked) = picker.picked else {
            continue;
        };
        write_name(layout.name(watched), out);
        out.push(1);
        out.extend(picked.time.to_le_bytes());
        out.extend(picked.bits.0.to_le_bytes());
        out.extend((picker.points.len() as u16).to_le_bytes());
        for point in &picker.points {
            out.extend(point.time.to_le_bytes());
            out.extend(point.bits.0.to_le_bytes());
        }
    }
}

fn write_name(name: &str, out: &mut Vec<u8>) {
    out.extend((name.len() as u16).to_le_bytes());
    out.extend(name.as_bytes());
}

fn place(layout: &Layout, name: &[u8]) -> Option<usize> {
    (0..layout.watched.len()).find(|watched| layout.name(*watched).as_bytes() == name)
}

/// Takes from the front; nothing where too little is left.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn i64(&mut self) -> Option<i64> {
        self.bytes().map(i64::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn f64(&mut self) -> Option<f64> {
        self.bytes().map(f64::from_le_bytes)
    }

    fn column<T>(&mut self, read: fn(&mut Self) -> Option<T>) -> Option<(&'a [u8], T)> {
        let length = u16::from_le_bytes(self.bytes()?);
        let (name, rest) = self.0.split_at_checked(length.into())?;
        self.0 = rest;
        Some((name, read(self)?))
    }

    fn bucket(&mut self) -> Option<Bucket> {
        Some(Bucket {
            count: self.u64()?,
            min: self.f64()?,
            max: self.f64()?,
            sum: self.f64()?,
            first: (self.i64()?, self.f64()?),
            last: (self.i64()?, self.f64()?),
        })
    }

    fn picker(&mut self) -> Option<Picker> {
        let picked = match self.bytes()? {
            [1] => Some(self.point()?),
            _ => None,
        };
        let count = u16::from_le_bytes(self.bytes()?);
        let points = (0..count).map(|_| self.point()).collect::<Option<_>>()?;
        Some(Picker { picked, points })
    }

    /// The value is not known yet: it depends on the column's type.
    fn point(&mut self) -> Option<Point> {
        Some(Point {
            time: self.i64()?,
            bits: Bits(self.u64()?),
            value: 0.0,
        })
    }
}

#[cfg(test)]
mod tests;
