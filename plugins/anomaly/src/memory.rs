//! A series' memory as bytes: what is kept between batches, in state or nowhere. Bytes that are not
//! ours, or of another version, are an empty memory.

use crate::detector::{History, Recent};

const VERSION: u8 = 1;

/// The short memory as bytes.
pub fn write_recent(recent: &Recent) -> Vec<u8> {
    let mut out = Vec::with_capacity(17 + 8 * recent.points.len());
    out.push(VERSION);
    out.extend(recent.in_block.to_le_bytes());
    out.extend(recent.hold.to_le_bytes());
    out.extend(recent.long_spread.to_le_bytes());
    out.extend(recent.points.iter().flat_map(|point| point.to_le_bytes()));
    out
}

/// The short memory from bytes.
pub fn read_recent(bytes: &[u8]) -> Recent {
    try_recent(bytes).unwrap_or_default()
}

fn try_recent(bytes: &[u8]) -> Option<Recent> {
    let (&version, rest) = bytes.split_first()?;
    let (in_block, rest) = rest.split_first_chunk()?;
    let (hold, rest) = rest.split_first_chunk()?;
    let (long_spread, rest) = rest.split_first_chunk()?;
    (version == VERSION).then(|| Recent {
        in_block: u32::from_le_bytes(*in_block),
        hold: u32::from_le_bytes(*hold),
        long_spread: f64::from_le_bytes(*long_spread),
        points: floats(rest),
    })
}

/// The long memory as bytes.
pub fn write_history(history: &History) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend(history.iter().flat_map(|median| median.to_le_bytes()));
    out
}

/// The long memory from bytes.
pub fn read_history(bytes: &[u8]) -> History {
    match bytes.split_first() {
        Some((&VERSION, rest)) => floats(rest),
        _ => History::new(),
    }
}

fn floats(bytes: &[u8]) -> Vec<f64> {
    let (chunks, _) = bytes.as_chunks::<8>();
    chunks
        .iter()
        .map(|chunk| f64::from_le_bytes(*chunk))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{read_history, read_recent, write_history, write_recent};
    use crate::detector::Recent;

    #[test]
    fn memory_comes_back_and_foreign_bytes_are_an_empty_one() {
        let recent = Recent {
            points: vec![1.5, -2.0],
            in_block: 7,
            hold: 3,
            long_spread: 0.25,
        };
        assert_eq!(read_recent(&write_recent(&recent)), recent);
        assert_eq!(read_history(&write_history(&vec![1.0, 2.0])), [1.0, 2.0]);
        for bytes in [&[][..], &[1, 2, 3], &[9; 40]] {
            assert_eq!(read_recent(bytes), Recent::default());
            assert!(read_history(bytes).len() <= bytes.len() / 8);
        }
    }
}
