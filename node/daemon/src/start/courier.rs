//! Carries the requests of processors over HTTP.

use std::sync::OnceLock;
use std::time::Duration;

use activestore_db::{Answer, Courier};
use ureq::http::{Request, Response};
use ureq::{Agent, Body};

use crate::outside;

/// The node's client of hosts outside; made for its first request.
#[derive(Default)]
pub struct HttpCourier {
    agent: OnceLock<Agent>,
}

impl Courier for HttpCourier {
    fn carry(
        &self,
        method: &str,
        url: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Result<Answer, String> {
        let agent = self.agent.get_or_init(outside::agent);
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let malformed = |error: ureq::http::Error| error.to_string();
        let answer = if matches!(method, "GET" | "DELETE") {
            agent.run(request.body(()).map_err(malformed)?)
        } else {
            agent.run(request.body(body).map_err(malformed)?)
        };
        let answer = answer.map_err(|error| error.to_string())?;
        Ok(Answer {
            status: answer.status().as_u16(),
            retry_after: retry_after(&answer),
        })
    }
}

/// How long a receiver wants to be left alone, where it says so in seconds.
pub fn retry_after(answer: &Response<Body>) -> Option<Duration> {
    let wait = answer.headers().get("retry-after")?.to_str().ok()?;
    wait.trim().parse().ok().map(Duration::from_secs)
}
