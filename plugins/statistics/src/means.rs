//! Means whose state is a few sums.

use activestore_plugin::Group;

/// Numbers of 64 bits in a row, the state of every mean.
fn read<const N: usize>(bytes: &[u8]) -> Option<[f64; N]> {
    let (values, rest) = bytes.as_chunks::<8>();
    let values: [[u8; 8]; N] = values.try_into().ok()?;
    rest.is_empty().then(|| values.map(f64::from_le_bytes))
}

fn write(values: &[f64], out: &mut Vec<u8>) {
    out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

/// Sum of squares.
#[derive(Default)]
pub struct Squares {
    sum: f64,
    rows: f64,
}

impl Squares {
    pub fn update(&mut self, x: f64) {
        self.sum += x * x;
        self.rows += 1.0;
    }

    pub fn finish(&self) -> Option<f64> {
        (self.rows > 0.0).then(|| (self.sum / self.rows).sqrt())
    }
}

impl Group for Squares {
    fn merge(&mut self, other: Self) {
        self.sum += other.sum;
        self.rows += other.rows;
    }

    fn encode(&self, out: &mut Vec<u8>) {
        write(&[self.sum, self.rows], out);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let [sum, rows] = read(bytes)?;
        Some(Squares { sum, rows })
    }
}

/// Sum of logarithms; not a number once a value had none.
#[derive(Default)]
pub struct Logarithms {
    sum: f64,
    rows: f64,
}

impl Logarithms {
    pub fn update(&mut self, x: f64) {
        self.sum += if x > 0.0 { x.ln() } else { f64::NAN };
        self.rows += 1.0;
    }

    pub fn finish(&self) -> Option<f64> {
        let mean = (self.sum / self.rows).exp();
        (self.rows > 0.0 && !mean.is_nan()).then_some(mean)
    }
}

impl Group for Logarithms {
    fn merge(&mut self, other: Self) {
        self.sum += other.sum;
        self.rows += other.rows;
    }

    fn encode(&self, out: &mut Vec<u8>) {
        write(&[self.sum, self.rows], out);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let [sum, rows] = read(bytes)?;
        Some(Logarithms { sum, rows })
    }
}

/// Sum of unit vectors.
#[derive(Default)]
pub struct Directions {
    east: f64,
    north: f64,
    rows: f64,
}

/// A mean vector shorter than this points nowhere.
const LENGTH_MIN: f64 = 1e-9;

impl Directions {
    pub fn update(&mut self, degrees: f64) {
        let (sin, cos) = degrees.to_radians().sin_cos();
        self.east += sin;
        self.north += cos;
        self.rows += 1.0;
    }

    pub fn finish(&self) -> Option<f64> {
        let length = self.east.hypot(self.north) / self.rows;
        // Of no rows the length is not a number, which is not above either.
        (length > LENGTH_MIN).then(|| {
            let degrees = self.east.atan2(self.north).to_degrees().rem_euclid(360.0);
            // A tiny negative angle is rounded up to the full turn.
            if degrees >= 360.0 { 0.0 } else { degrees }
        })
    }
}

impl Group for Directions {
    fn merge(&mut self, other: Self) {
        self.east += other.east;
        self.north += other.north;
        self.rows += other.rows;
    }

    fn encode(&self, out: &mut Vec<u8>) {
        write(&[self.east, self.north, self.rows], out);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let [east, north, rows] = read(bytes)?;
        Some(Directions { east, north, rows })
    }
}
