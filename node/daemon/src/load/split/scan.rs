//! Where a record ends in a window of bytes.

use crate::cli::FileFormat;

/// What lies at the window's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A record of so many bytes, its line end included.
    Record(usize),
    /// An array's element after `skip` bytes of white space and comma.
    Element {
        /// Bytes before it.
        skip: usize,
        /// Its bytes.
        length: usize,
    },
    /// The end of the array.
    End,
    /// The window is too short to say.
    More,
}

/// How many lines end in the bytes.
pub fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// A record of a format of lines; of CSV with what stands between its fields.
pub fn record(format: FileFormat, delimiter: u8, window: &[u8], ended: bool) -> Found {
    match format {
        FileFormat::Csv => csv_record(window, delimiter, ended),
        FileFormat::Lp => lp_record(window, ended),
        _ => line(window, ended),
    }
}

/// A line; the last needs no line end.
pub fn line(window: &[u8], ended: bool) -> Found {
    match memchr::memchr(b'\n', window) {
        Some(at) => Found::Record(at + 1),
        None if ended && !window.is_empty() => Found::Record(window.len()),
        None => Found::More,
    }
}

/// A CSV record: a quote that opens a field hides line ends until the quote that closes it.
pub fn csv_record(window: &[u8], delimiter: u8, ended: bool) -> Found {
    let mut at = 0;
    loop {
        let rest = window.get(at..).unwrap_or_default();
        match memchr::memchr2(b'"', b'\n', rest) {
            None if ended && !window.is_empty() => return Found::Record(window.len()),
            None => return Found::More,
            Some(place) => {
                let place = at + place;
                if window.get(place) == Some(&b'\n') {
                    return Found::Record(place + 1);
                }
                let before = place.checked_sub(1).and_then(|before| window.get(before));
                at = place + 1;
                // A quote inside of a field that has none in front is a character like others.
                if before.is_some_and(|before| *before != delimiter) {
                    continue;
                }
                match closing_quote(window, at) {
                    Some(after) => at = after,
                    None => return Found::More,
                }
            }
        }
    }
}

/// A record of line protocol as the node reads it: text of a field, which a quote behind its '=' opens, may hold line ends.
/// What is wrong in another way costs its own line.
pub fn lp_record(window: &[u8], ended: bool) -> Found {
    let byte = |at: usize| window.get(at).copied();
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    let behind_blanks = |at: usize| {
        let rest = window.get(at..).unwrap_or_default();
        at + rest
            .iter()
            .position(|one| !blank(one))
            .unwrap_or(rest.len())
    };
    let cut = || {
        if ended && !window.is_empty() {
            Found::Record(window.len())
        } else {
            Found::More
        }
    };
    let start = behind_blanks(0);
    if matches!(byte(start), Some(b'#' | b'\n')) {
        return line(window, ended);
    }
    // A quote in a measurement or a tag is a character like others.
    let mut at = behind_blanks(unescaped(window, start, b" \n"));
    loop {
        at = unescaped(window, at, b"=, \n");
        match byte(at) {
            Some(b'=') => at += 1,
            Some(_) => return line(window, ended),
            None => return cut(),
        }
        if byte(at) == Some(b'"') {
            match closing_of_lp(window, at + 1) {
                Some(after) => at = after,
                None if ended => return line(window, ended),
                None => return Found::More,
            }
        } else {
            let rest = window.get(at..).unwrap_or_default();
            let value = rest
                .iter()
                .position(|one| matches!(one, b',' | b'\n') || blank(one));
            at += value.unwrap_or(rest.len());
        }
        match byte(at) {
            Some(b',') => at += 1,
            Some(b'\n' | b' ' | b'\t' | b'\r') => {
                let rest = window.get(at..).unwrap_or_default();
                return memchr::memchr(b'\n', rest)
                    .map_or_else(cut, |end| Found::Record(at + end + 1));
            }
            Some(_) => return line(window, ended),
            None => return cut(),
        }
    }
}

/// The first of some bytes without a backslash in front, or the window's end.
fn unescaped(window: &[u8], mut at: usize, stops: &[u8]) -> usize {
    while let Some(byte) = window.get(at) {
        if stops.contains(byte) {
            break;
        }
        let next = window.get(at + 1);
        let escapes = *byte == b'\\' && next.is_some_and(|next| *next != b'\n');
        at += 1 + usize::from(escapes);
    }
    at
}

/// Behind the quote that closes text of line protocol.
fn closing_of_lp(window: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let rest = window.get(at..)?;
        at += memchr::memchr2(b'"', b'\\', rest)? + 1;
        if window.get(at - 1) == Some(&b'"') {
            return Some(at);
        }
        at += 1;
    }
}

/// Behind the quote that closes what is open at `at`. A doubled quote stands for one and the field goes on.
fn closing_quote(window: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let rest = window.get(at..).unwrap_or_default();
        at += memchr::memchr(b'"', rest)? + 1;
        if window.get(at) != Some(&b'"') {
            return Some(at);
        }
        at += 1;
    }
}

/// The next element of an array: its brackets and text are balanced, nothing more is checked.
pub fn json_element(window: &[u8]) -> Found {
    let Some(skip) = window
        .iter()
        .position(|byte| !(byte.is_ascii_whitespace() || *byte == b','))
    else {
        return Found::More;
    };
    let mut depth = 0_usize;
    let mut in_text = false;
    let mut escaped = false;
    for (at, byte) in window.iter().enumerate().skip(skip) {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'{' | b'[' => depth += 1,
            b']' if depth == 0 && at == skip => return Found::End,
            b',' | b']' if depth == 0 => {
                return Found::Element {
                    skip,
                    length: at - skip,
                };
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Found::Element {
                        skip,
                        length: at + 1 - skip,
                    };
                }
            }
            _ => {}
        }
    }
    Found::More
}
