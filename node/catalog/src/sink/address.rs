//! Where a sink sends to: `https://host/path` or `mqtts://host/topic/{column}`.

use std::fmt::{self, Write};

use activestore_types::{Error, Result};

/// Bytes of an address.
const ADDRESS_BYTES_MAX: usize = 2_048;
/// Bytes of a host's name.
const HOST_BYTES_MAX: usize = 253;
const MQTT_PORT: u16 = 1883;
const MQTTS_PORT: u16 = 8883;

/// An address, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub enum SinkAddress {
    /// A web hook.
    Web {
        /// The whole address.
        url: String,
        /// Scheme, host and port, which may be shown.
        shown: String,
    },
    /// A topic of an MQTT broker.
    Mqtt {
        /// Whether over TLS.
        tls: bool,
        /// The broker's host.
        host: String,
        /// Its port.
        port: u16,
        /// The topic, in which `{column}` stands for a row's value.
        topic: String,
    },
}

impl SinkAddress {
    /// Takes an address apart.
    ///
    /// # Errors
    /// `Invalid` for another scheme, for one with a login in it, and for what is no address.
    pub fn parse(text: &str) -> Result<SinkAddress> {
        let wrong = |what: &str| {
            // The text is not repeated: it may hold a secret.
            Error::invalid(format!("the address of the sink {what}")).with_hint(
                "write 'https://host/path', 'http://host:port/path', 'mqtts://host/topic/{column}' or 'mqtt://host:1883/topic'",
            )
        };
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(wrong(&format!("is longer than {ADDRESS_BYTES_MAX} bytes")));
        }
        if text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || c == '\\')
        {
            return Err(wrong("holds a character that no address has"));
        }
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| wrong("has no scheme"))?;
        let (authority, path) = match rest.find(['/', '?', '#']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(Error::invalid("a login in the address of a sink would be shown")
                .with_hint("say it WITH (header_authorization = '…'), or of a broker WITH (user = '…', password = '…')"));
        }
        let (host, port) = host_and_port(authority).ok_or_else(|| wrong("names no host"))?;
        match scheme {
            "http" | "https" => {
                if !text.is_ascii() || path.contains('#') {
                    return Err(wrong("holds a character that no address has"));
                }
                Ok(SinkAddress::Web {
                    url: text.to_owned(),
                    shown: format!("{scheme}://{authority}"),
                })
            }
            "mqtt" | "mqtts" => {
                let tls = scheme == "mqtts";
                let topic = path.strip_prefix('/').unwrap_or_default();
                if topic.is_empty() || topic.contains(['+', '#']) || path.starts_with(['?', '#']) {
                    return Err(wrong("names no topic that can be published to"));
                }
                let address = SinkAddress::Mqtt {
                    tls,
                    host: host.to_owned(),
                    port: port.unwrap_or(if tls { MQTTS_PORT } else { MQTT_PORT }),
                    topic: topic.to_owned(),
                };
                pieces(topic).ok_or_else(|| wrong("has a '{' or '}' without its other"))?;
                Ok(address)
            }
            _ => Err(wrong("has a scheme that is not spoken")),
        }
    }

    /// The columns that its topic names.
    pub fn columns(&self) -> Vec<&str> {
        match self {
            SinkAddress::Web { .. } => Vec::new(),
            SinkAddress::Mqtt { topic, .. } => {
                let pieces = pieces(topic).unwrap_or_default();
                pieces
                    .into_iter()
                    .filter_map(|(_, column)| column)
                    .collect()
            }
        }
    }

    /// The topic of a row: `value` gives the text of a column. What would be a level or a wildcard of its own in a value
    /// is written as `%` and two hexadecimal digits.
    pub fn topic(&self, value: impl Fn(&str) -> String) -> String {
        let SinkAddress::Mqtt { topic, .. } = self else {
            return String::new();
        };
        let mut out = String::with_capacity(topic.len());
        for (plain, column) in pieces(topic).unwrap_or_default() {
            out.push_str(plain);
            for c in column.map(&value).unwrap_or_default().chars() {
                if matches!(c, '/' | '+' | '#' | '%') || c.is_control() {
                    let mut bytes = [0; 4];
                    for byte in c.encode_utf8(&mut bytes).bytes() {
                        // Writing to a string cannot fail.
                        let _ = write!(out, "%{byte:02X}");
                    }
                } else {
                    out.push(c);
                }
            }
        }
        out
    }
}

/// What may be shown of it: no path of a web hook, for many have a secret in it.
impl fmt::Display for SinkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SinkAddress::Web { shown, .. } => f.write_str(shown),
            SinkAddress::Mqtt {
                tls,
                host,
                port,
                topic,
            } => {
                let s = if *tls { "s" } else { "" };
                write!(f, "mqtt{s}://{host}:{port}/{topic}")
            }
        }
    }
}

impl fmt::Debug for SinkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SinkAddress({self})")
    }
}

/// A host's name or address (one of IPv6 in brackets), and a port.
fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (inside, behind) = rest.split_once(']')?;
            let is_v6 = inside.parse::<std::net::Ipv6Addr>().is_ok();
            let port = match behind {
                "" => None,
                behind => Some(behind.strip_prefix(':')?),
            };
            (is_v6.then_some(inside)?, port)
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.chars().all(plain) {
        return None;
    }
    let port = match port {
        None => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port| *port > 0)?)
        }
        Some(_) => return None,
    };
    Some((host, port))
}

/// A topic as text and the column behind each piece of it; `None` where a brace stands alone.
fn pieces(topic: &str) -> Option<Vec<(&str, Option<&str>)>> {
    let mut all = Vec::new();
    let mut rest = topic;
    while let Some((plain, behind)) = rest.split_once('{') {
        let (column, after) = behind.split_once('}')?;
        if plain.contains('}') || column.is_empty() || column.contains('{') {
            return None;
        }
        all.push((plain, Some(column)));
        rest = after;
    }
    if rest.contains('}') {
        return None;
    }
    all.push((rest, None));
    Some(all)
}
