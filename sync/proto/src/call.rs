//! The calls a machine asks its host to run, and their answers, as data: the driver decides on which
//! thread they run. A machine has at most one call of each kind under way.

mod cloud;
mod edge;

pub use cloud::{CloudCall, CloudReply, run_cloud_call};
pub use edge::{EdgeCall, EdgeReply, run_edge_call};
