//! Which of several ways to the cloud is taken: one after the other they set out, the favoured one first, each a
//! little later than the one before, and the first to arrive wins. Decides by what it is told, without a clock.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use activestore_types::Error;

use super::Reach;
use crate::link::Transport;

/// What is not favoured waits for the favoured one for so many times what it took itself …
const GRACE_FACTOR: u32 = 2;
/// … but never for less than this …
const GRACE_MIN: Duration = Duration::from_millis(250);
/// … and never for longer than this.
const GRACE_MAX: Duration = Duration::from_secs(3);

/// How far apart attempts set out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// From the favoured transport to the other.
    pub(super) head_start: Duration,
    /// From one address to the next.
    pub(super) stagger: Duration,
}

/// One attempt of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    /// When it sets out, from the round's beginning.
    pub(super) after: Duration,
    pub(super) address: SocketAddr,
    pub(super) by: Transport,
}

/// Why an attempt did not arrive.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nobody answered: there may be no way there.
    Unanswered(Error),
    /// Somebody answered, and other ways to the same address would not help.
    Refused(Error),
    /// The cloud takes no more edges at the moment.
    Busy(Error),
    /// Anything else.
    Broken(Error),
}

/// What is to be done now.
#[derive(Debug)]
pub(super) enum Step<L> {
    Start(Attempt),
    /// Until something is told, or until that moment.
    Wait(Option<Duration>),
    Won(Attempt, L),
    /// Nothing arrived, and nothing is under way any more.
    Lost(Error),
}

/// A round of attempts; `L` is what arrives.
pub(super) struct Race<L> {
    favoured: Transport,
    reach: Reach,
    planned: VecDeque<Attempt>,
    running: Vec<Attempt>,
    won: Option<(Attempt, L)>,
    /// What arrived first, though not favoured, and how long the favoured one is waited for.
    second: Option<(Attempt, L, Duration)>,
    refused: Option<Error>,
    broken: Option<Error>,
    unanswered: Option<Error>,
}

impl<L> Race<L> {
    pub(super) fn new(
        addresses: &[SocketAddr],
        reach: Reach,
        favoured: Transport,
        pace: Pace,
    ) -> Race<L> {
        let ways: &[Transport] = match (reach, favoured) {
            (Reach::Only(Transport::Quic), _) => &[Transport::Quic],
            (Reach::Only(Transport::Tcp), _) => &[Transport::Tcp],
            (Reach::Auto, Transport::Quic) => &[Transport::Quic, Transport::Tcp],
            (Reach::Auto, Transport::Tcp) => &[Transport::Tcp, Transport::Quic],
        };
        let mut planned = Vec::new();
        let mut behind = Duration::ZERO;
        for by in ways {
            let mut after = behind;
            for address in addresses {
                planned.push(Attempt {
                    after,
                    address: *address,
                    by: *by,
                });
                after += pace.stagger;
            }
            behind += pace.head_start;
        }
        planned.sort_by_key(|attempt| attempt.after);
        Race {
            favoured: ways.first().copied().unwrap_or(favoured),
            reach,
            planned: planned.into(),
            running: Vec::new(),
            won: None,
            second: None,
            refused: None,
            broken: None,
            unanswered: None,
        }
    }

    /// What is to be done at that moment of the round; it is asked again until the round is over.
    pub(super) fn next(&mut self, now: Duration) -> Step<L> {
        if let Some((attempt, link)) = self.won.take() {
            return Step::Won(attempt, link);
        }
        let favoured = |one: &Attempt| one.by == self.favoured;
        let hopeless = !self.running.iter().any(favoured) && !self.planned.iter().any(favoured);
        if let Some((attempt, link, _)) = self
            .second
            .take_if(|(_, _, until)| hopeless || *until <= now)
        {
            return Step::Won(attempt, link);
        }
        // Where nothing is under way there is nothing to wait for.
        let due = |one: &Attempt| one.after <= now || self.running.is_empty();
        match self.planned.front() {
            Some(one) if due(one) => {
                let attempt = *one;
                self.planned.pop_front();
                self.running.push(attempt);
                Step::Start(attempt)
            }
            Some(one) => Step::Wait(Some(one.after)),
            None => match &self.second {
                Some((_, _, until)) => Step::Wait(Some(*until)),
                None if self.running.is_empty() => Step::Lost(self.why()),
                None => Step::Wait(None),
            },
        }
    }

    /// An attempt arrived, which took so long. QUIC, and what is favoured, win at once. TCP where QUIC is favoured proves that
    /// the network is there, perhaps only since a moment ago; so QUIC sets out anew, since its own next packet may be
    /// seconds away, and gets a little time. Returns what is not needed any more.
    pub(super) fn arrived(
        &mut self,
        now: Duration,
        attempt: Attempt,
        took: Duration,
        link: L,
    ) -> Option<L> {
        self.running.retain(|one| *one != attempt);
        if attempt.by == self.favoured || attempt.by == Transport::Quic {
            return match self.won {
                None => {
                    self.won = Some((attempt, link));
                    self.second.take().map(|(_, second, _)| second)
                }
                Some(_) => Some(link),
            };
        }
        if self.second.is_some() || self.won.is_some() {
            return Some(link);
        }
        self.planned.clear();
        if self.refused.is_some() || self.reach != Reach::Auto {
            self.won = Some((attempt, link));
            return None;
        }
        self.planned.push_back(Attempt {
            after: now,
            by: self.favoured,
            ..attempt
        });
        let grace = (took * GRACE_FACTOR).clamp(GRACE_MIN, GRACE_MAX);
        self.second = Some((attempt, link, now + grace));
        None
    }

    /// An attempt did not arrive.
    pub(super) fn failed(&mut self, attempt: Attempt, failure: Failure) {
        self.running.retain(|one| *one != attempt);
        match failure {
            Failure::Unanswered(error) => {
                self.unanswered.get_or_insert(error);
            }
            Failure::Broken(error) => {
                self.broken.get_or_insert(error);
            }
            Failure::Refused(error) | Failure::Busy(error) => {
                self.planned.retain(|one| one.address != attempt.address);
                self.refused.get_or_insert(error);
            }
        }
    }

    /// Why nothing arrived: what somebody said tells more than silence.
    fn why(&mut self) -> Error {
        match (
            self.refused.take(),
            self.unanswered.take(),
            self.broken.take(),
        ) {
            (Some(error), _, _) | (None, Some(error), None) | (None, None, Some(error)) => error,
            (None, Some(silence), Some(broken)) => {
                silence.context(format!("neither by UDP nor over TCP ({broken})"))
            }
            (None, None, None) => Error::not_found("the name has no address"),
        }
    }
}

#[cfg(test)]
mod tests;
