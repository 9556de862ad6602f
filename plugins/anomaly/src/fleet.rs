//! The series that an instance has met, so that rows find theirs quickly and state is read once for each.
//! What is kept is bounded in bytes: a series for which there is no room is read again the next time. It
//! reads and writes no state itself.

use std::collections::HashMap;
use std::rc::Rc;

use crate::detector::Recent;

/// Batches after which the series of a device that sends nothing make room for others.
const IDLE_BATCHES: u32 = 64;
/// Devices known beyond this many are forgotten when most of them have no series here.
const DEVICES_SPARE: usize = 4096;

/// One column of one device.
#[derive(Debug)]
pub struct Series {
    /// Its short memory.
    pub recent: Recent,
    /// Its long memory as it is written, once it was needed: it is looked at once per block.
    pub history: Option<Vec<u8>>,
    /// Its points as they were written last.
    pub packed: Vec<u8>,
}

impl Series {
    /// A series that remembers so much, and its points as they are written.
    pub fn of(recent: Recent, packed: Vec<u8>) -> Self {
        Series {
            recent,
            history: None,
            packed,
        }
    }

    fn bytes(&self) -> usize {
        let history = self.history.as_ref().map_or(0, Vec::capacity);
        size_of::<Series>() + self.recent.points.bytes() + self.packed.capacity() + history
    }
}

/// One value of the key.
#[derive(Debug)]
pub struct Device {
    /// The key's bytes.
    pub key: Rc<[u8]>,
    /// The rows of the batch that are its: the first in the order by device, and how many.
    pub rows: (usize, usize),
    seen: u32,
    /// The device whose row came after one of this one's.
    next: u32,
    /// One a watched column; none before the first.
    series: Vec<Option<Series>>,
}

/// All devices.
#[derive(Debug)]
pub struct Fleet {
    columns: usize,
    room: usize,
    bytes: usize,
    batch: u32,
    devices: Vec<Device>,
    places: HashMap<Rc<[u8]>, u32>,
}

/// The rows of a batch by device.
#[derive(Debug, Default)]
pub struct Sorted {
    /// Devices that have rows, in the order of their first.
    pub devices: Vec<usize>,
    /// Row numbers: each device's side by side, in the order of writing.
    pub rows: Vec<u32>,
}

impl Fleet {
    /// Nobody yet; so many columns of each are watched, and series may take so many bytes.
    pub fn new(columns: usize, room: usize) -> Self {
        Fleet {
            columns,
            room,
            bytes: 0,
            batch: 0,
            devices: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// Sorts the rows of the next batch by device. `push_key` appends a row's key.
    pub fn sort(&mut self, rows: usize, push_key: impl Fn(usize, &mut Vec<u8>)) -> Sorted {
        self.batch = self.batch.wrapping_add(1);
        let mut sorted = Sorted::default();
        let mut owners: Vec<u32> = Vec::with_capacity(rows);
        let (mut key, mut previous) = (Vec::new(), 0);
        for row in 0..rows {
            key.clear();
            push_key(row, &mut key);
            previous = self.find(&key, previous);
            let device = &mut self.devices[previous as usize];
            if device.seen != self.batch {
                device.seen = self.batch;
                device.rows = (0, 0);
                sorted.devices.push(previous as usize);
            }
            device.rows.1 += 1;
            owners.push(previous);
        }
        let mut begin = 0;
        for index in &sorted.devices {
            let device = &mut self.devices[*index];
            device.rows.0 = begin;
            begin += std::mem::take(&mut device.rows.1);
        }
        sorted.rows = vec![0; rows];
        for (row, owner) in owners.into_iter().enumerate() {
            let (begin, count) = &mut self.devices[owner as usize].rows;
            sorted.rows[*begin + *count] = row as u32;
            *count += 1;
        }
        sorted
    }

    /// The device of this key. Devices send in runs or in turn, so the one before and the one that
    /// followed it the last time are looked at first.
    fn find(&mut self, key: &[u8], previous: u32) -> u32 {
        if let Some(device) = self.devices.get(previous as usize) {
            if *device.key == *key {
                return previous;
            }
            let next = device.next;
            if self
                .devices
                .get(next as usize)
                .is_some_and(|device| *device.key == *key)
            {
                return next;
            }
        }
        let found = match self.places.get(key) {
            Some(found) => *found,
            None => self.meet(key),
        };
        if let Some(device) = self.devices.get_mut(previous as usize) {
            device.next = found;
        }
        found
    }

    fn meet(&mut self, key: &[u8]) -> u32 {
        let index = self.devices.len() as u32;
        let key: Rc<[u8]> = key.into();
        self.places.insert(key.clone(), index);
        self.devices.push(Device {
            key,
            rows: (0, 0),
            // Not of this batch yet.
            seen: self.batch.wrapping_sub(1),
            next: index,
            series: Vec::new(),
        });
        index
    }

    /// A device by its number.
    pub fn device(&self, device: usize) -> &Device {
        &self.devices[device]
    }

    /// A series, if it is here.
    pub fn series(&self, device: usize, column: usize) -> Option<&Series> {
        self.devices[device].series.get(column)?.as_ref()
    }

    /// Puts a series in.
    pub fn put(&mut self, device: usize, column: usize, series: Series) {
        self.bytes += series.bytes();
        let all = &mut self.devices[device].series;
        if all.is_empty() {
            all.resize_with(self.columns, || None);
        }
        let before = all[column].replace(series);
        self.bytes -= before.as_ref().map_or(0, Series::bytes);
    }

    /// Works on a series; one that is not here begins anew.
    pub fn work<R>(
        &mut self,
        device: usize,
        column: usize,
        work: impl FnOnce(&mut Series) -> R,
    ) -> R {
        if self.devices[device].series.is_empty() {
            self.devices[device]
                .series
                .resize_with(self.columns, || None);
        }
        let slot = &mut self.devices[device].series[column];
        let before = slot.as_ref().map_or(0, Series::bytes);
        let series = slot.get_or_insert_with(|| Series::of(Recent::default(), Vec::new()));
        let done = work(series);
        self.bytes = self.bytes + series.bytes() - before;
        done
    }

    /// Whether the series take more than they may.
    pub fn is_over(&self) -> bool {
        self.bytes > self.room
    }

    /// Forgets a series.
    pub fn forget(&mut self, device: usize, column: usize) {
        let all = &mut self.devices[device].series;
        let series = all.get_mut(column).and_then(Option::take);
        self.bytes -= series.as_ref().map_or(0, Series::bytes);
        if all.iter().all(Option::is_none) {
            *all = Vec::new();
        }
    }

    /// Makes room between batches: forgets idle devices when the room is nearly full, and the names of
    /// devices when most of many have no series here. Numbers of devices change.
    pub fn tidy(&mut self) {
        if self.bytes > self.room / 8 * 7 {
            for device in 0..self.devices.len() {
                let idle = self.batch.wrapping_sub(self.devices[device].seen);
                if idle > IDLE_BATCHES && !self.devices[device].series.is_empty() {
                    (0..self.columns).for_each(|column| self.forget(device, column));
                }
            }
        }
        if self.devices.len() > DEVICES_SPARE {
            let kept = self
                .devices
                .iter()
                .filter(|device| !device.series.is_empty());
            if kept.count() < self.devices.len() / 2 {
                self.devices.retain(|device| !device.series.is_empty());
                let places = self.devices.iter().enumerate();
                self.places = places
                    .map(|(index, device)| (device.key.clone(), index as u32))
                    .collect();
            }
        }
    }
}

#[cfg(test)]
mod tests;
