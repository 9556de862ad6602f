//! MQTT over loopback with a real client: when acknowledgements go out, what becomes of bad
//! payloads, and what hostile bytes do.

mod client_mode;
mod codec_bytes;
mod listening;
mod mapping_rules;
mod merging;
mod support;
