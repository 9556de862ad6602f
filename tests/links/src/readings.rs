//! Six fields of a hundred machines, a row each a second: values that wander, a noisy one, a state that
//! rarely changes and a counter.

use std::fmt::Write;

use crate::random::Random;

pub const DEVICES: usize = 100;

/// The columns of a table that takes them, without its key.
pub const FIELDS: &str =
    "temp DOUBLE, humidity DOUBLE, pressure DOUBLE, vibration DOUBLE, state BIGINT, cycles BIGINT";

struct Device {
    temp: i64,
    humidity: i64,
    pressure: i64,
    state: i64,
    cycles: i64,
    late_us: i64,
}

/// One row.
pub struct Reading {
    pub device: usize,
    pub ts_ns: i64,
    temp: String,
    humidity: String,
    pressure: String,
    vibration: String,
    state: i64,
    cycles: i64,
}

/// The rows of one second after the other.
pub struct Readings {
    devices: Vec<Device>,
    at: i64,
    random: Random,
}

impl Reading {
    pub const HEADER: &str = "device,ts,temp,humidity,pressure,vibration,state,cycles";

    /// A line of CSV without its end.
    pub fn csv(&self) -> String {
        format!(
            "d{:03},{},{},{},{},{},{},{}",
            self.device,
            self.ts_ns,
            self.temp,
            self.humidity,
            self.pressure,
            self.vibration,
            self.state,
            self.cycles
        )
    }

    /// A message as gateways publish it, with a number of its own.
    pub fn json(&self, n: u64) -> String {
        format!(
            r#"{{"device":"d{:03}","ts":{},"temp":{},"humidity":{},"pressure":{},"vibration":{},"state":{},"cycles":{},"n":{n}}}"#,
            self.device,
            self.ts_ns / 1_000_000,
            self.temp,
            self.humidity,
            self.pressure,
            self.vibration,
            self.state,
            self.cycles
        )
    }
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
            random: Random::new(1),
        }
    }

    fn below(&mut self, bound: u64) -> i64 {
        self.random.below(bound) as i64
    }

    /// The next second's rows, one of each machine.
    pub fn second(&mut self) -> Vec<Reading> {
        self.at += 1_000_000_000;
        (0..self.devices.len())
            .map(|number| self.reading(number))
            .collect()
    }

    fn reading(&mut self, number: usize) -> Reading {
        let (temp, humidity, pressure) = (self.below(5) - 2, self.below(3) - 1, self.below(7) - 3);
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
        let tenths = |value: i64| format!("{}.{}", value / 10, value.rem_euclid(10));
        let hundredths = |value: i64| format!("{}.{:02}", value / 100, value.rem_euclid(100));
        Reading {
            device: number,
            // Clocks of sensors tick in milliseconds and come a few late.
            ts_ns: at + (device.late_us / 1000 + jitter) * 1_000_000,
            temp: hundredths(device.temp),
            humidity: tenths(device.humidity),
            pressure: hundredths(device.pressure),
            vibration: format!("0.{noise:03}"),
            state: device.state,
            cycles: device.cycles,
        }
    }

    /// The next second's rows as CSV under a header.
    pub fn csv(&mut self, lines: &mut String) {
        lines.push_str(Reading::HEADER);
        lines.push('\n');
        for reading in self.second() {
            writeln!(lines, "{}", reading.csv()).unwrap();
        }
    }
}
