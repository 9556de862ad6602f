//! The ports through which everything below the gateway reaches the world: wall clock, randomness
//! and disk, each with a real and a simulated version; and [`seal`], the one place that encrypts what
//! is kept on that disk. Nothing here decides anything; it only states what callers may rely on, so
//! that the simulated versions may do all the rest.
//!
//! ```
//! use activestore_env::Env;
//!
//! let env = Env::simulated(7);
//! env.disk.create_dir_all("sst").unwrap();
//! let file = env.disk.create("sst/1").unwrap();
//! file.write_at(0, b"rows").unwrap();
//! file.sync_data().unwrap(); // the bytes are durable …
//! env.disk.sync_dir("sst").unwrap(); // … and so is the name
//! assert_eq!(env.disk.list("sst").unwrap(), ["1"]);
//! ```

mod machine;
mod memory;
mod named;
mod program;

pub mod clock;
pub mod disk;
pub mod real;
pub mod rng;
pub mod seal;
pub mod sim;

use std::path::Path;
use std::sync::Arc;

use activestore_types::Result;

pub use clock::Clock;
pub use disk::{Disk, DiskFile};
pub use machine::memory_of_machine;
pub use named::open_no_link;
pub use program::{let_go_of_program, resident_of_files};
pub use real::{RealClock, RealDisk, RealRng};
pub use rng::Rng;
pub use seal::{Keyring, MasterKey, ValueSealer};
pub use sim::{SimClock, SimDisk, SimDiskOptions, SimEnv, SimRng};

/// The world as one node sees it. Cloning shares it.
#[derive(Clone)]
pub struct Env {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// The data directory.
    pub disk: Arc<dyn Disk>,
}

impl Env {
    /// This machine, with `root` as the data directory; it is created if it is missing and locked
    /// for as long as the disk lives.
    ///
    /// # Errors
    /// `Conflict` when another process holds the directory; otherwise what the system says.
    pub fn real(root: &Path) -> Result<Env> {
        Ok(Env {
            clock: Arc::new(RealClock::new()),
            rng: Arc::new(RealRng),
            disk: Arc::new(RealDisk::open(root)?),
        })
    }

    /// A simulated world without faults; [`SimEnv`] keeps the handles that inject them.
    pub fn simulated(seed: u64) -> Env {
        SimEnv::seeded(seed).env()
    }
}
