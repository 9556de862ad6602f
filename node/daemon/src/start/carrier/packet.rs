//! The packets of MQTT 3.1.1 that a publisher needs. What it is sent are answers of four bytes, and of nothing else does
//! it take a byte.

/// What a broker answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To the first packet: 0 where it lets one in.
    Connected(u8),
    /// It has the message of this number.
    Published(u16),
}

/// Bytes of an answer.
pub const REPLY_BYTES: usize = 4;
/// The longest text that a packet holds.
const TEXT_BYTES_MAX: usize = u16::MAX as usize;
/// The longest rest of a packet.
const REST_BYTES_MAX: usize = 268_435_455;
/// A broker lets go of a connection on which nothing comes for half as long again.
pub const KEEP_ALIVE_S: u16 = 60;

/// Reads an answer; `None` for anything else.
pub fn reply(bytes: [u8; REPLY_BYTES]) -> Option<Reply> {
    match bytes {
        [0x20, 2, 0 | 1, code] => Some(Reply::Connected(code)),
        [0x40, 2, high, low] => Some(Reply::Published(u16::from_be_bytes([high, low]))),
        _ => None,
    }
}

/// Why a broker does not let one in.
pub fn refusal(code: u8) -> String {
    let why = match code {
        1 => "it does not speak MQTT 3.1.1",
        2 => "it does not want the client's name",
        3 => "it is not available now",
        4 => "the user or the password is wrong",
        5 => "the user may not connect",
        _ => return format!("the broker lets nobody in and gives {code} as the reason"),
    };
    format!("the broker refused the connection: {why}")
}

/// The first packet: a session of its own, for what was not acknowledged is sent anew.
pub fn connect(client: &str, login: Option<&(String, String)>) -> Option<Vec<u8>> {
    let flags = 0x02 | if login.is_some() { 0xc0 } else { 0 };
    let mut rest = vec![0, 4, b'M', b'Q', b'T', b'T', 4, flags];
    rest.extend(KEEP_ALIVE_S.to_be_bytes());
    text(client, &mut rest)?;
    if let Some((user, password)) = login {
        text(user, &mut rest)?;
        text(password, &mut rest)?;
    }
    packet(0x10, &rest, &[])
}

/// A message with QoS 1.
pub fn publish(topic: &str, body: &[u8], number: u16, retain: bool) -> Option<Vec<u8>> {
    let flags = 0x02 | u8::from(retain);
    let mut head = Vec::with_capacity(topic.len() + 4);
    text(topic, &mut head)?;
    head.extend(number.to_be_bytes());
    packet(0x30 | flags, &head, body)
}

/// The last packet.
pub const DISCONNECT: [u8; 2] = [0xe0, 0];

fn text(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let length = u16::try_from(text.len()).ok()?;
    out.extend(length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    Some(())
}

fn packet(first: u8, head: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    let mut rest = head.len().checked_add(body.len())?;
    if rest > REST_BYTES_MAX {
        return None;
    }
    let mut packet = Vec::with_capacity(rest + 5);
    packet.push(first);
    loop {
        let seven = (rest & 0x7f) as u8;
        rest >>= 7;
        packet.push(seven | if rest > 0 { 0x80 } else { 0 });
        if rest == 0 {
            break;
        }
    }
    packet.extend_from_slice(head);
    packet.extend_from_slice(body);
    Some(packet)
}

/// Whether a topic fits into a packet and names one that can be published to.
pub fn is_topic(topic: &str) -> bool {
    !topic.is_empty() && topic.len() <= TEXT_BYTES_MAX && !topic.contains(['+', '#', '\0'])
}
