//! The circuit breaker: a plugin that faults several times in a row is switched off for a while,
//! each time for longer. It is told the time and keeps no clock of its own.

use std::time::Duration;

/// Faults in a row after which a plugin is switched off.
pub(crate) const FAULTS_IN_A_ROW_MAX: u32 = 5;
/// How long the first time lasts; each further one lasts twice as long.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// How long a time may last at most.
const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// Counts faults and says whether calls may go through. `now` is time since any fixed start.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    in_a_row: u32,
    times_off: u32,
    off_until: Option<Duration>,
    last_fault: String,
}

/// A plugin that is off: for how long yet, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Off {
    pub(crate) remaining: Duration,
    pub(crate) faults: u32,
    pub(crate) last_fault: String,
}

impl Breaker {
    /// Whether a call may go through now. When the time off is over, calls are tried again.
    pub(crate) fn check(&self, now: Duration) -> Result<(), Off> {
        match self.off_until {
            Some(until) if now < until => Err(Off {
                remaining: until - now,
                faults: self.in_a_row,
                last_fault: self.last_fault.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// What went wrong last, however long ago.
    pub(crate) fn last_fault(&self) -> Option<String> {
        (!self.last_fault.is_empty()).then(|| self.last_fault.clone())
    }

    /// A call went well: whatever happened before is forgiven, though not forgotten.
    pub(crate) fn success(&mut self) {
        if self.in_a_row != 0 {
            *self = Breaker {
                last_fault: std::mem::take(&mut self.last_fault),
                ..Breaker::default()
            };
        }
    }

    /// A call faulted.
    pub(crate) fn fault(&mut self, now: Duration, message: &str) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        message.clone_into(&mut self.last_fault);
        if self.in_a_row >= FAULTS_IN_A_ROW_MAX && self.check(now).is_ok() {
            let backoff = BACKOFF_FIRST
                .saturating_mul(2u32.saturating_pow(self.times_off))
                .min(BACKOFF_MAX);
            self.times_off = self.times_off.saturating_add(1);
            self.off_until = Some(now + backoff);
        }
    }
}

#[cfg(test)]
mod tests;
