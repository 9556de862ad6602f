//! Means whose state is a few sums.

use activestore_plugin::Group;

/// A few sums: adding those of other rows is all that merging is.
#[derive(Clone, Copy)]
pub struct Sums<const N: usize>([f64; N]);

impl<const N: usize> Default for Sums<N> {
    fn default() -> Self {
        Sums([0.0; N])
    }
}

impl<const N: usize> Sums<N> {
    fn add(&mut self, values: [f64; N]) {
        for (sum, value) in self.0.iter_mut().zip(values) {
            *sum += value;
        }
    }

    /// Takes a row out that was added before; the last sum counts the rows. Without rows there is no
    /// rounding left of those that were there.
    fn retract(&mut self, values: [f64; N]) {
        for (sum, value) in self.0.iter_mut().zip(values) {
            *sum -= value;
        }
        if self.0.last().is_some_and(|rows| *rows <= 0.0) {
            *self = Sums::default();
        }
    }
}

impl<const N: usize> Group for Sums<N> {
    fn merge(&mut self, other: Self) {
        self.add(other.0);
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.0.iter().flat_map(|sum| sum.to_le_bytes()));
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (values, rest) = bytes.as_chunks::<8>();
        let values: [[u8; 8]; N] = values.try_into().ok()?;
        rest.is_empty()
            .then(|| Sums(values.map(f64::from_le_bytes)))
    }
}

macro_rules! of_sums {
    ($name:ident, $sums:literal) => {
        impl Group for $name {
            fn merge(&mut self, other: Self) {
                self.0.merge(other.0);
            }

            fn encode(&self, out: &mut Vec<u8>) {
                self.0.encode(out);
            }

            fn decode(bytes: &[u8]) -> Option<Self> {
                Sums::<$sums>::decode(bytes).map($name)
            }
        }
    };
}

/// Sum of squares, and rows.
#[derive(Default)]
pub struct Squares(Sums<2>);
of_sums!(Squares, 2);

impl Squares {
    pub fn update(&mut self, x: f64) {
        self.0.add([x * x, 1.0]);
    }

    pub fn retract(&mut self, x: f64) {
        self.0.retract([x * x, 1.0]);
    }

    pub fn finish(&self) -> Option<f64> {
        let Sums([sum, rows]) = self.0;
        // Rows that were taken out may leave a sum just below zero.
        (rows > 0.0).then(|| (if sum < 0.0 { 0.0 } else { sum / rows }).sqrt())
    }
}

/// Sum of logarithms, not a number once a value had none; and rows.
#[derive(Default)]
pub struct Logarithms(Sums<2>);
of_sums!(Logarithms, 2);

impl Logarithms {
    pub fn update(&mut self, x: f64) {
        self.0.add([if x > 0.0 { x.ln() } else { f64::NAN }, 1.0]);
    }

    pub fn finish(&self) -> Option<f64> {
        let Sums([sum, rows]) = self.0;
        let mean = (sum / rows).exp();
        (rows > 0.0 && !mean.is_nan()).then_some(mean)
    }
}

/// Sum of unit vectors, east and north; and rows.
#[derive(Default)]
pub struct Directions(Sums<3>);
of_sums!(Directions, 3);

/// A mean vector shorter than this points nowhere.
const LENGTH_MIN: f64 = 1e-9;

impl Directions {
    pub fn update(&mut self, degrees: f64) {
        let (sin, cos) = degrees.to_radians().sin_cos();
        self.0.add([sin, cos, 1.0]);
    }

    pub fn retract(&mut self, degrees: f64) {
        let (sin, cos) = degrees.to_radians().sin_cos();
        self.0.retract([sin, cos, 1.0]);
    }

    pub fn finish(&self) -> Option<f64> {
        let Sums([east, north, rows]) = self.0;
        // Of no rows the length is not a number, which is not above either.
        (east.hypot(north) / rows > LENGTH_MIN).then(|| {
            let degrees = east.atan2(north).to_degrees().rem_euclid(360.0);
            // A tiny negative angle is rounded up to the full turn.
            if degrees >= 360.0 { 0.0 } else { degrees }
        })
    }
}
