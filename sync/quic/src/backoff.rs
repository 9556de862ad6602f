//! How long to wait before the next attempt: doubling, with jitter so that ten thousand edges do not
//! come back at once, and never giving up. While rows wait it is tried more often at first, since most outages are
//! short; what a long one costs in bytes is bounded by what it is without them.

use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

/// The waits between attempts.
#[derive(Clone, Copy, Debug)]
pub struct BackoffOptions {
    /// The first wait, before jitter.
    pub first: Duration,
    /// The longest wait.
    pub cap: Duration,
    /// The longest wait while rows wait for the cloud …
    pub eager_cap: Duration,
    /// … as long as the outage is no older than this.
    pub eager_for: Duration,
    /// A new alarm ends a wait once it has lasted so long; twice as long with each alarm that did in the same
    /// outage.
    pub alarm_first: Duration,
}

impl Default for BackoffOptions {
    fn default() -> Self {
        BackoffOptions {
            first: Duration::from_millis(200),
            cap: Duration::from_secs(30),
            eager_cap: Duration::from_secs(8),
            eager_for: Duration::from_secs(900),
            alarm_first: Duration::from_secs(1),
        }
    }
}

/// The state of waiting.
#[derive(Debug)]
pub(crate) struct Backoff {
    options: BackoffOptions,
    failures: u32,
    alarms: u32,
    busy: u32,
}

/// A cloud that takes no more edges at the moment is left alone for this long at first …
const BUSY_FIRST: Duration = Duration::from_millis(1500);
/// … and for so many times as long later: it is there, and should not stand idle because everybody waits.
const BUSY_DOUBLINGS: u32 = 2;

/// One wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub(crate) all: Duration,
    /// A new alarm ends it after so long.
    pub(crate) for_alarm: Duration,
}

impl Backoff {
    pub(crate) fn new(options: BackoffOptions) -> Self {
        Backoff {
            options,
            failures: 0,
            alarms: 0,
            busy: 0,
        }
    }

    /// It worked: start over.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
        self.alarms = 0;
        self.busy = 0;
    }

    /// Whether attempts should be short and often: rows wait, and the outage is young.
    pub(crate) fn is_eager(&self, rows_wait: bool, outage: Duration) -> bool {
        rows_wait && outage <= self.options.eager_for
    }

    /// The next wait: between half and all of the doubled one, but not less than was asked for, and up to half more.
    pub(crate) fn next_wait(&mut self, eager: bool, asked_for: Duration) -> Wait {
        let part = part_by_chance();
        let cap = if eager {
            self.options.cap.min(self.options.eager_cap)
        } else {
            self.options.cap
        };
        let all = doubled(self.options.first, self.failures)
            .min(cap)
            .mul_f64(0.5 + part / 2.0)
            .max(asked_for.mul_f64(1.0 + part / 2.0));
        self.failures = self.failures.saturating_add(1);
        Wait {
            all,
            for_alarm: doubled(self.options.alarm_first, self.alarms).min(all),
        }
    }

    /// The next wait for a cloud that takes no more edges at the moment: from what it grows to, up to as much again. It is
    /// no failure, and alarms wait like everybody.
    pub(crate) fn busy_wait(&mut self) -> Wait {
        let all = doubled(BUSY_FIRST, self.busy).mul_f64(1.0 + part_by_chance());
        self.busy = (self.busy + 1).min(BUSY_DOUBLINGS);
        Wait {
            all,
            for_alarm: all,
        }
    }

    /// An alarm ended a wait.
    pub(crate) fn alarmed(&mut self) {
        self.alarms = self.alarms.saturating_add(1);
    }
}

/// A pause of about that length: from three quarters of it to five.
pub(crate) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.75 + part_by_chance() / 2.0)
}

/// From 0 to 1.
fn part_by_chance() -> f64 {
    let mut bytes = [0; 2];
    // Without randomness waits are simply the longest.
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX),
        Err(_) => 1.0,
    }
}

fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1_u32.checked_shl(times.min(20)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    //! Waits double up to the cap and are never less than half of it; alarms shorten them less and less.
    use super::*;

    const NOTHING: Duration = Duration::ZERO;

    const OPTIONS: BackoffOptions = BackoffOptions {
        first: Duration::from_millis(100),
        cap: Duration::from_secs(2),
        eager_cap: Duration::from_millis(700),
        eager_for: Duration::from_secs(60),
        alarm_first: Duration::from_millis(50),
    };

    #[test]
    fn waits_double_up_to_the_cap() {
        for (eager, expected) in [
            (false, [100, 200, 400, 800, 1600, 2000, 2000]),
            (true, [100, 200, 400, 700, 700, 700, 700]),
        ] {
            let mut backoff = Backoff::new(OPTIONS);
            for expected_ms in expected {
                let wait = backoff.next_wait(eager, NOTHING).all;
                let whole = Duration::from_millis(expected_ms);
                assert!(wait <= whole && wait >= whole / 2, "{wait:?} for {whole:?}");
            }
            for _ in 0..100 {
                assert!(backoff.next_wait(eager, NOTHING).all <= OPTIONS.cap);
            }
            backoff.reset();
            assert!(backoff.next_wait(eager, NOTHING).all <= OPTIONS.first);
        }
    }

    #[test]
    fn what_the_cloud_asks_for_is_waited_and_a_little_more() {
        let mut backoff = Backoff::new(OPTIONS);
        for _ in 0..100 {
            let asked = Duration::from_secs(10);
            let wait = backoff.next_wait(true, asked).all;
            assert!(wait >= asked && wait <= asked * 3 / 2, "{wait:?}");
        }
    }

    #[test]
    fn a_busy_cloud_is_asked_again_before_it_stands_idle() {
        let mut backoff = Backoff::new(BackoffOptions::default());
        for doublings in [0, 1, 2, 2, 2, 2] {
            let least = BUSY_FIRST * 2_u32.pow(doublings);
            let wait = backoff.busy_wait();
            assert!(wait.all >= least && wait.all <= least * 2, "{wait:?}");
            assert_eq!(wait.all, wait.for_alarm);
        }
        let first = BackoffOptions::default().first;
        assert!(backoff.next_wait(false, NOTHING).all <= first, "no failure");
    }

    #[test]
    fn eager_only_while_rows_wait_and_the_outage_is_young() {
        let backoff = Backoff::new(OPTIONS);
        assert!(backoff.is_eager(true, Duration::from_secs(60)));
        assert!(!backoff.is_eager(true, Duration::from_secs(61)));
        assert!(!backoff.is_eager(false, Duration::ZERO));
    }

    #[test]
    fn an_alarm_each_second_of_a_long_outage_does_not_multiply_the_attempts() {
        let mut backoff = Backoff::new(BackoffOptions::default());
        let mut waited = Duration::ZERO;
        let mut attempts = 0;
        while waited < Duration::from_secs(86_400) {
            waited += backoff.next_wait(false, NOTHING).for_alarm;
            backoff.alarmed();
            attempts += 1;
        }
        // Without alarms: from half the cap to the cap.
        assert!(
            (86_400 / 30..=86_400 / 15 + 10).contains(&attempts),
            "{attempts}"
        );
        backoff.reset();
        assert!(backoff.next_wait(false, NOTHING).for_alarm <= Duration::from_secs(1));
    }
}
