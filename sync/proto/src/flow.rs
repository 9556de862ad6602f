//! The flow of sealed segments in one direction, the same both ways: who ships keeps a window in flight,
//! who receives applies in order. What an end has around it comes in through a port.

pub(crate) mod early;
pub(crate) mod receiving;
pub(crate) mod shipping;

pub(crate) use early::Early;
pub(crate) use receiving::{ReceivePort, Receiving, ReceivingOptions, Verdict};
pub(crate) use shipping::{ShipPort, Shipping, ShippingOptions, Start};
