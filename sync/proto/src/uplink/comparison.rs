//! The edge's comparison with its cloud: drives [`Comparing`], one question at a time, when somebody asks or the
//! clock does. What of it is lost with the connection is asked again from the beginning.

use std::time::Duration;

use activestore_types::{Error, Result};

use super::{EdgeEvent, EdgeOutput, Outputs};
use crate::call::EdgeCall;
use crate::frame::Frame;
use crate::reconcile::{Answer, Comparing, Step, Wish};

/// How long an answer may take: the cloud may have to read a whole table for it.
const ANSWER_WITHIN: Duration = Duration::from_secs(600);
/// How often the host is asked whether a comparison by the clock is due.
const DUE_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug)]
enum Waits {
    /// The host works on the next step.
    Host,
    /// The cloud was asked that.
    Answer { id: u64, until: Duration },
    /// For rows that are on their way.
    Pause { until: Duration },
}

#[derive(Debug)]
struct Job {
    /// Who asked; `None` for the clock.
    asker: Option<u64>,
    /// Whether the clock began it.
    scheduled: bool,
    /// `None` while the host has it.
    comparing: Option<Box<Comparing>>,
    waits: Waits,
}

/// The comparison of one connection.
#[derive(Debug)]
pub(super) struct Comparison {
    job: Option<Job>,
    questions: u64,
    /// When the host is asked next whether one is due; `None` before the handshake and where the other end
    /// cannot compare.
    due_at: Option<Duration>,
}

impl Comparison {
    pub(super) fn new() -> Self {
        Comparison {
            job: None,
            questions: 0,
            due_at: None,
        }
    }

    /// The handshake is done with an end that can compare.
    pub(super) fn begin(&mut self, now: Duration) {
        self.due_at = Some(now + DUE_EVERY);
    }

    /// Whether the other end can compare rows.
    pub(super) fn can(&self) -> bool {
        self.due_at.is_some()
    }

    /// Somebody asks. One that the clock began serves as well, where nothing is to be mended.
    pub(super) fn ask(&mut self, asker: u64, repair: bool, out: &mut Outputs) {
        match &mut self.job {
            Some(job) if job.asker.is_none() && !repair => {
                job.asker = Some(asker);
                return;
            }
            Some(_) => {
                let busy = Error::conflict("a comparison is under way")
                    .with_hint("try again when it is done, see activestore sync status");
                out.push_back(EdgeOutput::Event(EdgeEvent::Compared {
                    id: asker,
                    result: Err(busy),
                }));
                return;
            }
            None => {}
        }
        let wish = Wish {
            repair,
            scheduled: false,
        };
        self.start(Some(asker), wish, out);
    }

    fn start(&mut self, asker: Option<u64>, wish: Wish, out: &mut Outputs) {
        self.job = Some(Job {
            asker,
            scheduled: wish.scheduled,
            comparing: None,
            waits: Waits::Host,
        });
        self.questions += 1;
        call(Box::new(Comparing::new(wish)), None, out);
    }

    pub(super) fn next_timeout(&self) -> Option<Duration> {
        let waits = self.job.as_ref().map(|job| &job.waits);
        match waits {
            Some(Waits::Answer { until, .. } | Waits::Pause { until }) => Some(*until),
            Some(Waits::Host) => None,
            None => self.due_at,
        }
    }

    /// Time has passed; with `idle`, nothing waits to be shipped.
    pub(super) fn handle_timeout(&mut self, now: Duration, idle: bool, out: &mut Outputs) {
        if let Some(job) = &mut self.job {
            match job.waits {
                Waits::Pause { until } if now >= until => {
                    job.waits = Waits::Host;
                    if let Some(comparing) = job.comparing.take() {
                        call(comparing, None, out);
                    }
                }
                Waits::Answer { until, .. } if now >= until => {
                    let late = Error::overloaded("the cloud did not answer a question in time");
                    self.end(Err(late), out);
                }
                _ => {}
            }
        } else if let Some(due) = self.due_at
            && now >= due
        {
            self.due_at = Some(now + DUE_EVERY);
            if idle {
                let wish = Wish {
                    repair: false,
                    scheduled: true,
                };
                self.start(None, wish, out);
            }
        }
    }

    /// The host has made a step.
    pub(super) fn stepped(
        &mut self,
        now: Duration,
        comparing: Box<Comparing>,
        step: Result<Step>,
        out: &mut Outputs,
    ) {
        let Some(job) = &mut self.job else {
            return;
        };
        if !matches!(job.waits, Waits::Host) {
            return; // of one that was given up
        }
        match step {
            Ok(Step::Ask(mut question)) => {
                self.questions += 1;
                question.id = self.questions;
                job.comparing = Some(comparing);
                job.waits = Waits::Answer {
                    id: question.id,
                    until: now + ANSWER_WITHIN,
                };
                out.push_back(EdgeOutput::Send(Frame::Question(Box::new(question))));
            }
            Ok(Step::Wait(ms)) => {
                job.comparing = Some(comparing);
                job.waits = Waits::Pause {
                    until: now + Duration::from_millis(ms),
                };
            }
            Ok(Step::Done(Some(report))) => self.end(Ok(report), out),
            Ok(Step::Done(None)) => {
                let (asker, scheduled) = (job.asker, job.scheduled);
                if asker.is_some() && !scheduled {
                    let never = Error::conflict("this node compares no single rows");
                    return self.end(Err(never), out);
                }
                self.job = None;
                // Not due, but somebody asked meanwhile.
                if asker.is_some() {
                    self.start(asker, Wish::default(), out);
                }
            }
            Err(error) => self.end(Err(error), out),
        }
    }

    /// The cloud answers.
    pub(super) fn answered(&mut self, answer: Answer, out: &mut Outputs) {
        let Some(job) = &mut self.job else {
            return;
        };
        match job.waits {
            Waits::Answer { id, .. } if id == answer.id => {
                job.waits = Waits::Host;
                if let Some(comparing) = job.comparing.take() {
                    call(comparing, Some(answer.found), out);
                }
            }
            _ => {} // to a question that was given up
        }
    }

    fn end(&mut self, result: Result<Box<crate::reconcile::Report>>, out: &mut Outputs) {
        let Some(job) = self.job.take() else {
            return;
        };
        let event = match (job.asker, result) {
            (Some(id), result) => EdgeEvent::Compared { id, result },
            (None, Ok(report)) => EdgeEvent::Scrubbed(report),
            (None, Err(error)) => EdgeEvent::Trouble(error),
        };
        out.push_back(EdgeOutput::Event(event));
    }
}

fn call(
    comparing: Box<Comparing>,
    answer: Option<Result<crate::reconcile::Found, String>>,
    out: &mut Outputs,
) {
    out.push_back(EdgeOutput::Call(EdgeCall::Compare { comparing, answer }));
}

#[cfg(test)]
mod tests;
