//! Nanoseconds a row of each function, outside of the sandbox.

use std::hint::black_box;
use std::time::Instant;

const ROWS: usize = 1_000_000;

fn time<R>(name: &str, row: impl Fn(f64, f64) -> R) {
    let begun = Instant::now();
    for index in 0..ROWS {
        let (lat, lon) = (
            52.0 + (index % 997) as f64 / 997.0,
            13.0 + (index % 1009) as f64 / 1009.0,
        );
        drop(black_box(row(lat, lon)));
    }
    let each = begun.elapsed().as_nanos() as f64 / ROWS as f64;
    println!("{name}: {each:.1} ns");
}

/// A ring of so many corners around a town.
fn ring(corners: usize) -> String {
    let corner = |number: usize| {
        let angle = number as f64 / corners as f64 * std::f64::consts::TAU;
        format!("{} {}", 13.5 + 0.4 * angle.cos(), 52.5 + 0.4 * angle.sin())
    };
    let corners: Vec<String> = (0..corners).chain([0]).map(corner).collect();
    format!("POLYGON (({}))", corners.join(", "))
}

fn main() {
    time("geo_distance", |lat, lon| {
        geofence::geo_distance(lat, lon, 52.5, 13.4)
    });
    time("geo_bearing", |lat, lon| {
        geofence::geo_bearing(lat, lon, 52.5, 13.4)
    });
    time("geo_within_circle", |lat, lon| {
        geofence::geo_within_circle(lat, lon, 52.5, 13.4, 20_000.0)
    });
    for corners in [4, 100, 1000] {
        let wkt = ring(corners);
        time(
            &format!("geo_within_polygon, {corners} corners"),
            |lat, lon| geofence::geo_within_polygon(lat, lon, &wkt),
        );
    }
}
