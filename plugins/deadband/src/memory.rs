//! What is remembered of a key as bytes. Bytes that are not ours, or of another mode, are no memory.
//!
//! ```text
//! memory = 1 | columns …
//! column = length of the name u16 | name | form u8 | point (| held point when the form is 3 | slopes f64 f64)
//! point  = time i64 | bits u64
//! ```
//!
//! Form 0: nothing yet. 1: the value sent last. 2: a door. 3: a door with a value held.

use activestore_plugin::ScalarType;
use activestore_plugin::series::{Bits, Layout};

use crate::filter::{Door, Filter, Mode, Point};

const VERSION: u8 = 1;

/// Puts one filter a watched column into `filters`, each with what is remembered of it.
pub fn read(bytes: &[u8], layout: &Layout, mode: Mode, filters: &mut Vec<Filter>) {
    filters.clear();
    filters.resize(layout.watched.len(), Filter::new(mode));
    let Some((&VERSION, mut rest)) = bytes.split_first() else {
        return;
    };
    // Columns are mostly those of the last time, in the same order.
    let mut expected = 0;
    while let Some((name, entry, after)) = column(rest) {
        rest = after;
        let count = filters.len();
        let place = (0..count)
            .map(|step| (expected + step) % count)
            .find(|watched| layout.name(*watched).as_bytes() == name);
        let Some(watched) = place else { continue };
        expected = watched + 1;
        let kind = layout.fields[layout.watched[watched]].kind;
        if let Some(filter) = filter(entry, kind, mode) {
            filters[watched] = filter;
        }
    }
}

/// A column's name and what is remembered of it, and what follows.
fn column(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (name, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    let length = match rest.first()? {
        0 => 1,
        1 => 17,
        2 => 33,
        3 => 49,
        _ => return None,
    };
    let (entry, rest) = rest.split_at_checked(length)?;
    Some((name, entry, rest))
}

fn filter(entry: &[u8], kind: ScalarType, mode: Mode) -> Option<Filter> {
    let (&form, rest) = entry.split_first()?;
    match (form, mode) {
        (1, Mode::Deadband) => Some(Filter::Deadband(Some(point(rest, kind)?.0))),
        (2 | 3, Mode::SwingingDoor) => {
            let (hinge, rest) = point(rest, kind)?;
            let (held, rest) = match form {
                2 => (None, rest),
                _ => {
                    let (held, rest) = point(rest, kind)?;
                    (Some(held), rest)
                }
            };
            let (low, rest) = rest.split_first_chunk()?;
            let (high, _) = rest.split_first_chunk()?;
            Some(Filter::SwingingDoor(Some(Door {
                hinge,
                held,
                slopes: (f64::from_le_bytes(*low), f64::from_le_bytes(*high)),
            })))
        }
        _ => None,
    }
}

fn point(bytes: &[u8], kind: ScalarType) -> Option<(Point, &[u8])> {
    let (time, rest) = bytes.split_first_chunk()?;
    let (bits, rest) = rest.split_first_chunk()?;
    let bits = Bits(u64::from_le_bytes(*bits));
    Some((Point::of(i64::from_le_bytes(*time), bits, kind), rest))
}

/// Appends what is remembered; nothing where nothing is.
pub fn write(filters: &[Filter], layout: &Layout, out: &mut Vec<u8>) {
    for (watched, filter) in filters.iter().enumerate() {
        if matches!(filter, Filter::Deadband(None) | Filter::SwingingDoor(None)) {
            continue;
        }
        if out.is_empty() {
            out.push(VERSION);
        }
        let name = layout.name(watched).as_bytes();
        out.extend((name.len() as u16).to_le_bytes());
        out.extend(name);
        match filter {
            Filter::Deadband(Some(sent)) => {
                out.push(1);
                write_point(sent, out);
            }
            Filter::SwingingDoor(Some(door)) => {
                out.push(if door.held.is_some() { 3 } else { 2 });
                write_point(&door.hinge, out);
                door.held.iter().for_each(|held| write_point(held, out));
                out.extend(door.slopes.0.to_le_bytes());
                out.extend(door.slopes.1.to_le_bytes());
            }
            Filter::Deadband(None) | Filter::SwingingDoor(None) => {}
        }
    }
}

fn write_point(point: &Point, out: &mut Vec<u8>) {
    out.extend(point.time.to_le_bytes());
    out.extend(point.bits.0.to_le_bytes());
}

#[cfg(test)]
mod tests;
