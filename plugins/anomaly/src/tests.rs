//! Series are told apart, memory lives in state alone, and settings are checked.

use activestore_plugin::fixture::{config, field};
use activestore_plugin::{
    Batch, Column, Error, Field, MemoryState, Processed, Processor, ScalarType, Values, VarBytes,
};

use crate::Anomaly;

fn fields() -> Vec<Field> {
    vec![
        field("ts", ScalarType::Timestamp, false),
        field("device", ScalarType::Text, false),
        field("temp", ScalarType::Float64, true),
        field("status", ScalarType::Text, true),
        field("count", ScalarType::Int64, true),
    ]
}

fn batch(rows: &[(i64, &str, f64)]) -> Batch {
    Batch {
        rows: rows.len() as u32,
        columns: vec![
            Column::s64s(rows.iter().map(|row| row.0).collect()),
            Column::text(rows.iter().map(|row| row.1)),
            Column::f64s(rows.iter().map(|row| row.2).collect()),
        ],
    }
}

fn text(column: &Column) -> Vec<&str> {
    let Values::Utf8(values) = &column.values else {
        panic!("text")
    };
    (0..VarBytes::len(values))
        .map(|row| values.text(row))
        .collect()
}

fn wave(row: i64) -> f64 {
    50.0 + (row % 5) as f64
}

#[test]
fn the_output_is_the_key_with_what_was_found() {
    let (_, spec) = Anomaly::init(&config(&[]), &fields()).unwrap();
    let names: Vec<_> = spec.outputs[0]
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["device", "ts", "column", "value", "median", "score"]
    );
    assert_eq!(spec.columns, [0, 1, 2]);
}

fn sent(processed: Result<Processed, Error>) -> Batch {
    processed.unwrap().outputs.remove(0)
}

#[test]
fn devices_do_not_disturb_each_other() {
    let (mut anomaly, _) = Anomaly::init(&config(&[]), &fields()).unwrap();
    let mut state = MemoryState::default();
    let mut rows: Vec<_> = (0..100)
        .flat_map(|i| [(i, "cool", wave(i)), (i, "hot", 450.0 + wave(i))])
        .collect();
    let quiet = sent(anomaly.process(&batch(&rows), &mut state));
    assert_eq!(quiet.rows, 0);
    rows = vec![(100, "hot", 502.0), (100, "cool", 500.0)];
    let found = sent(anomaly.process(&batch(&rows), &mut state));
    assert_eq!(found.rows, 1);
    assert_eq!(text(&found.columns[0]), ["cool"]);
    assert_eq!(text(&found.columns[2]), ["temp"]);
    assert_eq!(found.columns[3].as_f64s().unwrap(), [500.0]);
    assert!(found.columns[5].as_f64s().unwrap()[0] > 6.0);
}

#[test]
fn batches_of_any_size_and_a_restart_give_the_same() {
    let rows: Vec<_> = (0..1000)
        .map(|i| (i, "p", if i % 333 == 332 { 90.0 } else { wave(i) }))
        .collect();
    let mut found = Vec::new();
    for size in [1, 7, 1000] {
        let mut state = MemoryState::default();
        let mut times = Vec::new();
        for part in rows.chunks(size) {
            // A new processor each time: only the state remembers.
            let (mut anomaly, _) = Anomaly::init(&config(&[]), &fields()).unwrap();
            let processed = sent(anomaly.process(&batch(part), &mut state));
            times.extend_from_slice(processed.columns[1].as_s64s().unwrap());
        }
        found.push(times);
    }
    assert_eq!(found[0], [332, 665, 998]);
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0], found[2]);
}

/// Many devices with room for a few hundred: what is kept between batches and what is read again give the
/// same alarms and the same state as an instance that knows nothing but the state.
#[test]
fn what_an_instance_keeps_changes_nothing() {
    let settings = config(&[("memory_mib", "1"), ("window", "20"), ("history", "9")]);
    let (mut keeps, _) = Anomaly::init(&settings, &fields()).unwrap();
    let (mut kept, mut forgotten) = (MemoryState::default(), MemoryState::default());
    let (mut alarms, mut random) = (0, 1_u64);
    let mut next = || {
        random = random
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        random >> 33
    };
    for round in 0..60 {
        // A few that send much, and most of the others in turn.
        let names: Vec<String> = (0..6000)
            .map(|_| match next() % 3 {
                0 => format!("busy-{}", next() % 5),
                1 => format!("{}", next() % 1500),
                _ => format!("of-{}-{}", round / 20, next() % 1500),
            })
            .collect();
        let rows: Vec<(i64, &str, f64)> = (0..)
            .zip(&names)
            .map(|(row, name)| {
                let value = if next() % 200 == 0 {
                    400.0
                } else {
                    wave(next() as i64 % 5)
                };
                (row, name.as_str(), value)
            })
            .collect();
        let batch = batch(&rows);
        let found = keeps.process(&batch, &mut kept).unwrap();
        let (mut fresh, _) = Anomaly::init(&settings, &fields()).unwrap();
        let expected = fresh.process(&batch, &mut forgotten).unwrap();
        assert_eq!(
            format!("{found:?}"),
            format!("{expected:?}"),
            "round {round}"
        );
        assert_eq!(kept.values, forgotten.values, "round {round}");
        alarms += found.outputs[0].rows;
        assert!(!keeps.fleet.is_over());
    }
    assert!(alarms > 100, "{alarms} alarms compare little");
}

#[test]
fn nulls_and_infinities_are_passed_over() {
    let (mut anomaly, _) = Anomaly::init(&config(&[]), &fields()).unwrap();
    let mut state = MemoryState::default();
    let rows: Vec<_> = (0..100).map(|i| (i, "p", wave(i))).collect();
    anomaly.process(&batch(&rows), &mut state).unwrap();
    let before = state.values.clone();
    let mut odd = batch(&[
        (100, "p", f64::INFINITY),
        (101, "p", f64::NAN),
        (102, "p", 1e9),
    ]);
    odd.columns[2].validity = Some(vec![0b011]);
    assert_eq!(sent(anomaly.process(&odd, &mut state)).rows, 0);
    assert_eq!(state.values, before);
}

#[test]
fn settings_are_checked() {
    let refused = |settings: &[(&str, &str)]| match Anomaly::init(&config(settings), &fields()) {
        Err(Error::Invalid(text)) => text,
        _ => panic!("{settings:?} is taken"),
    };
    assert!(refused(&[("windows", "5")]).contains("windows"));
    assert!(refused(&[("window", "many")]).contains("window = 'many'"));
    assert!(refused(&[("window", "1")]).contains("4 and 10000"));
    assert!(refused(&[("threshold", "NaN")]).contains("threshold"));
    assert!(refused(&[("memory_mib", "0")]).contains("memory_mib"));
    assert!(refused(&[("columns", "temp, tmp")]).contains("'tmp'"));
    assert!(refused(&[("columns", "status")]).contains("no numbers"));
    let (anomaly, spec) = Anomaly::init(
        &config(&[("columns", "count"), ("key", "status")]),
        &fields(),
    )
    .unwrap();
    assert_eq!(spec.columns, [0, 1, 3, 4]);
    assert_eq!(anomaly.watched[0].1, "count");
}
