//! Two ends against a plain model: they find exactly what differs, in bytes that are counted.

mod bytes;
pub(crate) mod model;
mod sets;
