//! The rate is kept, and turns are; time is the test's own.

use super::*;

const BYTES_S: u64 = 100_000;
const STEP: Duration = Duration::from_millis(1);

/// Two streams that always have something to send, tried each millisecond; what each got in ten seconds.
fn ten_seconds(bucket: &Bucket, from: Instant, turns: &[usize]) -> Vec<u64> {
    let waiting: Vec<_> = turns
        .iter()
        .map(|turn| Waiting::begin(&bucket.waiting[*turn]))
        .collect();
    let mut taken = vec![0; turns.len()];
    for step in 0..10_000 {
        let now = from + STEP * step;
        for (turn, taken) in turns.iter().zip(&mut taken) {
            if bucket
                .try_take(now, Turn::After(*turn), bucket.piece())
                .is_none()
            {
                *taken += bucket.piece() as u64;
            }
        }
    }
    drop(waiting);
    taken
}

#[test]
fn the_rate_is_kept_and_live_rows_go_before_a_backlog() {
    let bucket = Bucket::new(BYTES_S);
    let begun = Instant::now();
    let kept = 10 * BYTES_S - 10_000..=10 * BYTES_S + 50_000;
    let alone = ten_seconds(&bucket, begun, &[1]);
    assert!(kept.contains(&alone[0]), "{alone:?}");
    // Live rows that never end leave nothing to a backlog, and blobs wait for both.
    let both = ten_seconds(&bucket, begun + Duration::from_secs(10), &[2, 1, 0]);
    assert!(kept.contains(&both[2]), "{both:?}");
    assert_eq!(both[..2], [0, 0]);
    let last = ten_seconds(&bucket, begun + Duration::from_secs(20), &[2]);
    assert!(kept.contains(&last[0]), "{last:?}");
}

#[test]
fn an_alarm_never_waits_and_is_paid_for_by_the_others() {
    let bucket = Bucket::new(BYTES_S);
    let begun = Instant::now();
    let five_seconds = 5 * BYTES_S as usize;
    assert_eq!(bucket.try_take(begun, Turn::AtOnce, five_seconds), None);
    assert_eq!(bucket.try_take(begun, Turn::AtOnce, 100), None);
    let wait = bucket.try_take(begun, Turn::After(0), 1).unwrap();
    assert!(wait > Duration::from_secs(4) && wait < Duration::from_secs(6));
    assert_eq!(
        bucket.try_take(begun + wait + STEP, Turn::After(0), 1),
        None
    );
    // However long nothing was sent, the bucket holds no more than it may.
    let later = begun + Duration::from_secs(3600);
    assert_eq!(
        bucket.try_take(later, Turn::After(0), BYTES_S as usize),
        None
    );
    assert!(bucket.try_take(later, Turn::After(0), 1).is_some());
}
