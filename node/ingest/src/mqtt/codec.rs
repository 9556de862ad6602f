//! MQTT 3.1.1 and 5 packets as one set, over rumqttc's codec. It frames and translates; it keeps no
//! session.

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::{self as m4, QoS, v4};
use rumqttc::v5::mqttbytes::{self as m5, v5};

/// The protocol's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V5,
}

/// A message.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: QoS,
    pub(super) retain: bool,
}

/// A connection's first packet.
#[derive(Debug)]
pub(super) struct Hello {
    pub(super) version: Version,
    pub(super) client_id: String,
    pub(super) keep_alive_s: u16,
    pub(super) clean: bool,
    /// How long the session outlives the connection, in seconds; `u32::MAX` means for ever.
    pub(super) session_expiry_s: u32,
    pub(super) login: Option<(String, String)>,
    pub(super) will: Option<Message>,
    /// QoS 1 deliveries that the client takes at a time.
    pub(super) receive_max: u16,
    /// The largest packet that the client takes.
    pub(super) packet_bytes_max: Option<u32>,
}

/// What a client sends.
#[derive(Debug)]
pub(super) enum Incoming {
    Connect(Hello),
    Publish {
        message: Message,
        pkid: u16,
    },
    PubAck(u16),
    PubRel(u16),
    Subscribe {
        pkid: u16,
        filters: Vec<(String, QoS)>,
    },
    Unsubscribe {
        pkid: u16,
        filters: Vec<String>,
    },
    Ping,
    Disconnect {
        with_will: bool,
    },
}

