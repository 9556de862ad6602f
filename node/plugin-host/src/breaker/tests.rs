//! A plugin goes off after a run of faults, for longer each time, and one good call forgives all.

use std::time::Duration;

use super::{BACKOFF_MAX, Breaker, FAULTS_IN_A_ROW_MAX};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn goes_off_after_a_run_of_faults_and_comes_back() {
    let mut breaker = Breaker::default();
    for _ in 1..FAULTS_IN_A_ROW_MAX {
        breaker.fault(Duration::ZERO, "trap");
        assert!(breaker.check(Duration::ZERO).is_ok());
    }
    breaker.fault(Duration::ZERO, "the last trap");
    let off = breaker.check(SECOND / 2).unwrap_err();
    assert_eq!(off.remaining, SECOND / 2);
    assert_eq!(off.last_fault, "the last trap");
    assert!(breaker.check(SECOND).is_ok());
}

#[test]
fn each_time_off_is_twice_as_long_up_to_a_limit() {
    let mut breaker = Breaker::default();
    let mut now = Duration::ZERO;
    for _ in 1..FAULTS_IN_A_ROW_MAX {
        breaker.fault(now, "trap");
    }
    let mut last = Duration::ZERO;
    for _ in 0..20 {
        breaker.fault(now, "trap");
        let off = breaker.check(now).unwrap_err().remaining;
        assert!(off == last * 2 || off == BACKOFF_MAX || last.is_zero());
        last = off;
        now += off;
    }
    assert_eq!(last, BACKOFF_MAX);
}

#[test]
fn one_good_call_forgives_all() {
    let mut breaker = Breaker::default();
    for _ in 0..FAULTS_IN_A_ROW_MAX {
        breaker.fault(Duration::ZERO, "trap");
    }
    breaker.success();
    assert!(breaker.check(Duration::ZERO).is_ok());
    assert_eq!(breaker.last_fault().as_deref(), Some("trap"));
    breaker.fault(Duration::ZERO, "trap");
    assert!(breaker.check(Duration::ZERO).is_ok());
}
