//! A processor's keyed state and timers during one call: reads go to this call's own writes first, then
//! to the reader that the caller lends; writes are collected and handed back, never stored here.

use std::collections::HashMap;

use arrow::buffer::{Buffer, OffsetBuffer};
use wasmtime::component::Linker;
use wasmtime::{Error, Result, StoreContextMut};

use crate::abi::{Found, OwnedVarBytes};
use crate::column::var_bytes;
use crate::contract;
use crate::http::HttpRequest;
use crate::instance::{HostState, Instance};

/// Bytes of keys and values that one call may write.
pub(crate) const WRITE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes that one `get-many` may bring back.
const READ_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of one key.
const KEY_BYTES_MAX: usize = 1024;
/// What a written key costs beside its bytes and its value's.
const ENTRY_BYTES: usize = 64;
/// Keys that one `get-many`, `put-many` or `set-many` may name: a few for each row of a call. A guest is not stopped
/// while the host looks keys up for it.
const KEYS_MAX: usize = 262_144;

/// Where a processor's durable state is read from; called while a batch is processed.
pub trait StateReader: Send + Sync {
    /// The value last made durable under the key.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;
}

/// What a call wrote.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    /// Values by key; `None` removes the key.
    pub(crate) state: HashMap<Vec<u8>, Option<Vec<u8>>>,
    /// In how many nanoseconds timers go off, by key; `None` takes the timer away.
    pub(crate) timers: HashMap<Vec<u8>, Option<i64>>,
    /// Requests to be sent, in their order.
    pub(crate) requests: Vec<HttpRequest>,
}

/// The state of one call.
pub(crate) struct StateCall {
    reader: &'static dyn StateReader,
    writes: Writes,
    written_bytes: usize,
}

/// Runs `call` with `reader` lent to the guest and gives back the writes: those of earlier calls
/// that were passed in, and this call's.
pub(crate) fn lend<R>(
    instance: &mut Instance,
    reader: &dyn StateReader,
    writes: Writes,
    call: impl FnOnce(&mut Instance) -> R,
) -> (R, Writes) {
    /// Takes the reader back however `call` ends.
    struct Lent<'a>(&'a mut Instance);
    impl Drop for Lent<'_> {
        fn drop(&mut self) {
            self.0.store.data_mut().state = None;
        }
    }

    #[expect(
        unsafe_code,
        reason = "a wasmtime store cannot hold borrowed data; the guard takes the reader out of \
                  the store before this function returns or unwinds, so it never outlives its borrow"
    )]
    // SAFETY: only the lifetime changes, and `Lent` ends the use inside it.
    let reader =
        unsafe { std::mem::transmute::<&dyn StateReader, &'static dyn StateReader>(reader) };
    let lent = Lent(instance);
    lent.0.store.data_mut().state = Some(StateCall {
        reader,
        writes,
        written_bytes: 0,
    });
    let result = call(lent.0);
    let writes = lent
        .0
        .store
        .data_mut()
        .state
        .take()
        .map(|state| state.writes);
    (result, writes.unwrap_or_default())
}

/// Offers the state interface to guests.
pub(crate) fn link(linker: &mut Linker<HostState>) -> Result<()> {
    let mut state = linker.instance(contract::STATE)?;
    state.func_wrap(
        "get-many",
        |store: StoreContextMut<'_, HostState>, (keys,): (OwnedVarBytes,)| {
            let state = store.data().state.as_ref();
            let state = state.ok_or_else(|| Error::msg("state is read outside of a batch"))?;
            Ok((state.get_many(keys)?,))
        },
    )?;
    state.func_wrap(
        "put-many",
        |mut store: StoreContextMut<'_, HostState>,
         (keys, present, values): (OwnedVarBytes, Vec<u8>, OwnedVarBytes)| {
            let state = store.data_mut().state.as_mut();
            let state = state.ok_or_else(|| Error::msg("state is written outside of a batch"))?;
            state.put_many(keys, &present, values)
        },
    )?;
    linker.instance(contract::TIMERS)?.func_wrap(
        "set-many",
        |mut store: StoreContextMut<'_, HostState>, (keys, after_ns): (OwnedVarBytes, Vec<i64>)| {
            let state = store.data_mut().state.as_mut();
            let state = state.ok_or_else(|| Error::msg("timers are set outside of a batch"))?;
            state.set_many(keys, &after_ns)
        },
    )?;
    Ok(())
}

