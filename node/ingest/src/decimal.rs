//! DECIMAL from text, exactly: digits that the scale does not hold are an error, never rounded.

/// `text` (sign, digits, point, exponent) as an integer of 10^-scale; an error says what is wrong.
pub(crate) fn parse_decimal(text: &str, precision: u8, scale: u8) -> Result<i128, String> {
    let malformed = || format!("'{text}' is not a decimal number");
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| malformed())?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return Err(malformed());
    }
    let too_large = || format!("'{text}' does not fit DECIMAL({precision},{scale})");
    // The power of ten of the digit at hand, counted from the target's last digit.
    let mut power = i64::from(scale) + i64::from(exponent) + whole.len() as i64;
    let mut value: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        if !digit.is_ascii_digit() {
            return Err(malformed());
        }
        power -= 1;
        let digit = i128::from(digit - b'0');
        if digit == 0 {
            continue;
        }
        if power < 0 {
            return Err(format!(
                "'{text}' has more than the {scale} digits after the point that DECIMAL({precision},{scale}) keeps"
            ));
        }
        let unit = u32::try_from(power)
            .ok()
            .and_then(|power| 10_i128.checked_pow(power))
            .ok_or_else(too_large)?;
        value = digit
            .checked_mul(unit)
            .and_then(|part| value.checked_add(part))
            .ok_or_else(too_large)?;
    }
    let limit = 10_i128
        .checked_pow(u32::from(precision))
        .unwrap_or(i128::MAX);
    if value >= limit {
        return Err(too_large());
    }
    Ok(if negative { -value } else { value })
}
