//! Conversions agree with published values and undo each other.

use super::*;

fn near(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-6 * b.abs().max(1.0), "{a} is not {b}");
}

#[test]
fn known_values() {
    near(f_to_c(212.0), 100.0);
    near(f_to_c(-40.0), -40.0);
    near(c_to_k(0.0), 273.15);
    near(psi_to_bar(14.503_773_8), 1.0);
    near(kmh_to_ms(36.0), 10.0);
    near(rpm_to_hz(3000.0), 50.0);
    near(gpm_to_lps(15.850_323_14), 1.0);
}

#[test]
fn there_and_back() {
    for value in [-300.0, -1.5, 0.0, 0.1, 98.6, 1e9] {
        near(c_to_f(f_to_c(value)), value);
        near(bar_to_psi(psi_to_bar(value)), value);
        near(ms_to_kmh(kmh_to_ms(value)), value);
    }
}

#[test]
fn dew_point_is_the_temperature_in_saturated_air() {
    near(dew_point(20.0, 100.0).unwrap(), 20.0);
    assert!((dew_point(25.0, 50.0).unwrap() - 13.86).abs() < 0.05);
    assert_eq!(dew_point(20.0, 0.0), None);
}
