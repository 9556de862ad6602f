//! Known distances, directions and fences; text that is no fence is refused in words.

use super::*;

const BERLIN: (f64, f64) = (52.520_008, 13.404_954);
const PARIS: (f64, f64) = (48.856_613, 2.352_222);

fn near(a: f64, b: f64, by: f64) {
    assert!((a - b).abs() <= by, "{a} is not {b}");
}

fn distance(a: (f64, f64), b: (f64, f64)) -> f64 {
    geo_distance(a.0, a.1, b.0, b.1).unwrap()
}

fn within(lat: f64, lon: f64, wkt: &str) -> bool {
    geo_within_polygon(lat, lon, wkt).unwrap().unwrap()
}

#[test]
fn distances_are_those_of_the_sphere() {
    near(distance(BERLIN, PARIS), 877_464.0, 2000.0);
    assert_eq!(distance(BERLIN, BERLIN), 0.0);
    near(distance(BERLIN, PARIS), distance(PARIS, BERLIN), 1e-6);
    // A degree of a great circle, half of the globe, and across the 180th meridian.
    let degree = 6_371_008.8_f64.to_radians();
    near(distance((0.0, 0.0), (1.0, 0.0)), degree, 1e-6);
    near(distance((0.0, 0.0), (0.0, 180.0)), 180.0 * degree, 1e-3);
    near(distance((0.0, 179.5), (0.0, -179.5)), degree, 1e-6);
    near(distance((0.0, 0.0), (0.0, 1e-7)), degree * 1e-7, 1e-9);
}

#[test]
fn bearings_turn_from_north_by_east() {
    let bearing = |b: (f64, f64)| geo_bearing(0.0, 0.0, b.0, b.1).unwrap();
    near(bearing((1.0, 0.0)), 0.0, 1e-9);
    near(bearing((0.0, 1.0)), 90.0, 1e-9);
    near(bearing((-1.0, 0.0)), 180.0, 1e-9);
    near(bearing((0.0, -1.0)), 270.0, 1e-9);
    near(
        geo_bearing(52.52, 13.4, 48.8566, 2.3522).unwrap(),
        246.6,
        0.3,
    );
    assert_eq!(geo_bearing(0.0, 0.0, 0.0, 0.0), None);
    for step in 0..3600 {
        let angle = f64::from(step).to_radians() / 10.0;
        let found = bearing((angle.cos() * 1e-9, angle.sin() * 1e-9));
        assert!((0.0..360.0).contains(&found), "{found}");
    }
}

#[test]
fn a_circle_holds_its_edge() {
    let edge = distance(BERLIN, PARIS);
    let within = |metres| geo_within_circle(BERLIN.0, BERLIN.1, PARIS.0, PARIS.1, metres);
    assert_eq!(within(edge), Some(true));
    assert_eq!(within(edge - 0.01), Some(false));
    assert_eq!(within(-1.0), Some(false));
}

#[test]
fn what_is_no_position_is_null() {
    for (lat, lon) in [
        (91.0, 0.0),
        (0.0, 361.0),
        (f64::NAN, 0.0),
        (0.0, f64::INFINITY),
    ] {
        assert_eq!(geo_distance(lat, lon, 0.0, 0.0), None);
        assert_eq!(geo_distance(0.0, 0.0, lat, lon), None);
        assert_eq!(geo_bearing(lat, lon, 0.0, 0.0), None);
        assert_eq!(geo_within_circle(lat, lon, 0.0, 0.0, 1.0), None);
        let square = "POLYGON((0 0,4 0,4 4,0 4,0 0))";
        assert_eq!(geo_within_polygon(lat, lon, square), Ok(None));
    }
}

