//! A position in the bytes of a body. It gives slices and never fails.

/// Reads forward over bytes.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Cursor { bytes, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The bytes from `start` to here.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    pub(super) fn advance(&mut self, count: usize) {
        self.at = self.at.saturating_add(count).min(self.bytes.len());
    }

    pub(super) fn rewind(&mut self, at: usize) {
        self.at = at.min(self.bytes.len());
    }

    /// Skips spaces, tabs and carriage returns.
    pub(super) fn skip_blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    /// Takes bytes up to the first that `stop` accepts.
    pub(super) fn take_until(&mut self, stop: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let length = rest
            .iter()
            .position(|byte| stop(*byte))
            .unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// Takes bytes up to the first unescaped one that `stop` accepts; a backslash takes the next
    /// byte with it unless that is a newline.
    pub(super) fn take_escaped(&mut self, stop: impl Fn(u8) -> bool) -> &'a [u8] {
        let start = self.at;
        loop {
            self.take_until(|byte| byte == b'\\' || stop(byte));
            if self.peek() != Some(b'\\') {
                return self.since(start);
            }
            self.at += 1;
            if self.peek().is_some_and(|byte| byte != b'\n') {
                self.at += 1;
            }
        }
    }

    /// Bytes to the next newline.
    pub(super) fn line_length(&self) -> Option<usize> {
        memchr::memchr(b'\n', self.rest())
    }

    /// Newlines between `start` and here (inside quoted strings).
    pub(super) fn newlines_since(&self, start: usize) -> u64 {
        memchr::memchr_iter(b'\n', self.since(start)).count() as u64
    }
}
