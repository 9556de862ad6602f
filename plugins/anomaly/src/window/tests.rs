//! A window answers as if its points were sorted anew each time.

use super::*;

fn sorted(window: &Window) -> Vec<f64> {
    let mut points = window.to_vec();
    points.sort_unstable_by(f64::total_cmp);
    points
}

fn middle(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[half]
    } else {
        f64::midpoint(sorted[half - 1], sorted[half])
    }
}

#[test]
fn a_sliding_window_stays_sorted() {
    for most in [1, 2, 4, 9, 60] {
        let mut window = Window::default();
        for row in 0..500_u32 {
            let value = f64::from(row * 7919 % 23) - f64::from(row % 3) * 11.5;
            window.push(value, most);
            let expected = sorted(&window);
            assert_eq!(expected.len(), most.min(row as usize + 1));
            assert_eq!(window.ends(), (expected[0], expected[expected.len() - 1]));
            assert_eq!(window.median(), middle(&expected));
            for center in [window.median(), -3.0, 1e9] {
                let mut distances: Vec<f64> = expected.iter().map(|x| (x - center).abs()).collect();
                distances.sort_unstable_by(f64::total_cmp);
                assert_eq!(window.median_distance(center), middle(&distances));
                for least in [0.0, 1.0, 7.5] {
                    assert!(!window.is_wide(center, least) || middle(&distances) >= least);
                }
            }
        }
    }
}

#[test]
fn ranks_are_ordered_as_the_points_and_come_back() {
    let points = [f64::MIN, -1.5, -1e-320, -0.0, 0.0, 1e-320, 2.0, f64::MAX];
    for pair in points.windows(2) {
        assert!(rank(pair[0]) < rank(pair[1]));
        assert_eq!(point(rank(pair[0])).to_bits(), pair[0].to_bits());
    }
}

#[test]
fn a_window_that_became_shorter_drops_what_is_over() {
    let mut window = Window::of((0..10).map(f64::from).collect());
    window.push(50.0, 4);
    assert_eq!(window.to_vec(), [7.0, 8.0, 9.0, 50.0]);
    assert_eq!(window.median(), 8.5);
    assert!(Window::default().is_empty() && Window::default().median() == 0.0);
}