/// What the listener sends.
#[derive(Debug)]
pub(super) enum Outgoing {
    Accept {
        session_present: bool,
        client_id: Option<String>,
        packet_bytes_max: usize,
        inflight_max: usize,
    },
    Refuse(Refusal),
    Publish {
        message: Message,
        pkid: u16,
        dup: bool,
    },
    PubAck(u16),
    PubRec(u16),
    PubComp(u16),
    SubAck {
        pkid: u16,
        granted: Vec<Option<QoS>>,
    },
    UnsubAck {
        pkid: u16,
        count: usize,
    },
    Pong,
    /// MQTT 5 only: why the connection ends.
    Disconnect(Bye),
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refusal {
    Login,
    ClientId,
    Full,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bye {
    Malformed,
    KeepAlive,
    TakenOver,
    ShuttingDown,
    Busy,
    TooSlow,
}

/// Takes one packet off the buffer's front; `None` until it is whole.
pub(super) fn read(
    buffer: &mut BytesMut,
    version: Option<Version>,
    packet_bytes_max: usize,
) -> Result<Option<Incoming>, String> {
    if version.is_none() && buffer.first().is_some_and(|byte| byte >> 4 != 1) {
        return Err("the first packet is not CONNECT".to_owned());
    }
    match m4::check(buffer.iter(), packet_bytes_max) {
        Ok(_) => {}
        Err(m4::Error::InsufficientBytes(_)) => return Ok(None),
        Err(m4::Error::PayloadSizeLimitExceeded(size)) => {
            return Err(format!(
                "a packet of {size} bytes is over the limit of {packet_bytes_max}"
            ));
        }
        Err(error) => return Err(error.to_string()),
    }
    let kind = buffer.first().copied().unwrap_or(0) >> 4;
    let connect = kind == 1;
    if connect != version.is_none() {
        return Err(if connect {
            "a second CONNECT".to_owned()
        } else {
            "the first packet is not CONNECT".to_owned()
        });
    }
    let version = match version {
        Some(version) => version,
        None => protocol(buffer)?,
    };
    // A DISCONNECT without a body is whole in MQTT 5 as well; the codec asks for one.
    if kind == 14 && buffer.get(1) == Some(&0) {
        let _ = buffer.split_to(2);
        return Ok(Some(Incoming::Disconnect { with_will: false }));
    }
    match version {
        Version::V4 => v4::Packet::read(buffer, packet_bytes_max)
            .map_err(|error| error.to_string())
            .and_then(from_v4),
        Version::V5 => v5::Packet::read(buffer, u32::try_from(packet_bytes_max).ok())
            .map_err(|error| error.to_string())
            .and_then(from_v5),
    }
    .map(Some)
}

/// The version that a whole CONNECT names.
fn protocol(buffer: &[u8]) -> Result<Version, String> {
    let length_bytes = buffer
        .iter()
        .skip(1)
        .position(|byte| byte & 0x80 == 0)
        .unwrap_or(0);
    match buffer.get(length_bytes + 2..) {
        Some([0, 4, b'M', b'Q', b'T', b'T', 4, ..]) => Ok(Version::V4),
        Some([0, 4, b'M', b'Q', b'T', b'T', 5, ..]) => Ok(Version::V5),
        Some([0, 6, b'M', b'Q', b'I', b's', b'd', b'p', ..]) => {
            Err("MQTT 3.1 is not spoken here; use 3.1.1 or 5".to_owned())
        }
        _ => Err("the CONNECT names no protocol that is spoken here".to_owned()),
    }
}

fn from_v4(packet: v4::Packet) -> Result<Incoming, String> {
    Ok(match packet {
        v4::Packet::Connect(connect) => Incoming::Connect(Hello {
            version: Version::V4,
            client_id: connect.client_id,
            keep_alive_s: connect.keep_alive,
            clean: connect.clean_session,
            session_expiry_s: if connect.clean_session { 0 } else { u32::MAX },
            login: connect.login.map(|login| (login.username, login.password)),
            will: connect.last_will.map(|will| Message {
                topic: will.topic,
                payload: will.message,
                qos: will.qos,
                retain: will.retain,
            }),
            receive_max: u16::MAX,
            packet_bytes_max: None,
        }),
        v4::Packet::Publish(publish) => Incoming::Publish {
            pkid: publish.pkid,
            message: Message {
                topic: publish.topic,
                payload: publish.payload,
                qos: publish.qos,
                retain: publish.retain,
            },
        },
        v4::Packet::PubAck(ack) => Incoming::PubAck(ack.pkid),
        v4::Packet::PubRel(release) => Incoming::PubRel(release.pkid),
        v4::Packet::Subscribe(subscribe) => Incoming::Subscribe {
            pkid: subscribe.pkid,
            filters: subscribe
                .filters
                .into_iter()
                .map(|filter| (filter.path, filter.qos))
                .collect(),
        },
        v4::Packet::Unsubscribe(unsubscribe) => Incoming::Unsubscribe {
            pkid: unsubscribe.pkid,
            filters: unsubscribe.topics,
        },
        v4::Packet::PingReq => Incoming::Ping,
        v4::Packet::Disconnect => Incoming::Disconnect { with_will: false },
        other => return Err(unexpected(&format!("{other:?}"))),
    })
}

fn from_v5(packet: v5::Packet) -> Result<Incoming, String> {
    let text = |bytes: Bytes| {
        String::from_utf8(bytes.to_vec()).map_err(|_| "a topic is not UTF-8".to_owned())
    };
    Ok(match packet {
        v5::Packet::Connect(connect, will, login) => {
            let properties = connect.properties.unwrap_or_default();
            if properties.authentication_method.is_some() {
                return Err("extended authentication is not supported".to_owned());
            }
            Incoming::Connect(Hello {
                version: Version::V5,
                client_id: connect.client_id,
                keep_alive_s: connect.keep_alive,
                clean: connect.clean_start,
                session_expiry_s: properties.session_expiry_interval.unwrap_or(0),
                login: login.map(|login| (login.username, login.password)),
                will: match will {
                    Some(will) => Some(Message {
                        topic: text(will.topic)?,
                        payload: will.message,
                        qos: qos(will.qos),
                        retain: will.retain,
                    }),
                    None => None,
                },
                receive_max: match properties.receive_maximum {
                    Some(0) => return Err("a receive maximum of 0".to_owned()),
                    Some(maximum) => maximum,
                    None => u16::MAX,
                },
                packet_bytes_max: properties.max_packet_size,
            })
        }
        v5::Packet::Publish(publish) => {
            if publish.topic.is_empty() {
                return Err("a topic alias, though none was allowed".to_owned());
            }
            Incoming::Publish {
                pkid: publish.pkid,
                message: Message {
                    topic: text(publish.topic)?,
                    payload: publish.payload,
                    qos: qos(publish.qos),
                    retain: publish.retain,
                },
            }
        }
        v5::Packet::PubAck(ack) => Incoming::PubAck(ack.pkid),
        v5::Packet::PubRel(release) => Incoming::PubRel(release.pkid),
        v5::Packet::Subscribe(subscribe) => Incoming::Subscribe {
            pkid: subscribe.pkid,
            filters: subscribe
                .filters
                .into_iter()
                .map(|filter| (filter.path, qos(filter.qos)))
                .collect(),
        },
        v5::Packet::Unsubscribe(unsubscribe) => Incoming::Unsubscribe {
            pkid: unsubscribe.pkid,
            filters: unsubscribe.filters,
        },
        v5::Packet::PingReq(_) => Incoming::Ping,
        v5::Packet::Disconnect(disconnect) => Incoming::Disconnect {
            with_will: disconnect.reason_code
                == v5::DisconnectReasonCode::DisconnectWithWillMessage,
        },
        other => return Err(unexpected(&format!("{other:?}"))),
    })
}

fn unexpected(packet: &str) -> String {
    let name: String = packet
        .chars()
        .take_while(|letter| letter.is_ascii_alphanumeric())
        .collect();
    format!("a {name} packet, which clients do not send")
}

fn qos(qos: m5::QoS) -> QoS {
    match qos {
        m5::QoS::AtMostOnce => QoS::AtMostOnce,
        m5::QoS::AtLeastOnce => QoS::AtLeastOnce,
        m5::QoS::ExactlyOnce => QoS::ExactlyOnce,
    }
}

fn qos5(qos: QoS) -> m5::QoS {
    match qos {
        QoS::AtMostOnce => m5::QoS::AtMostOnce,
        QoS::AtLeastOnce => m5::QoS::AtLeastOnce,
        QoS::ExactlyOnce => m5::QoS::ExactlyOnce,
    }
}

/// Appends the packet to the buffer; `false` where it is over the peer's limit or cannot be written.
pub(super) fn write(
    packet: Outgoing,
    version: Version,
    packet_bytes_max: Option<u32>,
    buffer: &mut BytesMut,
) -> bool {
    match version {
        Version::V4 => match to_v4(packet) {
            Some(packet) => packet.write(buffer, usize::MAX).is_ok(),
            None => true,
        },
        Version::V5 => to_v5(packet).write(buffer, packet_bytes_max).is_ok(),
    }
}

fn to_v4(packet: Outgoing) -> Option<v4::Packet> {
    Some(match packet {
        Outgoing::Accept {
            session_present, ..
        } => v4::Packet::ConnAck(v4::ConnAck::new(
            v4::ConnectReturnCode::Success,
            session_present,
        )),
        Outgoing::Refuse(refusal) => v4::Packet::ConnAck(v4::ConnAck::new(
            match refusal {
                Refusal::Login => v4::ConnectReturnCode::BadUserNamePassword,
                Refusal::ClientId => v4::ConnectReturnCode::BadClientId,
                Refusal::Full => v4::ConnectReturnCode::ServiceUnavailable,
            },
            false,
        )),
        Outgoing::Publish { message, pkid, dup } => v4::Packet::Publish(v4::Publish {
            dup,
            qos: message.qos,
            retain: message.retain,
            topic: message.topic,
            pkid,
            payload: message.payload,
        }),
        Outgoing::PubAck(pkid) => v4::Packet::PubAck(v4::PubAck::new(pkid)),
        Outgoing::PubRec(pkid) => v4::Packet::PubRec(v4::PubRec::new(pkid)),
        Outgoing::PubComp(pkid) => v4::Packet::PubComp(v4::PubComp::new(pkid)),
        Outgoing::SubAck { pkid, granted } => v4::Packet::SubAck(v4::SubAck::new(
            pkid,
            granted
                .into_iter()
                .map(|granted| match granted {
                    Some(qos) => v4::SubscribeReasonCode::Success(qos),
                    None => v4::SubscribeReasonCode::Failure,
                })
                .collect(),
        )),
        Outgoing::UnsubAck { pkid, .. } => v4::Packet::UnsubAck(v4::UnsubAck::new(pkid)),
        Outgoing::Pong => v4::Packet::PingResp,
        Outgoing::Disconnect(_) => return None,
    })
}

fn to_v5(packet: Outgoing) -> v5::Packet {
    let refused = |code| {
        v5::Packet::ConnAck(v5::ConnAck {
            session_present: false,
            code,
            properties: None,
        })
    };
    match packet {
        Outgoing::Accept {
            session_present,
            client_id,
            packet_bytes_max,
            inflight_max,
        } => v5::Packet::ConnAck(v5::ConnAck {
            session_present,
            code: v5::ConnectReturnCode::Success,
            properties: Some(v5::ConnAckProperties {
                session_expiry_interval: None,
                receive_max: Some(u16::try_from(inflight_max).unwrap_or(u16::MAX)),
                max_qos: None,
                retain_available: None,
                max_packet_size: u32::try_from(packet_bytes_max).ok(),
                assigned_client_identifier: client_id,
                topic_alias_max: None,
                reason_string: None,
                user_properties: Vec::new(),
                wildcard_subscription_available: None,
                subscription_identifiers_available: Some(0),
                shared_subscription_available: Some(0),
                server_keep_alive: None,
                response_information: None,
                server_reference: None,
                authentication_method: None,
                authentication_data: None,
            }),
        }),
        Outgoing::Refuse(Refusal::Login) => refused(v5::ConnectReturnCode::BadUserNamePassword),
        Outgoing::Refuse(Refusal::ClientId) => {
            refused(v5::ConnectReturnCode::ClientIdentifierNotValid)
        }
        Outgoing::Refuse(Refusal::Full) => refused(v5::ConnectReturnCode::ServerBusy),
        Outgoing::Publish { message, pkid, dup } => v5::Packet::Publish(v5::Publish {
            dup,
            qos: qos5(message.qos),
            retain: message.retain,
            topic: Bytes::from(message.topic),
            pkid,
            payload: message.payload,
            properties: None,
        }),
        Outgoing::PubAck(pkid) => v5::Packet::PubAck(v5::PubAck::new(pkid, None)),
        Outgoing::PubRec(pkid) => v5::Packet::PubRec(v5::PubRec::new(pkid, None)),
        Outgoing::PubComp(pkid) => v5::Packet::PubComp(v5::PubComp::new(pkid, None)),
        Outgoing::SubAck { pkid, granted } => v5::Packet::SubAck(v5::SubAck {
            pkid,
            return_codes: granted
                .into_iter()
                .map(|granted| match granted {
                    Some(qos) => v5::SubscribeReasonCode::Success(qos5(qos)),
                    None => v5::SubscribeReasonCode::TopicFilterInvalid,
                })
                .collect(),
            properties: None,
        }),
        Outgoing::UnsubAck { pkid, count } => v5::Packet::UnsubAck(v5::UnsubAck {
            pkid,
            reasons: vec![v5::UnsubAckReason::Success; count],
            properties: None,
        }),
        Outgoing::Pong => v5::Packet::PingResp(v5::PingResp),
        Outgoing::Disconnect(bye) => v5::Packet::Disconnect(v5::Disconnect::new(match bye {
            Bye::Malformed => v5::DisconnectReasonCode::MalformedPacket,
            Bye::KeepAlive => v5::DisconnectReasonCode::KeepAliveTimeout,
            Bye::TakenOver => v5::DisconnectReasonCode::SessionTakenOver,
            Bye::ShuttingDown => v5::DisconnectReasonCode::ServerShuttingDown,
            Bye::Busy => v5::DisconnectReasonCode::ServerBusy,
            Bye::TooSlow => v5::DisconnectReasonCode::QuotaExceeded,
        })),
    }
}
