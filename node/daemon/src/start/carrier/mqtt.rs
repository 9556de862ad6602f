//! A broker: messages with QoS 1, several under way at once, each behind the place only once it is acknowledged.

use std::time::{Duration, Instant};

use activestore_db::{
    Carried, Change, Changes, Parcel, Setback, SinkAddress, SinkLine, SinkOptions, What,
};
use activestore_gateway::encode::{change_object, text_cell};
use activestore_types::{Error, Result};

use super::packet::{self, KEEP_ALIVE_S, Reply};
use super::stream::{Names, Stream, Trouble};

/// A connection on which nothing went for so long is left: the broker may be about to.
const IDLE_MAX: Duration = Duration::from_secs(KEEP_ALIVE_S as u64 * 2 / 3);
/// Where there was no time to send all, acknowledgements that came meanwhile are read for so long.
const ALREADY: Duration = Duration::from_millis(100);

/// The way to a broker.
pub struct Broker {
    /// The members in front of each event.
    head: String,
    client: String,
    address: SinkAddress,
    login: Option<(String, String)>,
    retain: bool,
    timeout: Duration,
    session: Option<Session>,
    names: Names,
}

struct Session {
    stream: Stream,
    /// Whether it is of this try: what breaks off later may have been given up long before.
    is_new: bool,
    used: Instant,
    /// The number of the last message.
    number: u16,
}

impl Broker {
    pub fn new(sink: &str, client: String, address: &SinkAddress, options: &SinkOptions) -> Broker {
        Broker {
            head: format!("\"sink\":\"{sink}\","),
            client,
            address: address.clone(),
            login: options.login.clone(),
            retain: options.retain,
            timeout: options.timeout,
            session: None,
            names: Names::default(),
        }
    }

    /// How many of the messages are acknowledged, and what went wrong then.
    fn publish(&mut self, parcels: &[Parcel], end: Instant) -> (usize, Option<Setback>) {
        let retain = self.retain;
        let session = match self.opened(end) {
            Ok(session) => session,
            Err(setback) => return (0, Some(setback)),
        };
        // Whoever closes a connection upon a message does it to one that it has just let in as well.
        let is_new = std::mem::replace(&mut session.is_new, false);
        let setback = |trouble: Trouble| match trouble {
            Trouble::BrokeOff(why) if is_new => Setback::BrokeOff(why),
            Trouble::Late => Setback::Late(trouble.to_string()),
            Trouble::BrokeOff(why) | Trouble::Other(why) => Setback::Away(why),
        };
        let mut numbers = Vec::with_capacity(parcels.len());
        let mut number = session.number.wrapping_add(1).max(1);
        let mut broken = None;
        for parcel in parcels {
            let message = packet::publish(&parcel.topic, &parcel.body, number, retain);
            let sent = match message {
                Some(message) => session.stream.send(&message, end),
                None => Err(Trouble::other("a message is larger than MQTT can carry")),
            };
            if let Err(trouble) = sent {
                broken = Some(trouble);
                break;
            }
            numbers.push(number);
            session.number = number;
            number = number.wrapping_add(1).max(1);
        }
        let has_no_time = matches!(broken, Some(Trouble::Late));
        let already = Instant::now() + ALREADY;
        let mut taken = 0;
        let mut acknowledged = vec![false; numbers.len()];
        // Also where it broke off: what it had acknowledged by then it has.
        while taken < numbers.len() {
            let answer = match has_no_time {
                true => session.stream.receive_alone(already),
                false => session.stream.receive(end),
            };
            let place = match answer {
                Ok(Reply::Published(number)) => numbers.iter().position(|one| *one == number),
                Ok(Reply::Connected(_)) => None,
                Err(trouble) => return (taken, Some(setback(broken.unwrap_or(trouble)))),
            };
            // Acknowledged twice, or never sent: whoever speaks so is no broker.
            let Some(waits) = place
                .and_then(|place| acknowledged.get_mut(place))
                .filter(|done| !**done)
            else {
                let why = "the broker acknowledged what was not sent";
                return (taken, Some(Setback::Away(why.to_owned())));
            };
            *waits = true;
            taken = acknowledged.iter().take_while(|done| **done).count();
        }
        session.used = Instant::now();
        (taken, broken.map(setback))
    }

    /// The connection, made anew where there is none that can be relied on.
    fn opened(&mut self, end: Instant) -> std::result::Result<&mut Session, Setback> {
        let is_stale = |session: &Session| session.used.elapsed() > IDLE_MAX;
        if self.session.as_ref().is_some_and(is_stale) {
            self.leave();
        }
        let session = match self.session.take() {
            Some(session) => session,
            None => self.connect(end)?,
        };
        Ok(self.session.insert(session))
    }

    fn connect(&mut self, end: Instant) -> std::result::Result<Session, Setback> {
        let away = |trouble: Trouble| Setback::Away(trouble.to_string());
        let SinkAddress::Mqtt {
            tls, host, port, ..
        } = &self.address
        else {
            return Err(Setback::Away("the address is none of a broker".to_owned()));
        };
        let hello = packet::connect(&self.client, self.login.as_ref());
        let hello = hello.ok_or_else(|| {
            let why = "the client's name or its login is longer than MQTT can carry";
            Setback::Away(why.to_owned())
        })?;
        let stream = Stream::reach(&mut self.names, host, *port, *tls, end);
        let mut stream = stream.map_err(away)?;
        stream.send(&hello, end).map_err(away)?;
        match stream.receive(end).map_err(away)? {
            Reply::Connected(0) => Ok(Session {
                stream,
                is_new: true,
                used: Instant::now(),
                number: 0,
            }),
            Reply::Connected(code) => Err(Setback::Later(packet::refusal(code), None)),
            Reply::Published(_) => Err(Setback::Away(
                "the broker's first packet is no CONNACK".to_owned(),
            )),
        }
    }

    fn leave(&mut self) {
        if let Some(mut session) = self.session.take() {
            let end = Instant::now() + Duration::from_millis(200);
            // It goes either way.
            let _ = session.stream.send(&packet::DISCONNECT, end);
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.leave();
    }
}

impl SinkLine for Broker {
    fn parcel(&self, changes: &Changes, change: &Change) -> Result<Parcel> {
        let value = |column: &str| {
            let What::Upsert(row) = change.what else {
                return String::new();
            };
            let rows = &changes.rows;
            let mut text = String::new();
            if let Some(array) = rows.column_by_name(column) {
                // What has no text is NULL, and leaves its level empty.
                let _ = text_cell(array, row, &mut text);
            }
            text
        };
        let topic = self.address.topic(value);
        if !packet::is_topic(&topic) {
            return Err(Error::invalid(
                "its topic is empty, or longer than MQTT can carry",
            ));
        }
        Ok(Parcel {
            id: changes.token(change),
            topic,
            body: change_object(changes, change, &self.head)?,
        })
    }

    fn carry(&mut self, parcels: &[Parcel]) -> Carried {
        let (taken, setback) = self.publish(parcels, Instant::now() + self.timeout);
        if setback.is_some() {
            // What comes after it on this connection is anybody's guess.
            self.session = None;
        }
        Carried { taken, setback }
    }
}
