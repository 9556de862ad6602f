//! Splitting a table into ranges of about equal rows, by the fences of its files.

use activestore_types::KeyRange;

use super::Snapshot;
use crate::memtable::prefix::PrefixShape;

/// Samples looked at for each part that is asked for: more would cut no better.
const SAMPLES_PART: usize = 64;
/// Pages of a file's index for each part that are as good as samples.
const PAGES_PART: usize = 4;
/// Rows of a memtable that one sample stands for.
const SAMPLE_ROWS: usize = 1024;

/// The same, cut between partitions alone.
pub(super) fn split_partitions(snapshot: &Snapshot, parts: usize) -> Vec<KeyRange> {
    let shape = PrefixShape::of(snapshot.schema());
    let ranges = split(snapshot, parts);
    let starts = ranges.iter().skip(1).map(|range| range.start.as_slice());
    let mut cuts: Vec<&[u8]> = starts
        .filter_map(|start| start.get(..shape.prefix_len(start)?))
        .collect();
    cuts.dedup();
    let mut whole = Vec::with_capacity(cuts.len() + 1);
    let mut start: &[u8] = &[];
    for end in cuts.into_iter().chain([&[][..]]) {
        whole.push(KeyRange {
            start: start.to_vec(),
            end: end.to_vec(),
        });
        start = end;
    }
    whole
}

pub(super) fn split(snapshot: &Snapshot, parts: usize) -> Vec<KeyRange> {
    let parts = parts.max(1);
    let inner = &snapshot.0;
    let mut samples: Vec<(Vec<u8>, u64)> = Vec::new();
    let vectors: usize = inner.files.iter().map(|file| file.sst.vectors()).sum();
    let step = (vectors / (parts * SAMPLES_PART)).max(1);
    for file in &inner.files {
        let pages = file.sst.pages();
        if pages.len() >= parts * PAGES_PART {
            // The keys that are in memory anyway cut well enough.
            samples.extend(pages.map(|(key, rows)| (key.to_vec(), rows)));
            continue;
        }
        for vector in (0..file.sst.vectors()).step_by(step) {
            let until = (vector + step).min(file.sst.vectors());
            let rows: usize = (vector..until).map(|v| file.sst.vector_rows(v)).sum();
            // Where the index cannot be read, the scan will say so.
            if let Ok(fence) = file.sst.fence(vector) {
                samples.push((fence.to_vec(), rows as u64));
            }
        }
    }
    for view in &inner.views {
        samples.extend(view.sample_keys(SAMPLE_ROWS));
    }
    samples.sort_unstable();
    let total: u64 = samples.iter().map(|(_, rows)| rows).sum();
    let mut ranges: Vec<KeyRange> = Vec::with_capacity(parts);
    let mut start = Vec::new();
    let mut seen = 0;
    for (key, rows) in samples {
        let due = total * (ranges.len() as u64 + 1) / parts as u64;
        if seen >= due && ranges.len() + 1 < parts && key > start {
            let end = key.clone();
            ranges.push(KeyRange { start, end });
            start = key;
        }
        seen += rows;
    }
    ranges.push(KeyRange {
        start,
        end: Vec::new(),
    });
    ranges
}
