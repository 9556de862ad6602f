//! Telling the cloud how the plugins do: at once when something happened to one, otherwise only now and then,
//! the more rarely the longer nothing happened, because each frame costs bytes on a metered link.

use std::time::Duration;

use super::{EdgeOutput, Outputs, UplinkOptions};
use crate::call::EdgeCall;
use crate::frame::{Frame, Health};

#[derive(Debug)]
pub(super) struct Watching {
    options: UplinkOptions,
    told: Option<Health>,
    /// When is looked next; `None` where the cloud does not know of such frames.
    look_at: Option<Duration>,
    /// When it may be told that nothing but calls happened.
    tell_at: Duration,
    /// What lies between two of those.
    tell_every: Duration,
    calling: bool,
    /// Something happened while the host was asked.
    again: bool,
}

impl Watching {
    pub(super) fn new(options: UplinkOptions) -> Self {
        Watching {
            options,
            told: None,
            look_at: None,
            tell_at: Duration::ZERO,
            tell_every: options.health_look,
            calling: false,
            again: false,
        }
    }

    /// The handshake is done, or definitions were adopted: what is in force is to be told now.
    pub(super) fn begin(&mut self, now: Duration, out: &mut Outputs) {
        self.tell_every = self.options.health_look;
        self.tell_at = now;
        self.look(now, out);
    }

    pub(super) fn next_timeout(&self) -> Option<Duration> {
        self.look_at.filter(|_| !self.calling)
    }

    pub(super) fn handle_timeout(&mut self, now: Duration, out: &mut Outputs) {
        if self.look_at.is_some_and(|at| now >= at) && !self.calling {
            self.look(now, out);
        }
    }

    /// The host answered.
    pub(super) fn looked(&mut self, now: Duration, health: Health, out: &mut Outputs) {
        self.calling = false;
        let news = self
            .told
            .as_ref()
            .is_none_or(|told| health.is_news_after(told));
        let worth_telling = self.told.as_ref() != Some(&health);
        if news || (worth_telling && now >= self.tell_at) {
            self.tell_every = if news {
                self.options.health_look
            } else {
                (self.tell_every * 2).min(self.options.health_most)
            };
            self.tell_at = now + self.tell_every;
            out.push_back(EdgeOutput::Send(Frame::Health(health.clone())));
            self.told = Some(health);
        }
        if std::mem::take(&mut self.again) {
            self.look(now, out);
        }
    }

    fn look(&mut self, now: Duration, out: &mut Outputs) {
        self.look_at = Some(now + self.options.health_look);
        if self.calling {
            self.again = true;
            return;
        }
        self.calling = true;
        out.push_back(EdgeOutput::Call(EdgeCall::Health));
    }
}

#[cfg(test)]
mod tests;
