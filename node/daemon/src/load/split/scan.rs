//! Where a record ends in a window of bytes.

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
