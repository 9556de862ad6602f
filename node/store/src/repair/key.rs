//! An encoded key as people read it: the names and values of its columns. For messages only: text
//! is shown as far as it is text, and a key that does not decode is shown as hex digits.

use activestore_types::{DataType, TableSchema};

/// `(device = 'a-1', ts = 1767225600000000000)`.
pub(super) fn show(schema: &TableSchema, key: &[u8]) -> String {
    decode(schema, key).unwrap_or_else(|| {
        let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("0x{digits}")
    })
}

fn decode(schema: &TableSchema, key: &[u8]) -> Option<String> {
    let mut rest = key;
    let mut parts = Vec::new();
    for column in schema.key_columns() {
        let described = schema.column_by_id(column.id)?;
        let flip = if column.descending { 0xff } else { 0 };
        let (value, after) = value(described.data_type, rest, flip)?;
        parts.push(format!("{} = {value}", described.name));
        rest = after;
    }
    rest.is_empty().then(|| format!("({})", parts.join(", ")))
}

fn fixed<const N: usize>(bytes: &[u8], flip: u8) -> Option<([u8; N], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    Some((head.map(|byte| byte ^ flip), rest))
}

fn value(data_type: DataType, bytes: &[u8], flip: u8) -> Option<(String, &[u8])> {
    Some(match data_type {
        DataType::Boolean => {
            let ([byte], rest) = fixed::<1>(bytes, flip)?;
            ((byte != 0).to_string(), rest)
        }
        DataType::Int | DataType::Date => {
            let (head, rest) = fixed::<4>(bytes, flip)?;
            let number = (u32::from_be_bytes(head) ^ (1 << 31)).cast_signed();
            (number.to_string(), rest)
        }
        DataType::BigInt | DataType::Timestamp => {
            let (head, rest) = fixed::<8>(bytes, flip)?;
            let number = (u64::from_be_bytes(head) ^ (1 << 63)).cast_signed();
            (number.to_string(), rest)
        }
        DataType::Decimal { scale, .. } => {
            let (head, rest) = fixed::<16>(bytes, flip)?;
            let number = (u128::from_be_bytes(head) ^ (1 << 127)).cast_signed();
            (format!("{number}e-{scale}"), rest)
        }
        DataType::Real | DataType::Double => {
            let (head, rest) = fixed::<8>(bytes, flip)?;
            let bits = u64::from_be_bytes(head);
            let bits = if bits >> 63 == 1 {
                bits ^ (1 << 63)
            } else {
                !bits
            };
            (f64::from_bits(bits).to_string(), rest)
        }
        DataType::Text | DataType::Bytes | DataType::Uuid | DataType::Json => {
            let (text, rest) = text(bytes, flip)?;
            (format!("'{}'", String::from_utf8_lossy(&text)), rest)
        }
    })
}

/// Escaped bytes up to their end mark.
fn text(bytes: &[u8], flip: u8) -> Option<(Vec<u8>, &[u8])> {
    let mut text = Vec::new();
    let mut at = 0;
    loop {
        let byte = bytes.get(at)? ^ flip;
        at += 1;
        if byte == 0 {
            let next = bytes.get(at)? ^ flip;
            at += 1;
            if next == 0 {
                return Some((text, bytes.get(at..)?));
            }
        }
        text.push(byte);
    }
}

#[cfg(test)]
mod tests;
