//! A web hook: one POST for each batch, under a key that stays the same however often it is sent.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use activestore_db::{Carried, Change, Changes, Parcel, SinkLine, SinkOptions};
use activestore_gateway::encode::change_object;
use activestore_types::{Error, Result};
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Request};
use ureq::{Agent, Timeout};

use crate::start::courier::retry_after;

/// How long a receiver that broke a connection off is asked whether it is there.
const ASKING_MAX: Duration = Duration::from_secs(5);
const ASKING_MIN: Duration = Duration::from_millis(200);
/// Of the time for a try the connection may take so many quarters: what is late then is what was sent.
const CONNECTING_QUARTERS: u32 = 3;

/// The way to a web hook.
pub struct WebHook {
    /// The members in front of each event.
    head: String,
    url: String,
    agent: Agent,
    headers: HeaderMap,
    timeout: Duration,
    /// Whether events come as an array, also one alone.
    batches: bool,
}

impl WebHook {
    /// # Errors
    /// `Invalid` for a header that HTTP does not carry.
    pub fn new(sink: &str, url: &str, agent: Agent, options: &SinkOptions) -> Result<WebHook> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        for (name, value) in &options.headers {
            let wrong = || {
                Error::invalid(format!(
                    "the header '{name}' is not one that HTTP can carry"
                ))
            };
            let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
            headers.insert(name, value);
        }
        Ok(WebHook {
            head: format!("\"sink\":\"{sink}\","),
            url: url.to_owned(),
            agent,
            headers,
            timeout: options.timeout,
            batches: options.batch > 1,
        })
    }

    /// Whether somebody answers at the address who is asked about it alone: what stands in front of a receiver that is away
    /// may let connections in all the same, and close them.
    fn is_there(&self, end: Instant) -> bool {
        let Ok(request) = Request::options(&self.url).body(()) else {
            return false;
        };
        let left = end
            .saturating_duration_since(Instant::now())
            .max(ASKING_MIN);
        let request = self.agent.configure_request(request);
        let request = request.timeout_global(Some(left.min(ASKING_MAX))).build();
        self.agent.run(request).is_ok()
    }

    fn body(&self, parcels: &[Parcel]) -> Vec<u8> {
        let bodies: Vec<&[u8]> = parcels
            .iter()
            .map(|parcel| parcel.body.as_slice())
            .collect();
        let joined = bodies.join(&b",\n"[..]);
        match self.batches {
            true => [b"[".as_slice(), &joined, b"]"].concat(),
            false => joined,
        }
    }
}

/// One event's id, or those of the first and the last of several.
fn key(parcels: &[Parcel]) -> String {
    match parcels {
        [only] => only.id.clone(),
        [first, .., last] => format!("{}..{}", first.id, last.id),
        [] => String::new(),
    }
}

/// Whether a connection that was there is no more, and no answer came on it.
fn breaks_off(error: &ureq::Error) -> bool {
    let ureq::Error::Io(error) = error else {
        return false;
    };
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::UnexpectedEof
    )
}

/// Whether somebody was there, and what was sent was not taken and answered in time.
fn is_late(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Timeout(of) => !matches!(of, Timeout::Resolve | Timeout::Connect),
        _ => false,
    }
}

impl SinkLine for WebHook {
    fn parcel(&self, changes: &Changes, change: &Change) -> Result<Parcel> {
        Ok(Parcel {
            id: changes.token(change),
            topic: String::new(),
            body: change_object(changes, change, &self.head)?,
        })
    }

    fn carry(&mut self, parcels: &[Parcel]) -> Carried {
        let mut request = Request::post(&self.url);
        if let Some(headers) = request.headers_mut() {
            headers.clone_from(&self.headers);
        }
        let request = request
            .header("idempotency-key", key(parcels))
            .body(self.body(parcels));
        let Ok(request) = request else {
            return Carried::away(0, "the address is not one that HTTP can carry");
        };
        let end = Instant::now() + self.timeout;
        let connecting = self.timeout * CONNECTING_QUARTERS / 4;
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(Some(self.timeout))
            .timeout_resolve(Some(connecting))
            .timeout_connect(Some(connecting))
            .build();
        match self.agent.run(request) {
            Ok(answer) => Carried::by_status(
                answer.status().as_u16(),
                retry_after(&answer),
                parcels.len(),
            ),
            // The path may be secret.
            Err(error) => {
                let why = error.to_string().replace(&self.url, "the address");
                if is_late(&error) {
                    Carried::late(0, why)
                } else if breaks_off(&error) && self.is_there(end) {
                    Carried::broke_off(0, why)
                } else {
                    Carried::away(0, why)
                }
            }
        }
    }
}
