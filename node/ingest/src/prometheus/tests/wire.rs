//! Messages of remote write as a sender makes them, written by the rules of protobuf alone. The gateway's tests
//! send the same ones.

/// A number of seven bits a byte.
pub fn number(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A field of bytes.
pub fn bytes(field: u64, content: &[u8], out: &mut Vec<u8>) {
    number(field << 3 | 2, out);
    number(content.len() as u64, out);
    out.extend_from_slice(content);
}

/// A sample, the same in both versions: milliseconds and value.
pub fn sample(ms: i64, value: f64) -> Vec<u8> {
    let mut out = vec![1 << 3 | 1];
    out.extend_from_slice(&value.to_bits().to_le_bytes());
    out.push(2 << 3);
    number(ms as u64, &mut out);
    out
}

/// A series of version 1.
pub fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in labels {
        let mut label = Vec::new();
        bytes(1, name.as_bytes(), &mut label);
        bytes(2, value.as_bytes(), &mut label);
        bytes(1, &label, &mut out);
    }
    for (ms, value) in samples {
        bytes(2, &sample(*ms, *value), &mut out);
    }
    out
}

/// A request of version 1.
pub fn request(all: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for series in all {
        bytes(1, series, &mut out);
    }
    out
}

/// Labels and samples of one series.
pub type Told<'a> = (&'a [(&'a str, &'a str)], &'a [(i64, f64)]);

/// A request of version 2; its texts stand behind the series that name them.
pub fn request_v2(all: &[Told<'_>]) -> Vec<u8> {
    let mut texts = vec![String::new()];
    let mut place = |text: &str| match texts.iter().position(|known| known == text) {
        Some(place) => place as u64,
        None => {
            texts.push(text.to_owned());
            texts.len() as u64 - 1
        }
    };
    let mut out = Vec::new();
    for (labels, samples) in all {
        let (mut series, mut references) = (Vec::new(), Vec::new());
        for (name, value) in *labels {
            number(place(name), &mut references);
            number(place(value), &mut references);
        }
        bytes(1, &references, &mut series);
        for (ms, value) in *samples {
            bytes(2, &sample(*ms, *value), &mut series);
        }
        bytes(5, &series, &mut out);
    }
    for text in &texts {
        bytes(4, text.as_bytes(), &mut out);
    }
    out
}
