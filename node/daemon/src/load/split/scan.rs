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

/// A line; the last needs no line end.
pub fn line(window: &[u8], ended: bool) -> Found {
    match window.iter().position(|byte| *byte == b'\n') {
        Some(at) => Found::Record(at + 1),
        None if ended && !window.is_empty() => Found::Record(window.len()),
        None => Found::More,
    }
}

/// A CSV record: a quote that opens a field hides line ends until the quote that closes it.
pub fn csv_record(window: &[u8], ended: bool) -> Found {
    let mut quoted = false;
    let mut field_start = true;
    let mut bytes = window.iter().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            // A doubled quote stands for one and the field goes on.
            b'"' if quoted => quoted = bytes.next_if(|(_, next)| **next == b'"').is_some(),
            b'"' if field_start => quoted = true,
            b'\n' if !quoted => return Found::Record(at + 1),
            _ => {}
        }
        field_start = !quoted && *byte == b',';
    }
    if ended && !quoted && !window.is_empty() {
        return Found::Record(window.len());
    }
    Found::More
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
