//! Distances and directions on a sphere.

/// The Earth's mean radius in metres (IUGG).
const RADIUS: f64 = 6_371_008.8;

/// Latitude and longitude in radians.
pub type Position = (f64, f64);

/// A position, if it can be one.
pub fn position(lat: f64, lon: f64) -> Option<Position> {
    (lat.abs() <= 90.0 && lon.abs() <= 360.0).then(|| (lat.to_radians(), lon.to_radians()))
}

/// Metres between two positions.
pub fn distance((lat1, lon1): Position, (lat2, lon2): Position) -> Option<f64> {
    let half = |angle: f64| (angle / 2.0).sin().powi(2);
    let chord = half(lat2 - lat1) + lat1.cos() * lat2.cos() * half(lon2 - lon1);
    // Rounding may take opposite ends of the globe a little beyond.
    Some(2.0 * RADIUS * chord.clamp(0.0, 1.0).sqrt().asin())
}

/// Degrees from north by east; none from a position to itself.
pub fn bearing((lat1, lon1): Position, (lat2, lon2): Position) -> Option<f64> {
    let east = (lon2 - lon1).sin() * lat2.cos();
    let north = lat1.cos() * lat2.sin() - lat1.sin() * lat2.cos() * (lon2 - lon1).cos();
    if east == 0.0 && north == 0.0 {
        return None;
    }
    let degrees = east.atan2(north).to_degrees();
    let turned = if degrees < 0.0 {
        degrees + 360.0
    } else {
        degrees
    };
    // A direction a hair west of north is rounded up to a full turn.
    Some(if turned >= 360.0 { 0.0 } else { turned })
}
