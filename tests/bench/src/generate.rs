//! The fleet's rows: deterministic, time-major as they would arrive.

use crate::Plan;

/// Devices in the fleet.
pub const DEVICES: usize = 2_000;
/// Fields of a row, each with the step of its walk, its bounds and its decimals.
pub const FIELDS: [(&str, f64, f64, f64, i32); 10] = [
    ("temperature", 0.05, -20.0, 80.0, 2),
    ("humidity", 0.2, 0.0, 100.0, 1),
    ("pressure", 0.03, 950.0, 1050.0, 2),
    ("voltage", 0.002, 11.0, 14.0, 3),
    ("current", 0.01, 0.0, 20.0, 3),
    ("usage_user", 1.5, 0.0, 100.0, 2),
    ("latitude", 0.0002, -60.0, 60.0, 5),
    ("longitude", 0.0002, -180.0, 180.0, 5),
    ("flow", 0.4, 0.0, 500.0, 1),
    ("vibration", 0.02, 0.0, 10.0, 3),
];

/// All rows, column by column.
pub struct Data {
    /// The device's number, a row.
    pub device: Vec<u32>,
    /// Nanoseconds since 1970, a row.
    pub ts_ns: Vec<i64>,
    /// Each field's values.
    pub fields: Vec<Vec<f64>>,
}

/// A small generator (xorshift64*), so that every engine and every run sees the same rows.
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn seeded(seed: u64) -> Self {
        Random(seed | 1)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Nearly Gaussian: the sum of four uniform numbers.
    fn gauss(&mut self) -> f64 {
        (self.unit() + self.unit() + self.unit() + self.unit() - 2.0) * 1.73
    }
}

impl Data {
    /// Makes the rows of a plan.
    pub fn new(plan: &Plan) -> Self {
        let mut random = Random::seeded(42);
        let mut state: Vec<[f64; 10]> = (0..DEVICES)
            .map(|_| {
                let mut start = [0.0; 10];
                for (value, (_, _, low, high, _)) in start.iter_mut().zip(FIELDS) {
                    *value = low + (high - low) * random.unit();
                }
                start
            })
            .collect();
        let mut data = Data {
            device: Vec::with_capacity(plan.rows),
            ts_ns: Vec::with_capacity(plan.rows),
            fields: vec![Vec::with_capacity(plan.rows); FIELDS.len()],
        };
        let start_ns = 1_767_225_600_000_000_000_i64;
        for row in 0..plan.rows {
            let device = row % DEVICES;
            let tick = (row / DEVICES) as i64;
            let jitter = if random.next() % 4 == 0 {
                random.next() % 5
            } else {
                0
            };
            data.device.push(device as u32);
            data.ts_ns.push(
                start_ns
                    + tick * 10_000_000_000
                    + device as i64 * 5_000_000
                    + jitter as i64 * 1_000_000,
            );
            let moving = device % 2 == 0;
            for (index, (_, step, low, high, decimals)) in FIELDS.iter().enumerate() {
                let value = &mut state[device][index];
                if moving || !(6..8).contains(&index) {
                    *value = (*value + step * random.gauss()).clamp(*low, *high);
                }
                let scale = 10_f64.powi(*decimals);
                data.fields[index].push((*value * scale).round() / scale);
            }
        }
        data
    }

    /// A device's name.
    pub fn name(device: u32) -> String {
        format!("device-{device:06}")
    }
}
