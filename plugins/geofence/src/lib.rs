//! Distances, directions and fences on the globe, as SQL functions over degrees of latitude and longitude.
//! The globe is a sphere of 6,371,008.8 m: distances are off by 0.5 % at most. A position that cannot be
//! (a latitude beyond 90°, a longitude beyond 360°, not a number) gives null.

mod polygon;
mod sphere;

use std::cell::RefCell;

use polygon::Fences;

thread_local! {
    static FENCES: RefCell<Fences> = RefCell::default();
}

activestore_plugin::scalar! {
    /// Metres along the surface, by the haversine formula.
    fn geo_distance(lat1: f64, lon1: f64, lat2: f64, lon2: f64) -> Option<f64> {
        sphere::distance(sphere::position(lat1, lon1)?, sphere::position(lat2, lon2)?)
    }

    /// The direction in which the shortest way from the first position to the second begins: degrees from
    /// north by east, 0 to 360; null where the two are the same.
    fn geo_bearing(lat1: f64, lon1: f64, lat2: f64, lon2: f64) -> Option<f64> {
        sphere::bearing(sphere::position(lat1, lon1)?, sphere::position(lat2, lon2)?)
    }

    /// Whether a position is within so many metres of a centre, the edge included.
    fn geo_within_circle(
        lat: f64,
        lon: f64,
        center_lat: f64,
        center_lon: f64,
        metres: f64,
    ) -> Option<bool> {
        let center = sphere::position(center_lat, center_lon)?;
        Some(sphere::distance(sphere::position(lat, lon)?, center)? <= metres)
    }

    /// Whether a position is within a fence: `POLYGON ((lon lat, …), (hole), …)` or `MULTIPOLYGON (…)` as
    /// well-known text, edges included. Sides are straight in degrees; a fence across the 180th meridian has
    /// to be cut in two there.
    fn geo_within_polygon(lat: f64, lon: f64, wkt: &str) -> Result<Option<bool>, String> {
        FENCES.with_borrow_mut(|fences| {
            let fence = fences.of(wkt)?;
            Ok(sphere::position(lat, lon).map(|_| fence.contains(lon, lat)))
        })
    }
}

#[cfg(test)]
mod tests;
