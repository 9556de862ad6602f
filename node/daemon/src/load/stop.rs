//! Ctrl-C during a load: what is on its way is finished and noted; a second one ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use activestore_types::{Error, Result};

/// What a shell shows for a command that Ctrl-C has ended.
pub const EXIT_INTERRUPTED: u8 = 130;

/// Whether a load is to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens for Ctrl-C from here on.
    ///
    /// # Errors
    /// Where the system does not let it.
    pub fn on_interrupt() -> Result<Stop> {
        let stop = Stop::default();
        let told = stop.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("interrupt".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    if tokio::signal::ctrl_c().await.is_err() {
                        return;
                    }
                    told.0.store(true, Ordering::Relaxed);
                    eprintln!("stopping after what is on its way; Ctrl-C again ends at once");
                    if tokio::signal::ctrl_c().await.is_ok() {
                        std::process::exit(i32::from(EXIT_INTERRUPTED));
                    }
                });
            })
            .map_err(|error| Error::from(error).context("listening for Ctrl-C"))?;
        Ok(stop)
    }

    /// Whether it is.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