impl StateCall {
    fn get_many(&self, keys: OwnedVarBytes) -> Result<Found> {
        let keys = Values::of(keys)?;
        let mut found = Found {
            present: vec![0; keys.len().div_ceil(8)],
            values: OwnedVarBytes {
                offsets: Vec::with_capacity(keys.len() + 1),
                data: Vec::new(),
            },
        };
        found.values.offsets.push(0);
        for (index, key) in keys.iter().enumerate() {
            let read;
            let value = match self.writes.state.get(key) {
                Some(written) => written.as_deref(),
                None => {
                    read = self.reader.get(key);
                    read.as_deref()
                }
            };
            if let Some(value) = value {
                if let Some(byte) = found.present.get_mut(index / 8) {
                    *byte |= 1 << (index % 8);
                }
                found.values.data.extend_from_slice(value);
                if found.values.data.len() > READ_BYTES_MAX {
                    return Err(Error::msg(format!(
                        "one read of state brings more than {READ_BYTES_MAX} bytes"
                    )));
                }
            }
            found
                .values
                .offsets
                .push(i32::try_from(found.values.data.len())?);
        }
        Ok(found)
    }

    fn put_many(
        &mut self,
        keys: OwnedVarBytes,
        present: &[u8],
        values: OwnedVarBytes,
    ) -> Result<()> {
        let (keys, values) = (Values::of(keys)?, Values::of(values)?);
        if values.len() != keys.len() || present.len() != keys.len().div_ceil(8) {
            return Err(Error::msg(format!(
                "{} keys of state are written with {} values and {} bytes of bitmap",
                keys.len(),
                values.len(),
                present.len()
            )));
        }
        for (index, (key, value)) in keys.iter().zip(values.iter()).enumerate() {
            self.admit(key, value.len())?;
            let set = present
                .get(index / 8)
                .is_some_and(|byte| byte >> (index % 8) & 1 == 1);
            self.writes
                .state
                .insert(key.to_vec(), set.then(|| value.to_vec()));
        }
        Ok(())
    }

    fn set_many(&mut self, keys: OwnedVarBytes, after_ns: &[i64]) -> Result<()> {
        let keys = Values::of(keys)?;
        if after_ns.len() != keys.len() {
            return Err(Error::msg(format!(
                "{} timers are set to {} times",
                keys.len(),
                after_ns.len()
            )));
        }
        for (key, after_ns) in keys.iter().zip(after_ns) {
            self.admit(key, size_of::<i64>())?;
            let after_ns = (*after_ns >= 0).then_some(*after_ns);
            self.writes.timers.insert(key.to_vec(), after_ns);
        }
        Ok(())
    }

    /// Takes a request that was checked.
    pub(crate) fn send(&mut self, request: HttpRequest) -> Result<()> {
        self.admit(&[], request.bytes())?;
        self.writes.requests.push(request);
        Ok(())
    }

    /// Counts what is written, and refuses what is too much.
    fn admit(&mut self, key: &[u8], value_bytes: usize) -> Result<()> {
        if key.len() > KEY_BYTES_MAX {
            return Err(Error::msg(format!(
                "a key of state holds {} bytes where {KEY_BYTES_MAX} are allowed",
                key.len()
            )));
        }
        self.written_bytes += key.len() + value_bytes + ENTRY_BYTES;
        if self.written_bytes > WRITE_BYTES_MAX {
            return Err(Error::msg(format!(
                "one call writes more than {WRITE_BYTES_MAX} bytes of state, timers and requests"
            )));
        }
        Ok(())
    }
}

/// Values of varying length that were checked, read where they lie.
struct Values {
    offsets: OffsetBuffer<i32>,
    data: Buffer,
}

impl Values {
    fn of(values: OwnedVarBytes) -> Result<Self> {
        let count = values.offsets.len().saturating_sub(1);
        if count > KEYS_MAX {
            return Err(Error::msg(format!(
                "{count} keys are named at once where {KEYS_MAX} are allowed"
            )));
        }
        let (offsets, data) = var_bytes(values, count).map_err(Error::msg)?;
        Ok(Values { offsets, data })
    }

    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.offsets.windows(2).filter_map(|pair| match pair {
            [start, end] => self
                .data
                .get(start.cast_unsigned() as usize..end.cast_unsigned() as usize),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests;
