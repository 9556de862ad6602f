//! A series' memory as bytes: what is kept between batches, in state or nowhere. Bytes that are not
//! ours, or of another version, are an empty memory; those of version 1, floats as they are, are read.
//!
//! ```text
//! recent  = 2 | points in the block u16 | hold u16 | long spread f64 | points
//! history = 2 | medians
//! points  = 0..=6 | base i64 | width u8 (1, 2 or 4) | numbers of that width: (base + number) / 10^(first byte)
//!         | F32S | floats of 32 bits
//!         | F64S | floats of 64 bits
//! ```
//!
//! Most sensors send decimals of few digits that stay near each other: two bytes hold one, and what is not
//! written need not be synced. The base leaves room below and above, so that new points mostly fit behind
//! those that are written already.

use crate::detector::{History, Recent};
use crate::window::Window;

const VERSION: u8 = 2;
const VERSION_OF_FLOATS: u8 = 1;
/// Digits behind the point that are tried.
const DIGITS_MAX: u8 = 6;
const F32S: u8 = 0xf2;
const F64S: u8 = 0xf4;
/// Decimals beyond this may not be whole numbers of a float.
const WHOLE_MAX: f64 = 2_251_799_813_685_248.0;
/// Bytes before the points of a short memory, and before decimals.
const RECENT_HEAD: usize = 13;
const DECIMALS_HEAD: usize = 10;

/// Appends the short memory. `packed` holds the points as they were written before the last `added` came,
/// or nothing, and then as they are written now.
pub fn write_recent(recent: &Recent, packed: &mut Vec<u8>, added: usize, out: &mut Vec<u8>) {
    let short = |number: u32| u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes();
    out.push(VERSION);
    out.extend(short(recent.in_block));
    out.extend(short(recent.hold));
    out.extend(recent.long_spread.to_le_bytes());
    if !append_points(packed, &recent.points, added) {
        packed.clear();
        let (first, second) = recent.points.parts();
        write_points([first, second], recent.points.ends(), packed);
    }
    out.extend_from_slice(packed);
}

/// Where the points begin in a short memory of this version, for the next call of [`write_recent`].
pub fn packed(bytes: &[u8]) -> &[u8] {
    match bytes.first() {
        Some(&VERSION) => bytes.get(RECENT_HEAD..).unwrap_or_default(),
        _ => &[],
    }
}

/// Whether the newest points fit behind those that are packed; they are then put there, and the oldest go.
fn append_points(packed: &mut Vec<u8>, window: &Window, added: usize) -> bool {
    let Some(form) = Form::of(packed) else {
        return false;
    };
    let bytes = packed.len().saturating_sub(form.head());
    if !bytes.is_multiple_of(form.width()) {
        return false;
    }
    let before = bytes / form.width();
    let gone = (before + added).checked_sub(window.len());
    let Some(gone) = gone.filter(|gone| *gone <= before && added <= window.len()) else {
        return false;
    };
    for value in window.newest(added) {
        if !form.push(value, packed) {
            return false;
        }
    }
    let head = form.head();
    packed.drain(head..head + gone * form.width());
    true
}

/// How points are written.
#[derive(Clone, Copy)]
enum Form {
    Decimals { scale: f64, base: f64, width: u8 },
    F32s,
    F64s,
}

impl Form {
    fn of(packed: &[u8]) -> Option<Form> {
        let (&form, rest) = packed.split_first()?;
        match form {
            F32S => return Some(Form::F32s),
            F64S => return Some(Form::F64s),
            _ if form > DIGITS_MAX => return None,
            _ => {}
        }
        let (base, rest) = rest.split_first_chunk()?;
        let width = *rest.first()?;
        matches!(width, 1 | 2 | 4).then(|| Form::Decimals {
            scale: scale(form),
            base: i64::from_le_bytes(*base) as f64,
            width,
        })
    }

    fn head(self) -> usize {
        match self {
            Form::Decimals { .. } => DECIMALS_HEAD,
            Form::F32s | Form::F64s => 1,
        }
    }

    fn width(self) -> usize {
        match self {
            Form::Decimals { width, .. } => width.into(),
            Form::F32s => 4,
            Form::F64s => 8,
        }
    }

    /// Whether the value can be written in this form; it is then appended.
    fn push(self, value: f64, out: &mut Vec<u8>) -> bool {
        match self {
            Form::Decimals { scale, base, width } => {
                let (number, exact) = number(value, scale);
                let offset = number - base;
                if !exact || !(0.0..=most(width)).contains(&offset) {
                    return false;
                }
                let bytes = (offset as u32).to_le_bytes();
                out.extend_from_slice(&bytes[..usize::from(width)]);
                true
            }
            Form::F32s if is_single(value) => {
                out.extend((value as f32).to_le_bytes());
                true
            }
            Form::F32s => false,
            Form::F64s => {
                out.extend(value.to_le_bytes());
                true
            }
        }
    }
}

/// The largest number of so many bytes.
fn most(width: u8) -> f64 {
    match width {
        1 => u8::MAX.into(),
        2 => u16::MAX.into(),
        _ => u32::MAX.into(),
    }
}

fn is_single(value: f64) -> bool {
    f64::from(value as f32).to_bits() == value.to_bits()
}

/// The short memory from bytes.
pub fn read_recent(bytes: &[u8]) -> Recent {
    try_recent(bytes).unwrap_or_default()
}

