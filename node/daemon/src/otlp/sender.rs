//! The thread that sends spans. A collector that is away, or has no time, is asked again for a while; then its spans
//! are let go, so that those that wait are never old.

use std::sync::Arc;
use std::time::Duration;

use activestore_types::{Error, Result};
use ureq::Agent;

use super::message::message;
use super::queue::Queue;
use crate::outside;

/// Attempts for one batch.
const ATTEMPTS: u32 = 5;

/// The pause after the first; twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Starts it; it ends when the queue is closed and empty.
pub(super) fn start(queue: Arc<Queue>, address: String, node: String) -> Result<()> {
    std::thread::Builder::new()
        .name("otlp".to_owned())
        .spawn(move || run(&queue, &address, &node))
        .map(drop)
        .map_err(|error| Error::internal(format!("there is no thread to send spans: {error}")))
}

fn run(queue: &Queue, address: &str, node: &str) {
    let agent = outside::agent();
    let mut away = false;
    while let Some(spans) = queue.next() {
        let body = message(&spans, node).to_string();
        let taken = send_until_taken(&agent, queue, address, &body);
        queue.done(spans.len(), taken.is_ok());
        match taken {
            Ok(()) => away = false,
            // Once, and not for each batch.
            Err(reason) if !away => {
                away = true;
                tracing::warn!(
                    address,
                    reason,
                    "spans are let go, since the collector does not take them"
                );
            }
            Err(_) => {}
        }
    }
}

fn send_until_taken(
    agent: &Agent,
    queue: &Queue,
    address: &str,
    body: &str,
) -> std::result::Result<(), String> {
    let mut pause = FIRST_PAUSE;
    let mut attempt = 1;
    loop {
        let sent = agent
            .post(address)
            .header("content-type", "application/json")
            .send(body);
        let reason = match sent {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            // What the collector will not take at all is not sent again.
            Ok(answer) if !matches!(answer.status().as_u16(), 429 | 502 | 503 | 504) => {
                return Err(format!("it answered {}", answer.status()));
            }
            Ok(answer) => format!("it answered {}", answer.status()),
            Err(error) => error.to_string(),
        };
        if attempt >= ATTEMPTS || !queue.pause(pause) {
            return Err(reason);
        }
        attempt += 1;
        pause *= 2;
    }
}
