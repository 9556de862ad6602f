//! The bytes that a comparison takes: they are the same in every run, so they are asserted as they are.

use super::model::{Model, compare, lacking, readings};

const ROWS: u64 = 1_000_000;
const MACHINES: u64 = 500;

fn without(hole: impl Fn(u64) -> bool) -> Model {
    let rows = readings(ROWS, MACHINES).enumerate();
    Model::of(rows.filter(|(n, _)| !hole(*n as u64)).map(|(_, row)| row))
}

#[test]
fn two_ends_that_hold_the_same_know_it_from_a_few_bytes() {
    let (here, there) = (without(|_| false), without(|_| false));
    let (report, traffic) = compare(&here, &there, false).unwrap();
    println!("equal: {traffic:?}, {} questions", report.questions);
    assert!(report.tables.iter().all(|table| table.equal()));
    assert_eq!(report.questions, 2); // the second tells the outcome
    assert!(traffic.finding <= 400, "{traffic:?}");
}

#[test]
fn a_hole_of_a_hundred_thousand_rows_is_found_with_four_kilobytes() {
    let whole = without(|_| false);
    let holed = without(|n| (400_123..500_123).contains(&n));
    for (here, there) in [(&whole, &holed), (&holed, &whole)] {
        let (report, traffic) = compare(here, there, false).unwrap();
        println!("hole: {traffic:?}, {} questions", report.questions);
        assert_eq!(report.outcome.differences, 100_000);
        let day = &report.tables[0].days[0];
        assert_eq!(day.missing_here + day.missing_there, 100_000);
        assert!(traffic.finding <= 4096, "{traffic:?}");
        assert!(traffic.finding + traffic.judging <= 5120, "{traffic:?}");
    }
}

#[test]
fn a_thousand_scattered_holes_are_found_with_sixty_kilobytes() {
    let whole = without(|_| false);
    let holed = without(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 1000 == 7);
    let missing = lacking(&whole, &holed).len() as u64;
    assert!((900..1100).contains(&missing), "{missing}");
    for (here, there) in [(&whole, &holed), (&holed, &whole)] {
        let (report, traffic) = compare(here, there, false).unwrap();
        println!(
            "{missing} scattered: {traffic:?}, {} questions",
            report.questions
        );
        assert_eq!(report.outcome.differences, missing);
        assert!(traffic.finding <= 32 * 1024, "{traffic:?}");
        assert!(
            traffic.finding + traffic.judging <= 64 * 1024,
            "{traffic:?}"
        );
    }
}

#[test]
fn days_that_do_not_fit_into_memory_are_compared_part_by_part() {
    let whole = without(|_| false);
    let mut holed = without(|n| n % 50_000 == 77);
    holed.items_max = 20_000;
    let (report, traffic) = compare(&holed, &whole, false).unwrap();
    println!("in parts: {traffic:?}, {} questions", report.questions);
    assert_eq!(report.outcome.differences, 20);
}
