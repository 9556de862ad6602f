//! Six fields of a hundred machines, a row each a second: values that wander, a noisy one, a state that
//! rarely changes and a counter.

use std::fmt::Write;

pub const DEVICES: usize = 100;

struct Device {
    temp: i64,
    humidity: i64,
    pressure: i64,
    state: i64,
    cycles: i64,
    late_us: i64,
}

/// The rows of one second after the other, as CSV.
pub struct Readings {
    devices: Vec<Device>,
    at: i64,
    random: u64,
}

impl Readings {
    pub fn new(first_ns: i64) -> Readings {
        let device = |number: usize| Device {
            temp: 2000 + number as i64 * 3,
            humidity: 450,
            pressure: 101_300,
            state: 1,
            cycles: number as i64 * 1000,
            late_us: number as i64 * 7,
        };
        Readings {
            devices: (0..DEVICES).map(device).collect(),
            at: first_ns / 1_000_000_000 * 1_000_000_000,
            random: 88_172_645_463_325_252,
        }
    }

    fn below(&mut self, bound: u64) -> i64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        ((self.random >> 16) % bound) as i64
    }

    pub fn second(&mut self, lines: &mut String) {
        lines.push_str("device,ts,temp,humidity,pressure,vibration,state,cycles\n");
        self.at += 1_000_000_000;
        for number in 0..self.devices.len() {
            let (temp, humidity, pressure) =
                (self.below(5) - 2, self.below(3) - 1, self.below(7) - 3);
            let (noise, change, jitter) = (self.below(1000), self.below(600), self.below(4));
            let at = self.at;
            let device = &mut self.devices[number];
            device.temp += temp;
            device.humidity += humidity;
            device.pressure += pressure;
            if change == 0 {
                device.state = (device.state + 1) % 4;
            }
            device.cycles += 3;
            // Clocks of sensors tick in milliseconds and come a few late.
            let ts = at + (device.late_us / 1000 + jitter) * 1_000_000;
            writeln!(
                lines,
                "d{number:03},{ts},{}.{:02},{}.{},{}.{:02},0.{noise:03},{},{}",
                device.temp / 100,
                device.temp.rem_euclid(100),
                device.humidity / 10,
                device.humidity.rem_euclid(10),
                device.pressure / 100,
                device.pressure.rem_euclid(100),
                device.state,
                device.cycles,
            )
            .unwrap();
        }
    }
}
