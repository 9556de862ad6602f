//! Finding a value in the text of a JSON document without making values of the rest.

use serde::de::IgnoredAny;

/// One step into a document.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'a> {
    /// A member of an object; of an array the element whose place it spells.
    Key(&'a str),
    /// An element of an array, from 0, or from -1 at the end.
    Place(i64),
}

/// What a path leads to; `None` too where the text is no JSON.
pub(crate) fn find<'a>(text: &'a str, path: &[Step<'_>]) -> Option<&'a str> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut json = text.trim();
    for step in path {
        json = match (step, json.as_bytes().first()?) {
            (Step::Key(wanted), b'{') => Members::of(json)
                .find(|(key, _)| is_key(key, wanted))
                .map(|(_, value)| value)?,
            (Step::Key(place), b'[') => element(json, place.parse().ok()?)?,
            (Step::Place(place), b'[') => element(json, *place)?,
            _ => return None,
        };
    }
    Some(json)
}

/// A text's own characters, any other value as it is written; `null` is nothing.
pub(super) fn text_of(json: &str) -> Option<String> {
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok(),
        b'n' => None,
        _ => Some(json.to_owned()),
    }
}

/// A value's type, by PostgreSQL's names.
pub(super) fn type_of(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    }
}

/// How many elements an array has, or members an object.
pub(super) fn length(json: &str) -> Option<i64> {
    let count = match json.as_bytes().first()? {
        b'{' => Members::of(json).count(),
        b'[' => Elements::of(json).count(),
        _ => return None,
    };
    i64::try_from(count).ok()
}

/// The keys of an object, in its own order.
pub(super) fn keys(json: &str) -> Option<Vec<String>> {
    (json.as_bytes().first()? == &b'{').then(|| {
        Members::of(json)
            .filter_map(|(key, _)| serde_json::from_str(key).ok())
            .collect()
    })
}

fn is_key(written: &str, wanted: &str) -> bool {
    let inner = written
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match inner {
        Some(inner) if !inner.contains('\\') => inner == wanted,
        _ => serde_json::from_str::<String>(written).is_ok_and(|key| key == wanted),
    }
}

fn element(json: &str, place: i64) -> Option<&str> {
    if place >= 0 {
        return Elements::of(json).nth(usize::try_from(place).ok()?);
    }
    let count = i64::try_from(Elements::of(json).count()).ok()?;
    Elements::of(json).nth(usize::try_from(count.checked_add(place)?).ok()?)
}

/// The rest of a text that values are taken from.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    /// What is between the brackets of a document.
    fn within(json: &'a str) -> Self {
        Rest(
            json.get(1..json.len().saturating_sub(1))
                .unwrap_or_default(),
        )
    }

    fn skip(&mut self, separator: char) {
        let rest = self.0.trim_start();
        self.0 = rest.strip_prefix(separator).unwrap_or(rest).trim_start();
    }

    /// The value at the front.
    fn value(&mut self) -> Option<&'a str> {
        let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
        let mut end = self.0.len();
        for (place, byte) in self.0.bytes().enumerate() {
            if in_text {
                in_text = escaped || byte != b'"';
                escaped = !escaped && byte == b'\\';
                continue;
            }
            match byte {
                b'"' => in_text = true,
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                b',' | b':' if depth == 0 => {
                    end = place;
                    break;
                }
                _ => {}
            }
        }
        // The end lies before a character of one byte, or at the end.
        let (value, rest) = self.0.split_at_checked(end)?;
        self.0 = rest;
        let value = value.trim();
        (!value.is_empty()).then_some(value)
    }
}

struct Members<'a>(Rest<'a>);

impl<'a> Members<'a> {
    fn of(json: &'a str) -> Self {
        Members(Rest::within(json))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.skip(',');
        let key = self.0.value()?;
        self.0.skip(':');
        Some((key, self.0.value()?))
    }
}

struct Elements<'a>(Rest<'a>);

impl<'a> Elements<'a> {
    fn of(json: &'a str) -> Self {
        Elements(Rest::within(json))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.skip(',');
        self.0.value()
    }
}
