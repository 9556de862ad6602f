//! The masks themselves. A character is a Unicode scalar value: a mask never splits one.

const MASK: char = '*';
/// What stands for a text whose length would tell too much.
const WHOLE: &str = "***";
const DIGITS_MAX: i64 = 9;

/// All characters but the last `keep` masked; all of them where there are no more.
pub fn text(text: &str, keep: i64) -> String {
    masked(text, keep, |_| true)
}

/// The same, of digits alone.
pub fn digits(text: &str, keep: i64) -> String {
    masked(text, keep, char::is_numeric)
}

fn masked(text: &str, keep: i64, counts: impl Fn(char) -> bool) -> String {
    let count = text.chars().filter(|character| counts(*character)).count();
    let keep = usize::try_from(keep).unwrap_or(0);
    let mut left = if count > keep { count - keep } else { count };
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if left > 0 && counts(character) {
            left -= 1;
            out.push(MASK);
        } else {
            out.push(character);
        }
    }
    out
}

/// An address with its first character and its domain.
pub fn email(text: &str) -> String {
    let parts = text.rsplit_once('@');
    let known = parts.filter(|(name, domain)| {
        let odd = |character: char| character.is_whitespace() || character == '@';
        !domain.is_empty() && !name.contains(odd) && !domain.contains(odd)
    });
    let first = known.and_then(|(name, _)| name.chars().next());
    match (first, known) {
        (Some(first), Some((_, domain))) => format!("{first}{WHOLE}@{domain}"),
        _ => WHOLE.to_owned(),
    }
}

/// Two digits a byte.
pub fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half & 15)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
}

/// Degrees with so many digits.
pub fn coordinate(degrees: f64, digits: i64) -> f64 {
    let scale = 10_f64.powi(digits.clamp(0, DIGITS_MAX) as i32);
    let scaled = degrees * scale;
    // 8.3 is a little less than 8.3: a product that is whole but for rounding counts as whole.
    let nearest = scaled.round();
    let whole = if nearest / scale == degrees {
        nearest
    } else {
        scaled.trunc()
    };
    whole / scale
}
