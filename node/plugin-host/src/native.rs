//! The interface `nn`: an ONNX graph of a model that tract runs in this process, outside of the sandbox. What
//! a graph may be is bounded before it is read ([`Bounds`]); its memory counts with that of all instances; and
//! between the parts of a batch a call looks at its deadline. Instances with the same artifact share a graph.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use onnx_graph::{Bounds, Graph};
use parking_lot::Mutex;
use ring::digest;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};
use wasmtime::{Result, StoreContextMut, Trap};

use crate::abi::{GuestError, OwnedColumn, OwnedValues};
use crate::contract;
use crate::instance::HostState;
use crate::memory::MemoryTotal;

/// Whether this program has it.
pub(crate) const IS_THERE: bool = true;

/// How long a run of the graph should take: the deadline is looked at in between.
const PART: Duration = Duration::from_millis(5);

/// What a guest is told of its graph.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
struct GraphShape {
    inputs: Vec<String>,
    outputs: Vec<String>,
}

type LoadResult = (std::result::Result<GraphShape, GuestError>,);
type ComputeParams = (u32, Vec<OwnedColumn>);
type Computed = std::result::Result<Vec<OwnedColumn>, GuestError>;

/// The graphs that instances of a host hold.
pub(crate) struct Native {
    total: Arc<MemoryTotal>,
    /// By the hash of their artifacts.
    graphs: Mutex<HashMap<[u8; digest::SHA256_OUTPUT_LEN], Weak<Shared>>>,
}

/// One graph, and what it counts for in the memory of all instances.
struct Shared {
    graph: Graph,
    total: Arc<MemoryTotal>,
    /// What a row took when it ran last.
    ns_per_row: AtomicU64,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.total.give_back(self.graph.bytes);
    }
}

/// An instance's graph.
#[derive(Clone)]
pub(crate) struct NativeGraph(Arc<Shared>);

impl Native {
    pub(crate) fn new(total: &Arc<MemoryTotal>) -> Arc<Self> {
        Arc::new(Native {
            total: total.clone(),
            graphs: Mutex::default(),
        })
    }

    fn load(&self, artifact: &[u8]) -> std::result::Result<NativeGraph, String> {
        let mut sha256 = [0; digest::SHA256_OUTPUT_LEN];
        sha256.copy_from_slice(digest::digest(&digest::SHA256, artifact).as_ref());
        // Held while a graph is read, so that nobody reads it twice.
        let mut graphs = self.graphs.lock();
        if let Some(known) = graphs.get(&sha256).and_then(Weak::upgrade) {
            return Ok(NativeGraph(known));
        }
        let bounds = Bounds::default();
        let graph = unpanicked(|| Graph::load_within(artifact, &bounds))?;
        if !self.total.take(graph.bytes) {
            return Err(format!(
                "its graph takes {} KiB, more than the limit of all plugins together leaves",
                graph.bytes >> 10
            ));
        }
        let shared = Arc::new(Shared {
            graph,
            total: self.total.clone(),
            ns_per_row: AtomicU64::new(u64::MAX),
        });
        graphs.retain(|_, graph| graph.strong_count() > 0);
        graphs.insert(sha256, Arc::downgrade(&shared));
        Ok(NativeGraph(shared))
    }
}

impl NativeGraph {
    /// The rows of the next run: as many as take [`PART`].
    fn part(&self) -> usize {
        let ns_per_row = self.0.ns_per_row.load(Ordering::Relaxed).max(1);
        let rows = PART.as_nanos() / u128::from(ns_per_row);
        let most = self.0.graph.rows_per_run;
        usize::try_from(rows).map_or(most, |rows| rows.clamp(1, most))
    }

    /// # Errors
    /// The trap of a call that was stopped at its deadline.
    fn compute(
        &self,
        rows: usize,
        inputs: &[OwnedColumn],
        until: Option<Instant>,
    ) -> Result<Computed> {
        let graph = &self.0.graph;
        let mut columns: Vec<&[f64]> = Vec::with_capacity(inputs.len());
        for column in inputs {
            let OwnedValues::F64s(values) = &column.values else {
                return Ok(Err(invalid("a graph takes columns of float64")));
            };
            columns.push(values);
        }
        if let Err(error) = graph.check_columns(rows, &columns) {
            return Ok(Err(invalid(error)));
        }
        let mut outputs = vec![Vec::with_capacity(rows); graph.outputs.len()];
        let mut first = 0;
        while first < rows {
            let began = Instant::now();
            if until.is_some_and(|until| began >= until) {
                return Err(Trap::Interrupt.into());
            }
            let count = self.part().min(rows - first);
            let ran = unpanicked(|| graph.run_part(first, count, &columns, &mut outputs));
            if let Err(error) = ran {
                return Ok(Err(GuestError::Failed(error)));
            }
            first += count;
            let ns = began.elapsed().as_nanos() / count as u128;
            let ns = u64::try_from(ns).unwrap_or(u64::MAX);
            self.0.ns_per_row.store(ns, Ordering::Relaxed);
        }
        Ok(Ok(outputs
            .into_iter()
            .map(|values| OwnedColumn {
                values: OwnedValues::F64s(values),
                validity: None,
            })
            .collect()))
    }
}

/// What `run` says; a panic inside of tract is no more than a graph that fails.
fn unpanicked<T>(
    run: impl FnOnce() -> std::result::Result<T, String>,
) -> std::result::Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!(
            "the model makes tract panic: {}",
            said.unwrap_or("it does not say why")
        ))
    })
}

fn invalid(message: impl Into<String>) -> GuestError {
    GuestError::Invalid(message.into())
}

/// Offers the interface to guests.
pub(crate) fn link(linker: &mut Linker<HostState>) -> Result<()> {
    let mut nn = linker.instance(contract::NN)?;
    nn.func_wrap(
        "load",
        |mut store: StoreContextMut<'_, HostState>, (artifact,): (Vec<u8>,)| {
            let state = store.data_mut();
            state.graph = None;
            let result: LoadResult = match state.native.load(&artifact) {
                Ok(loaded) => {
                    let shape = GraphShape {
                        inputs: loaded.0.graph.inputs.clone(),
                        outputs: loaded.0.graph.outputs.clone(),
                    };
                    state.graph = Some(loaded);
                    (Ok(shape),)
                }
                Err(error) => (Err(invalid(error)),),
            };
            Ok(result)
        },
    )?;
    nn.func_wrap(
        "compute",
        |store: StoreContextMut<'_, HostState>, (rows, inputs): ComputeParams| {
            let state = store.data();
            let computed: Computed = match &state.graph {
                Some(graph) => graph.compute(rows as usize, &inputs, state.until)?,
                None => Err(invalid("no graph is loaded")),
            };
            Ok((computed,))
        },
    )
}

#[cfg(test)]
mod tests;
