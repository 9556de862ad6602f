//! What a session may keep: portals, a place for each that has begun, and names.

use tokio::sync::OwnedSemaphorePermit;

use super::fault::{Fault, TOO_LARGE};
use super::session::Session;

/// Portals that a session keeps.
const PORTALS_MAX: usize = 64;
/// Bytes of the name of a statement or a portal.
const NAME_BYTES_MAX: usize = 1024;

impl Session {
    /// A place for a portal that has begun.
    pub(super) fn portal_place(&self) -> Result<OwnedSemaphorePermit, Fault> {
        self.pg.portals.clone().try_acquire_owned().map_err(|_| {
            let what = format!(
                "{} portals are open on this node, as many as may be",
                self.pg.options.portals_max
            );
            Fault::new("53000", what).hint("read rows to their end, or without a fetch size")
        })
    }

    /// Whether there is room for another portal.
    pub(super) fn check_portals(&self) -> Result<(), Fault> {
        if self.portals.len() < PORTALS_MAX {
            return Ok(());
        }
        let what = format!("a session keeps at most {PORTALS_MAX} portals");
        Err(Fault::new(TOO_LARGE, what))
    }
}

/// Whether a name is short enough to be kept.
pub(super) fn check_name(name: &str) -> Result<(), Fault> {
    if name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    Err(Fault::new(
        TOO_LARGE,
        format!("a name has at most {NAME_BYTES_MAX} bytes"),
    ))
}
