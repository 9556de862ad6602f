//! The formulas, as plain functions.

/// Degrees Fahrenheit to degrees Celsius.
pub(crate) fn f_to_c(f: f64) -> f64 {
    (f - 32.0) / 1.8
}

/// Degrees Celsius to degrees Fahrenheit.
pub(crate) fn c_to_f(c: f64) -> f64 {
    c * 1.8 + 32.0
}

/// Degrees Celsius to kelvin.
pub(crate) fn c_to_k(c: f64) -> f64 {
    c + 273.15
}

/// Pounds per square inch to bar.
pub(crate) fn psi_to_bar(psi: f64) -> f64 {
    psi * 0.068_947_572_931_683_6
}

/// Bar to pounds per square inch.
pub(crate) fn bar_to_psi(bar: f64) -> f64 {
    bar / 0.068_947_572_931_683_6
}

/// Kilometres per hour to metres per second.
pub(crate) fn kmh_to_ms(kmh: f64) -> f64 {
    kmh / 3.6
}

/// Metres per second to kilometres per hour.
pub(crate) fn ms_to_kmh(ms: f64) -> f64 {
    ms * 3.6
}

/// Revolutions per minute to hertz.
pub(crate) fn rpm_to_hz(rpm: f64) -> f64 {
    rpm / 60.0
}

/// US gallons per minute to litres per second.
pub(crate) fn gpm_to_lps(gpm: f64) -> f64 {
    gpm * 0.063_090_196_4
}

/// Kibibytes to gibibytes.
pub(crate) fn kib_to_gib(kib: f64) -> f64 {
    kib / 1_048_576.0
}
