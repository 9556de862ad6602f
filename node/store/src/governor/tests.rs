//! The rate holds over any stretch of time, whatever the pieces.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn no_more_is_written_than_the_rate_and_one_bucket(
        rate in 1_u64..100_000_000, pieces in prop::collection::vec((0_u64..50_000_000, 0_u64..3_000_000), 1..50),
    ) {
        let mut bucket = TokenBucket::new(rate);
        let start = Duration::from_secs(1000);
        let mut now = start;
        let mut written = 0_u64;
        for (bytes, pause_us) in pieces {
            now += Duration::from_micros(pause_us);
            now += bucket.owed(now);
            // Before a piece the debt is paid: what was written fits into the time and one bucket.
            let allowed = rate as f64 * ((now - start).as_secs_f64() + 1.0);
            prop_assert!(written as f64 <= allowed * 1.001 + 1.0, "{written} of {allowed}");
            bucket.spend(now, bytes);
            written += bytes;
        }
    }

    #[test]
    fn a_full_rate_is_reached(rate in 1_000_u64..100_000_000, pieces in 1_usize..200) {
        let mut bucket = TokenBucket::new(rate);
        let mut now = Duration::from_secs(5);
        let begun = now;
        let piece = rate / 10;
        for _ in 0..pieces {
            now += bucket.owed(now);
            bucket.spend(now, piece);
        }
        let longest = (piece * pieces as u64) as f64 / rate as f64;
        prop_assert!((now - begun).as_secs_f64() <= longest + 0.001);
    }
}

#[test]
fn reasons_come_and_go_one_by_one() {
    let governor = Governor::new(None);
    assert!(!governor.is_paused());
    for reason in PauseReason::ALL {
        governor.pause(reason);
        governor.pause(reason);
    }
    assert_eq!(governor.reasons(), PauseReason::ALL);
    for reason in PauseReason::ALL {
        assert!(governor.is_paused());
        governor.resume(reason);
    }
    assert_eq!(governor.reasons(), []);
    assert_eq!(governor.owed(Duration::from_secs(1)), Duration::ZERO);
}
