//! A run of whole records from a file, as it is sent.

/// Records that lie next to each other in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What comes before the records in each request: a CSV header with its line end.
    pub header: Vec<u8>,
    /// The records.
    pub body: Vec<u8>,
    /// Where each record starts in `body`, and its line (or row) number in the file.
    pub records: Vec<(usize, u64)>,
    /// The offset in the file after the last record.
    pub end_offset: u64,
    /// The number of the record that follows.
    pub next_line: u64,
}

impl Piece {
    /// The request's body.
    pub fn request(&self) -> Vec<u8> {
        [self.header.as_slice(), self.body.as_slice()].concat()
    }

    /// The number in the file of a line in the request's body, counted from 1.
    pub fn file_line(&self, request_line: u64) -> u64 {
        let header_lines = newlines(&self.header);
        let first = self.records.first().map_or(1, |(_, line)| *line);
        first + request_line.saturating_sub(header_lines + 1)
    }

    /// The record that holds this line of the file.
    pub fn record(&self, file_line: u64) -> &[u8] {
        let index = self
            .records
            .partition_point(|(_, line)| *line <= file_line)
            .saturating_sub(1);
        let start = self.records.get(index).map_or(0, |(start, _)| *start);
        let end = self
            .records
            .get(index + 1)
            .map_or(self.body.len(), |(start, _)| *start);
        self.body.get(start..end).unwrap_or_default()
    }

    /// The two halves; `None` for a single record.
    pub fn halves(&self) -> Option<(Piece, Piece)> {
        let middle = self.records.len() / 2;
        let (first, second) = self.records.split_at_checked(middle)?;
        let (start, line) = *second.first()?;
        if first.is_empty() {
            return None;
        }
        let (head, tail) = self.body.split_at_checked(start)?;
        let one = Piece {
            header: self.header.clone(),
            body: head.to_vec(),
            records: first.to_vec(),
            end_offset: self.end_offset,
            next_line: line,
        };
        let other = Piece {
            header: self.header.clone(),
            body: tail.to_vec(),
            records: second
                .iter()
                .map(|(at, line)| (at - start, *line))
                .collect(),
            end_offset: self.end_offset,
            next_line: self.next_line,
        };
        Some((one, other))
    }
}

/// How many lines end in the bytes.
pub fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}
