//! What rows take once they are sealed, and payloads of the form before.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use super::shipping::sealed;
use super::*;
use crate::outbox::segment::Segment;

const FIELDS: &str = "CREATE KEYSPACE plant WITH (sync = 'up'); CREATE TABLE plant.readings (device TEXT, ts TIMESTAMP, temp DOUBLE, \
    humidity DOUBLE, pressure DOUBLE, vibration DOUBLE, state BIGINT, cycles BIGINT, PRIMARY KEY ((device), ts))";

/// Machines that report in turn, each second: wandering values, a noisy one, a state and a counter.
fn telemetry(devices: usize, seconds: usize) -> String {
    let mut random = 88_172_645_463_325_252_u64;
    let mut below = |bound: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        ((random >> 16) % bound) as i64
    };
    let mut machines: Vec<[i64; 3]> = (0..devices as i64)
        .map(|number| [2000 + number * 3, 450, 101_300])
        .collect();
    let mut rows = Vec::new();
    for second in 0..seconds {
        for (number, machine) in machines.iter_mut().enumerate() {
            for (value, step) in machine.iter_mut().zip([5, 3, 7]) {
                *value += below(step) - step as i64 / 2;
            }
            let [temp, humidity, pressure] = machine.map(|value| value as f64);
            rows.push(format!(
                "('d{number:03}', '2026-01-01T00:{:02}:{:02}.{:03}', {}, {}, {}, {}, 1, {})",
                second / 60,
                second % 60,
                below(4),
                temp / 100.0,
                humidity / 10.0,
                pressure / 100.0,
                below(1000) as f64 / 1000.0,
                second * 3
            ));
        }
    }
    format!("INSERT INTO plant.readings VALUES {}", rows.join(", "))
}

/// Rows and bytes of all segments that wait.
async fn weight(devices: usize, seconds: usize) -> (u64, usize) {
    let dir = tempfile::tempdir().unwrap();
    let edge = open(dir.path(), Role::Edge);
    run(&edge, FIELDS).await;
    run(&edge, &telemetry(devices, seconds)).await;
    let segments = sealed(&edge);
    edge.shutdown().await.unwrap();
    let bytes = segments.iter().map(|segment| segment.payload.len()).sum();
    (segments.iter().map(|segment| segment.rows).sum(), bytes)
}

#[test]
fn six_fields_take_four_and_a_half_bytes_a_row() {
    runtime().block_on(async {
        for (devices, seconds) in [(1, 500), (10, 50), (50, 40)] {
            let (rows, bytes) = weight(devices, seconds).await;
            assert_eq!(rows, (devices * seconds) as u64);
            let each = bytes as f64 / rows as f64;
            assert!(
                each <= 4.5,
                "{devices} devices: {bytes} bytes for {rows} rows, {each:.2} each"
            );
        }
    });
}

#[test]
fn payloads_in_the_order_of_arrival_are_read() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let edge = open(dir.path(), Role::Edge);
        run(&edge, FIELDS).await;
        // Rows of one partition lie alike in both forms.
        run(&edge, &telemetry(1, 20)).await;
        let payload = sealed(&edge)[0].payload.clone();
        let mut plain = zstd::bulk::decompress(&payload, 1 << 20).unwrap();
        let schema = edge
            .inner
            .catalog
            .state()
            .tables
            .values()
            .find(|table| table.name.table == "readings")
            .unwrap()
            .clone();
        let now = Segment::unpack(&payload).unwrap().sections[0]
            .batch(&schema, 1)
            .unwrap();
        plain[0] = 1;
        let before = Segment::unpack(&zstd::bulk::compress(&plain, 1).unwrap()).unwrap();
        let read = before.sections[0].batch(&schema, 1).unwrap();
        assert_eq!(format!("{read:?}"), format!("{now:?}"));
        plain[0] = 9;
        let unknown = Segment::unpack(&zstd::bulk::compress(&plain, 1).unwrap()).unwrap_err();
        assert!(unknown.to_string().contains("version 9"), "{unknown}");
        edge.shutdown().await.unwrap();
    });
}
