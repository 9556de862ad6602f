//! Spikes, shifts and drifts are seen once each; noise, waves and constants are not.

mod plain;

use super::{Alarm, History, Recent, Settings, median};

/// Noise without a source of randomness: the same on every run.
struct Noise(u64);

impl Noise {
    /// About normal, mean 0, standard deviation 1.
    fn next(&mut self) -> f64 {
        let sum: f64 = (0..12)
            .map(|_| {
                self.0 = self
                    .0
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                (self.0 >> 11) as f64 / (1u64 << 53) as f64
            })
            .sum();
        sum - 6.0
    }
}

fn run(values: impl IntoIterator<Item = f64>, settings: &Settings) -> Vec<(usize, Alarm)> {
    let (mut recent, mut history) = (Recent::default(), History::new());
    values
        .into_iter()
        .enumerate()
        .filter_map(|(row, value)| Some((row, recent.push(value, settings, || &mut history)?)))
        .collect()
}

fn noise(rows: usize, level: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut noise = Noise(1);
    (0..rows).map(|row| level(row) + noise.next()).collect()
}

#[test]
fn the_median_is_the_middle_value() {
    assert_eq!(median(&mut []), 0.0);
    assert_eq!(median(&mut [3.0]), 3.0);
    assert_eq!(median(&mut [4.0, 1.0]), 2.5);
    assert_eq!(median(&mut [9.0, 1.0, 5.0]), 5.0);
    assert_eq!(median(&mut [9.0, 1.0, 5.0, 7.0]), 6.0);
}

#[test]
fn plain_noise_raises_nothing() {
    assert_eq!(run(noise(20_000, |_| 50.0), &Settings::default()), []);
    assert_eq!(run(vec![7.0; 20_000], &Settings::default()), []);
}

#[test]
fn a_spike_is_raised_once_at_its_row() {
    let mut values = noise(2000, |_| 50.0);
    values[1500] = 75.0;
    values[1501] = 76.0;
    let alarms = run(values, &Settings::default());
    assert_eq!(alarms.len(), 1);
    let (row, alarm) = alarms[0];
    assert_eq!((row, alarm.value), (1500, 75.0));
    assert!((alarm.median - 50.0).abs() < 1.0 && alarm.score > 6.0);
}

#[test]
fn a_drift_slower_than_the_window_is_raised() {
    let drift = |row: usize| 50.0 + row.saturating_sub(10_000) as f64 * 0.01;
    let values = noise(12_000, drift);
    let points_only = Settings {
        level_threshold: 0.0,
        ..Settings::default()
    };
    assert_eq!(run(values.clone(), &points_only), []);
    let alarms = run(values, &Settings::default());
    assert!(!alarms.is_empty() && alarms[0].0 > 10_000, "{alarms:?}");
}

#[test]
fn a_daily_wave_is_normal() {
    let wave = |row: usize| 50.0 + 10.0 * (row as f64 / 288.0 * std::f64::consts::TAU).sin();
    assert_eq!(run(noise(20_000, wave), &Settings::default()), []);
}

#[test]
fn nothing_is_raised_before_enough_was_seen() {
    let values = [1.0, 1000.0, 1.0, 1000.0, -5.0];
    assert_eq!(run(values, &Settings::default()), []);
}

#[test]
fn a_coarse_sensor_is_not_taken_for_a_constant() {
    // Mostly 20.0, now and then one step of resolution away.
    let values: Vec<f64> = (0..5000)
        .map(|row| if row % 9 == 0 { 20.5 } else { 20.0 })
        .collect();
    assert_eq!(run(values, &Settings::default()), []);
}

#[test]
fn the_least_spread_is_kept() {
    let mut values = vec![0.0; 200];
    values[150] = 0.5;
    assert_eq!(run(values.clone(), &Settings::default()).len(), 1);
    let settings = Settings {
        min_mad: 0.1,
        ..Settings::default()
    };
    assert_eq!(run(values, &settings), []);
}

#[test]
fn memory_stays_bounded() {
    let (mut recent, mut history) = (Recent::default(), History::new());
    let settings = Settings {
        window: 10,
        history: 5,
        ..Settings::default()
    };
    for value in noise(1000, |_| 0.0) {
        let _alarm = recent.push(value, &settings, || &mut history);
        assert!(recent.points.len() <= 10 && history.len() <= 5);
    }
}

/// Series of many kinds: noise, few different values, constants, steps, drifts, powers of ten, signed zeros.
fn series(noise: &mut Noise, rows: usize) -> Vec<f64> {
    let pick = |noise: &mut Noise, of: usize| (noise.next().abs() * 1e6) as usize % of;
    let kind = pick(noise, 7);
    let step = [0.001, 0.5, 1.0, 100.0][pick(noise, 4)];
    let level = [0.0, 1e-9, 50.0, -3e5, 1e300][pick(noise, 5)];
    let mut walk = level;
    (0..rows)
        .map(|row| {
            let odd = pick(noise, 40) == 0;
            match kind {
                0 => level + noise.next() * if odd { 20.0 } else { 1.0 },
                1 => level + step * (noise.next() * 1.2).round(),
                2 => level + if odd { step } else { 0.0 },
                3 => {
                    level
                        + if row / 97 % 2 == 0 {
                            step * 30.0
                        } else {
                            noise.next()
                        }
                }
                4 => {
                    walk += step * noise.next();
                    walk
                }
                5 => level * 10_f64.powi(pick(noise, 9) as i32 - 4),
                _ => [0.0, -0.0, 1e-320, -1e-320, 0.25][pick(noise, 5)],
            }
        })
        .collect()
}

/// The window is sorted as it slides and most points are judged at a glance: the alarms are those of the
/// plain detector, bit for bit.
#[test]
fn alarms_are_those_of_the_plain_detector() {
    let mut noise = Noise(7);
    let mut raised = 0;
    for round in 0..600 {
        let settings = Settings {
            window: [4, 5, 7, 30, 60, 61][round % 6],
            threshold: [0.5, 2.0, 3.5, 6.0][round / 6 % 4],
            history: [6, 9, 24][round % 3],
            level_threshold: [0.0, 1.0, 4.0][round / 3 % 3],
            min_mad: [0.0, 0.0, 0.3][round / 9 % 3],
            rearm: [0, 3, 60][round / 7 % 3],
        };
        let (mut fast, mut plain) = (Recent::default(), plain::Recent::default());
        let (mut history, mut plain_history) = (History::new(), History::new());
        for value in series(&mut noise, 700) {
            let found = fast.push(value, &settings, || &mut history);
            let expected = plain.push(value, &settings, || &mut plain_history);
            assert_eq!(found, expected, "round {round}: {value}");
            raised += usize::from(found.is_some());
        }
        assert_eq!(fast.points.to_vec(), plain.points);
        assert_eq!(fast.long_spread, plain.long_spread);
        assert_eq!(history, plain_history);
    }
    assert!(raised > 1000, "{raised} alarms compare little");
}
