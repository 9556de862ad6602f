//! Threads of their own for statements. A query may compute for seconds without giving its thread
//! back; on the threads that serve connections it would hold up every other client, probes too.

use std::future::Future;
use std::time::Duration;

use activestore_types::{Error, Result};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// Threads for the blocking work of statements, such as syncs of the log.
const BLOCKING_THREADS_MAX: usize = 32;

/// How long one of them stays without work.
const BLOCKING_IDLE: Duration = Duration::from_secs(5);

/// The threads; work under way is left behind when this is dropped.
pub struct QueryThreads(Option<Runtime>);

impl QueryThreads {
    /// Starts so many threads.
    ///
    /// # Errors
    /// `Internal` when the system has none.
    pub fn start(threads: usize) -> Result<Self> {
        Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_keep_alive(BLOCKING_IDLE)
            .thread_name("query")
            .enable_all()
            .build()
            .map(|runtime| QueryThreads(Some(runtime)))
            .map_err(|error| Error::internal(format!("no threads for queries: {error}")))
    }

    /// Runs the work there; dropping what is returned stops it where it next waits.
    ///
    /// # Errors
    /// `Closed` while the gateway is going away.
    pub fn run(&self, work: impl Future<Output = ()> + Send + 'static) -> Result<Running> {
        match &self.0 {
            Some(runtime) => Ok(Running(runtime.spawn(work))),
            None => Err(Error::closed("the node is shutting down")),
        }
    }
}

impl Drop for QueryThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Waiting here would block an asynchronous thread.
            runtime.shutdown_background();
        }
    }
}

/// Work that is stopped when nobody wants its result any more.
pub struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}
