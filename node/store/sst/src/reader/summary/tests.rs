//! What the index says is what is in the vectors, and a file that tells no sums says so.

use std::sync::Arc;

use activestore_env::{Disk, SimDisk, SimDiskOptions};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type};

use super::*;

/// A file of version 2 as its last release wrote it: 30 rows of three devices, `v` from 1 on in steps of a quarter, `n`
/// the square of the row's number and once NULL.
const OF_VERSION_2: &[u8] = include_bytes!("version-2.sst");

#[test]
fn a_file_of_before_there_were_sums_is_read_and_tells_none() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::seeded(1, SimDiskOptions::default()));
    let file = disk.create("old.sst").unwrap();
    file.write_at(0, OF_VERSION_2).unwrap();
    file.sync_data().unwrap();
    let sst = Sst::open(&disk, "old.sst").unwrap();
    sst.verify().unwrap();
    assert_eq!((sst.meta().rows, sst.vectors()), (30, 1));
    let id = |name: &str| {
        let columns = sst.schema().columns.iter();
        columns
            .clone()
            .find(|column| column.name == name)
            .unwrap()
            .id
    };
    let rows = sst.read(0, &[id("v"), id("n")]).unwrap();
    let v = rows.columns[0].array.as_primitive::<Float64Type>();
    let n = rows.columns[1].array.as_primitive::<Int64Type>();
    assert_eq!(v.iter().flatten().sum::<f64>(), 30.0 + 435.0 / 4.0);
    assert_eq!(
        (n.null_count(), n.iter().flatten().max()),
        (1, Some(29 * 29))
    );
    let float = ZoneValue::Float;
    let known = sst.summary(0, id("v")).unwrap();
    assert_eq!(
        known,
        Summary {
            rows: 30,
            missing: 0,
            bounds: Some((float(1.0), float(8.25))),
            sum: None
        }
    );
    let known = sst.summary(0, id("n")).unwrap();
    let bounds = Some((ZoneValue::Int(0), ZoneValue::Int(841)));
    assert_eq!(
        known,
        Summary {
            rows: 30,
            missing: 1,
            bounds,
            sum: None
        }
    );
    assert_eq!(sst.summary(0, id("device")).unwrap().bounds, None);
    assert!(sst.summary(1, id("v")).is_err());
}
