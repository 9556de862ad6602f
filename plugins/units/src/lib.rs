//! Conversions between units of measurement, as SQL functions. They convert and nothing else: a
//! value that cannot be (a temperature below absolute zero) goes through as it is.

mod formula;

activestore_plugin::scalar! {
    /// Degrees Fahrenheit to degrees Celsius.
    fn f_to_c(f: f64) -> f64 {
        formula::f_to_c(f)
    }

    /// Degrees Celsius to degrees Fahrenheit.
    fn c_to_f(c: f64) -> f64 {
        formula::c_to_f(c)
    }

    /// Degrees Celsius to kelvin.
    fn c_to_k(c: f64) -> f64 {
        formula::c_to_k(c)
    }

    /// Pounds per square inch to bar.
    fn psi_to_bar(psi: f64) -> f64 {
        formula::psi_to_bar(psi)
    }

    /// Bar to pounds per square inch.
    fn bar_to_psi(bar: f64) -> f64 {
        formula::bar_to_psi(bar)
    }

    /// Kilometres per hour to metres per second.
    fn kmh_to_ms(kmh: f64) -> f64 {
        formula::kmh_to_ms(kmh)
    }

    /// Metres per second to kilometres per hour.
    fn ms_to_kmh(ms: f64) -> f64 {
        formula::ms_to_kmh(ms)
    }

    /// Revolutions per minute to hertz.
    fn rpm_to_hz(rpm: f64) -> f64 {
        formula::rpm_to_hz(rpm)
    }

    /// US gallons per minute to litres per second.
    fn gpm_to_lps(gpm: f64) -> f64 {
        formula::gpm_to_lps(gpm)
    }

    /// Kibibytes to gibibytes.
    fn kib_to_gib(kib: f64) -> f64 {
        formula::kib_to_gib(kib)
    }

    /// Dew point in degrees Celsius from air temperature in degrees Celsius and relative humidity
    /// in percent, by the Magnus formula with the coefficients of Sonntag (1990); null where the
    /// humidity is not above zero.
    fn dew_point(c: f64, humidity: f64) -> Option<f64> {
        if humidity > 0.0 {
            let gamma = (humidity / 100.0).ln() + 17.62 * c / (243.12 + c);
            Some(243.12 * gamma / (17.62 - gamma))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests;
