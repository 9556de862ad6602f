//! Regions of a view: what is looked at as a whole is gone through in steps that are as long as they take little time.

use std::time::Duration;

use activestore_query::ViewQuery;
use activestore_types::{ColumnId, Result};
use arrow::array::ArrayRef;
use tokio::runtime::Runtime;

use super::compute::Part;
use super::saved::Region;
use super::upkeep::Upkeep;
use super::work::{first_since, is_of_all, too_many_groups};
use crate::db::Inner;
use crate::subscribe::key_value;

/// A step of a region that took less is followed by one twice as long …
pub(super) const STEP_SHORT: Duration = Duration::from_millis(100);
/// … and one that took more by one half as long.
pub(super) const STEP_LONG: Duration = Duration::from_millis(500);
/// Windows of one step of a region at the most.
const STEP_WINDOWS_MAX: usize = 16_384;

impl Upkeep {
    /// One step of the first region.
    pub(super) fn region(
        &mut self,
        inner: &Inner,
        runtime: &Runtime,
        query: &ViewQuery,
        mut region: Region,
    ) -> Result<()> {
        let whole = region.clone();
        let began = inner.env.clock.monotonic();
        let among: Vec<(ColumnId, ArrayRef)> = region
            .among
            .iter()
            .filter_map(|(id, key)| {
                let id = ColumnId(*id);
                let data_type = query.base.column_by_id(id)?.data_type;
                Some((id, key_value(data_type, false, key)?.0))
            })
            .collect();
        let (aged, aged_to) = (region.aged, region.to);
        let part = |from: i64, to: i64, clean: bool| Part {
            from,
            to,
            among: among.clone(),
            piece: None,
            aged,
            aged_to,
            clean,
        };
        let floor = self.floor_ns(inner).filter(|_| !region.aged);
        if let Some(floor) = floor {
            let first = first_since(query, floor);
            if first > query.windows.last(region.to) {
                self.dirty.regions.remove(0);
                self.extent = None;
                return self.note(inner);
            }
            region.clean &= first <= region.from;
            region.from = region.from.max(first);
        }
        if !region.bounded {
            let view = self.schema(inner)?;
            let computed = self.computed(inner, query, &view);
            // A session that goes on into it from before is of it, too.
            let from = query.windows.since(region.from);
            let last = query.windows.last(region.to);
            let extent = runtime.block_on(computed.extent(&part(from, last, false)))?;
            let Some((first, last)) = extent else {
                self.dirty.regions.remove(0);
                self.extent = None;
                return self.note(inner);
            };
            region.from = region.from.max(first);
            region.to = region.to.min(last);
            region.bounded = true;
            self.extent.get_or_insert((region.from, region.to));
            if let Some(first) = self.dirty.regions.first_mut() {
                first.clone_from(&region);
            }
        }
        let end = query.windows.last(region.to);
        let mut to = region.from;
        let mut behind = query.windows.next(to);
        let mut step = 1;
        while step < self.step && behind <= end && behind > to {
            (to, behind) = (behind, query.windows.next(behind));
            step += 1;
        }
        let more = behind <= end && behind > to;
        let difference =
            match self.difference(inner, runtime, query, &part(region.from, to, region.clean)) {
                Ok(Some(difference)) => difference,
                Err(error) if is_of_all(&error) => return Err(error),
                // Shorter ones may be computed.
                _ if step > 1 => {
                    self.step = step / 2;
                    return Ok(());
                }
                not => {
                    self.ailing = Some(not.err().unwrap_or_else(too_many_groups));
                    let to = region.from;
                    let rest = more.then(|| Region {
                        from: behind,
                        clean: true,
                        ..region.clone()
                    });
                    self.dirty.regions.splice(..1, rest);
                    let clean = false;
                    self.dirty.set_region_aside(Region {
                        to,
                        clean,
                        ..region
                    });
                    if more {
                        return Ok(());
                    }
                    self.extent = None;
                    return self.note(inner);
                }
            };
        let took = inner.env.clock.monotonic().saturating_sub(began);
        if took < STEP_SHORT {
            self.step = (self.step * 2).min(STEP_WINDOWS_MAX);
        } else if took > STEP_LONG {
            self.step = (self.step / 2).max(1);
        }
        let rest = more.then_some(Region {
            from: behind,
            // Where nothing was, what comes next may be far away; what goes on through it is near.
            bounded: difference.there,
            clean: true,
            ..region
        });
        let changes = difference.upserts.is_some() || difference.gone.is_some();
        let ends = rest.is_none();
        self.dirty.regions.splice(..1, rest);
        if ends {
            self.extent = None;
        }
        if !changes && !ends {
            return Ok(()); // it is noted with the next rows, or at the end
        }
        let written = self.write(inner, difference, true);
        if written.is_err() {
            self.dirty.add(whole);
        }
        written
    }
}