#[test]
fn a_fence_has_edges_corners_and_holes() {
    let square = "POLYGON ((0 0, 10 0, 10 10, 0 10, 0 0), (4 4, 6 4, 6 6, 4 6, 4 4))";
    for (lat, lon, expected) in [
        (1.0, 1.0, true),
        (5.0, 5.0, false),
        (4.0, 5.0, true),
        (0.0, 0.0, true),
        (10.0, 10.0, true),
        (10.0, 5.0, true),
        (5.0, 10.0, true),
        (5.0, 10.000_001, false),
        (-0.000_001, 5.0, false),
        (4.0, 1.0, true),
        (6.0, 9.0, true),
    ] {
        assert_eq!(within(lat, lon, square), expected, "{lat} {lon}");
    }
    // The rings' direction does not matter; x comes first in the text.
    let turned = "polygon((0 0,0 10,20 10,20 0,0 0))";
    assert!(within(9.0, 19.0, turned) && !within(19.0, 9.0, turned));
    let two = "MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)), ((5 5, 6 5, 6 6, 5 5), (5.5 5.1, 5.6 5.1, 5.6 5.2, 5.5 5.1)))";
    assert!(within(0.5, 0.6, two) && within(5.5, 5.9, two) && !within(3.0, 3.0, two));
    assert!(!within(5.11, 5.59, two));
}

/// Against the sum of the angles that the corners make around the point, which is a full turn inside alone.
#[test]
fn rays_agree_with_winding() {
    let corners: Vec<(f64, f64)> = (0..17)
        .map(|corner| {
            let angle = f64::from(corner) / 17.0 * std::f64::consts::TAU;
            let radius = if corner % 2 == 0 { 10.0 } else { 4.0 };
            (radius * angle.cos(), radius * angle.sin())
        })
        .collect();
    let text = |point: &(f64, f64)| format!("{:?} {:?}", point.0, point.1);
    let mut texts: Vec<String> = corners.iter().map(text).collect();
    texts.push(texts[0].clone());
    let wkt = format!("POLYGON(({}))", texts.join(", "));
    let mut inside = 0;
    for step in 0..10_000 {
        let (x, y) = (
            f64::from(step % 100) * 0.23 - 11.4,
            f64::from(step / 100) * 0.23 - 11.4,
        );
        let angle = |point: &(f64, f64)| (point.1 - y).atan2(point.0 - x);
        let turns: f64 = (0..corners.len())
            .map(|corner| {
                let turn = angle(&corners[(corner + 1) % corners.len()]) - angle(&corners[corner]);
                turn - std::f64::consts::TAU * (turn / std::f64::consts::TAU).round()
            })
            .sum();
        assert_eq!(within(y, x, &wkt), turns.abs() > 3.0, "{x} {y}");
        inside += usize::from(turns.abs() > 3.0);
    }
    assert!(inside > 1000);
}

#[test]
fn text_that_is_no_fence_is_refused_in_words() {
    for (wkt, word) in [
        ("", "POLYGON"),
        ("POINT (1 2)", "POLYGON"),
        ("POLYGON", "'('"),
        ("POLYGON EMPTY", "'('"),
        ("POLYGON ((0 0, 1 0, 1 1))", "four corners"),
        ("POLYGON ((0 0, 1 0, 1 1, 2 2))", "end at its first"),
        ("POLYGON ((0 0, 1 0, 1 1, 0 x))", "a latitude"),
        ("POLYGON ((0 0 5, 1 0 5, 1 1 5, 0 0 5))", "')'"),
        ("POLYGON ((0 0, 1 0, 1 1, 0 0)", "')'"),
        ("POLYGON ((0 0, 1 0, 1 1, 0 0)) trailing", "the end"),
        ("POLYGON ((0 0, 1e999 0, 1 1, 0 0))", "a longitude"),
        ("POLYGON ((ä", "a longitude"),
    ] {
        let error = geo_within_polygon(0.0, 0.0, wkt).unwrap_err();
        assert!(error.contains(word), "{wkt}: {error}");
    }
}

#[test]
fn many_fences_are_told_apart() {
    for round in 0..3 {
        for fence in 0..200 {
            let wkt = format!(
                "POLYGON(({fence} 0,{0} 0,{0} 1,{fence} 1,{fence} 0))",
                fence + 1
            );
            assert!(within(0.5, f64::from(fence) + 0.5, &wkt), "{round}");
            assert!(!within(0.5, f64::from(fence) - 0.5, &wkt));
        }
    }
}