fn try_recent(bytes: &[u8]) -> Option<Recent> {
    let (&version, rest) = bytes.split_first()?;
    let (in_block, hold, rest) = match version {
        VERSION => {
            let (in_block, rest) = rest.split_first_chunk()?;
            let (hold, rest) = rest.split_first_chunk()?;
            (
                u16::from_le_bytes(*in_block).into(),
                u16::from_le_bytes(*hold).into(),
                rest,
            )
        }
        VERSION_OF_FLOATS => {
            let (in_block, rest) = rest.split_first_chunk()?;
            let (hold, rest) = rest.split_first_chunk()?;
            (
                u32::from_le_bytes(*in_block),
                u32::from_le_bytes(*hold),
                rest,
            )
        }
        _ => return None,
    };
    let (long_spread, rest) = rest.split_first_chunk()?;
    let points = match version {
        VERSION => read_points(rest)?,
        _ => floats(rest),
    };
    Some(Recent {
        in_block,
        hold,
        long_spread: f64::from_le_bytes(*long_spread),
        points: Window::of(points),
    })
}

/// Appends the long memory.
pub fn write_history(history: &History, out: &mut Vec<u8>) {
    out.push(VERSION);
    let least = history.iter().copied().fold(f64::INFINITY, f64::min);
    let most = history.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    write_points([history, &[]], (least, most), out);
}

/// The long memory from bytes.
pub fn read_history(bytes: &[u8]) -> History {
    match bytes.split_first() {
        Some((&VERSION, rest)) => read_points(rest).unwrap_or_default(),
        Some((&VERSION_OF_FLOATS, rest)) => floats(rest),
        _ => History::new(),
    }
}

fn write_points(parts: [&[f64]; 2], ends: (f64, f64), out: &mut Vec<u8>) {
    let begin = out.len();
    let all = |form: Form, out: &mut Vec<u8>| {
        out.reserve(form.width() * (parts[0].len() + parts[1].len()));
        let mut values = parts.into_iter().flatten();
        values.all(|value| form.push(*value, out))
    };
    for digits in 0..=DIGITS_MAX {
        let Some(form) = decimals(digits, ends) else {
            break;
        };
        if let Form::Decimals { base, width, .. } = form {
            out.push(digits);
            out.extend((base as i64).to_le_bytes());
            out.push(width);
        }
        if all(form, out) {
            return;
        }
        out.truncate(begin);
    }
    out.push(F32S);
    if !all(Form::F32s, out) {
        out.truncate(begin);
        out.push(F64S);
        all(Form::F64s, out);
    }
}

/// The form for decimals of so many digits that lie between these ends, if there is one.
fn decimals(digits: u8, (least, greatest): (f64, f64)) -> Option<Form> {
    let scale = scale(digits);
    let (base, top) = (
        (least * scale).round_ties_even(),
        (greatest * scale).round_ties_even(),
    );
    if !(base.abs() < WHOLE_MAX && top.abs() < WHOLE_MAX) {
        return None;
    }
    let width = [1, 2, 4]
        .into_iter()
        .find(|width| top - base <= most(*width))?;
    Some(Form::Decimals {
        scale,
        base: base - ((most(width) - (top - base)) / 2.0).trunc(),
        width,
    })
}

/// The value as a whole number of the smallest digit, and whether the value comes back from it.
fn number(value: f64, scale: f64) -> (f64, bool) {
    // A sum with zero is never the negative zero, which no whole number stands for.
    let number = (value * scale).round_ties_even() + 0.0;
    (number, (number / scale).to_bits() == value.to_bits())
}

fn scale(digits: u8) -> f64 {
    const SCALES: [f64; DIGITS_MAX as usize + 1] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];
    SCALES[usize::from(digits.min(DIGITS_MAX))]
}

fn read_points(bytes: &[u8]) -> Option<Vec<f64>> {
    let (&form, rest) = bytes.split_first()?;
    match form {
        F64S => return Some(floats(rest)),
        F32S => {
            let (chunks, _) = rest.as_chunks::<4>();
            let values = chunks.iter().map(|chunk| f32::from_le_bytes(*chunk));
            return Some(values.map(f64::from).collect());
        }
        _ if form > DIGITS_MAX => return None,
        _ => {}
    }
    let (base, rest) = rest.split_first_chunk()?;
    let (&width, rest) = rest.split_first()?;
    let base = i64::from_le_bytes(*base);
    let scale = scale(form);
    let value = |number: u32| base.saturating_add(number.into()) as f64 / scale;
    Some(match width {
        1 => rest.iter().map(|byte| value((*byte).into())).collect(),
        2 => {
            let (chunks, _) = rest.as_chunks::<2>();
            let numbers = chunks.iter().map(|chunk| u16::from_le_bytes(*chunk));
            numbers.map(|number| value(number.into())).collect()
        }
        4 => {
            let (chunks, _) = rest.as_chunks::<4>();
            let numbers = chunks.iter().map(|chunk| u32::from_le_bytes(*chunk));
            numbers.map(value).collect()
        }
        _ => return None,
    })
}

fn floats(bytes: &[u8]) -> Vec<f64> {
    let (chunks, _) = bytes.as_chunks::<8>();
    chunks
        .iter()
        .map(|chunk| f64::from_le_bytes(*chunk))
        .collect()
}

#[cfg(test)]
mod tests;
