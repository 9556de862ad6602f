//! Buckets are closed by later rows, whatever the batches; settings are checked.

use activestore_plugin::fixture::{batch, config, readings};
use activestore_plugin::{Batch, Column, Error, Field, MemoryState, Processed, Processor, Values};

use crate::Downsample;

const S: i64 = 1_000_000_000;

fn shown(sent: &Processed) -> Vec<String> {
    let sent = &sent.outputs[0];
    (0..sent.rows as usize)
        .map(|row| {
            let cell = |column: &Column| match (&column.values, column.number(row)) {
                (Values::Utf8(values), _) => values.text(row).to_owned(),
                (_, Some(number)) => number.to_string(),
                (_, None) => "-".to_owned(),
            };
            sent.columns.iter().map(cell).collect::<Vec<_>>().join(" ")
        })
        .collect()
}

fn run(settings: &[(&str, &str)], batches: &[Batch]) -> Vec<String> {
    let mut state = MemoryState::default();
    batches
        .iter()
        .flat_map(|batch| {
            // A new processor each time: only the state remembers.
            let (mut downsample, _) = Downsample::init(&config(settings), &readings()).unwrap();
            shown(&downsample.process(batch, &mut state).unwrap())
        })
        .collect()
}

#[test]
fn the_output_is_the_key_with_figures_of_each_column() {
    let settings = [("every", "1m"), ("figures", "count,mean")];
    let (_, spec) = Downsample::init(&config(&settings), &readings()).unwrap();
    let names: Vec<_> = spec.outputs[0]
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    let expected = [
        "device",
        "ts",
        "temp_count",
        "temp_mean",
        "count_count",
        "count_mean",
        "late",
    ];
    assert_eq!(names, expected);
    let keys = spec.outputs[0]
        .fields
        .iter()
        .filter(|field| !field.nullable)
        .count();
    assert_eq!((keys, spec.columns.len()), (2, 4));
    let all = [("every", "1m")];
    let (_, spec) = Downsample::init(&config(&all), &readings()).unwrap();
    assert_eq!(spec.outputs[0].fields.len(), 2 + 2 * 6 + 1);
}

#[test]
fn a_later_row_closes_a_bucket() {
    let rows = [
        ("a", 0, 1.0, 10),
        ("b", 5 * S, 7.0, 1),
        ("a", 59 * S, 4.0, 20),
        ("a", 30 * S, 2.0, 30),
        ("a", 61 * S, 9.0, 40),
        ("a", 10 * S, 99.0, 99),
        ("b", 200 * S, 8.0, 2),
        ("a", 120 * S, 5.0, 50),
    ];
    let settings = [("every", "1m"), ("columns", "temp")];
    // device, ts, count, min, max, mean, first, last, late
    let mut expected = vec![
        format!("a 0 3 1 4 {} 1 4 0", 7.0 / 3.0),
        format!("a {} 1 9 9 9 9 9 1", 60 * S),
        "b 0 1 7 7 7 7 7 0".to_owned(),
    ];
    for size in [1, 3, 8] {
        let batches: Vec<Batch> = rows
            .chunks(size)
            .map(|rows| {
                let mut batch = batch(rows);
                batch.columns.truncate(3);
                batch
            })
            .collect();
        let mut sent = run(&settings, &batches);
        sent.sort_unstable();
        expected.sort_unstable();
        assert_eq!(sent, expected, "{size}");
    }
}

#[test]
fn nulls_and_what_is_no_number_are_left_out() {
    let mut first = batch(&[
        ("a", 0, 1.0, 10),
        ("a", S, f64::NAN, 20),
        ("a", 2 * S, 3.0, 30),
        ("c", 0, 1.0, 1),
    ]);
    first.columns[2].validity = Some(vec![0b0011]);
    first.columns[3].validity = Some(vec![0b0000]);
    let settings = [("every", "10s"), ("figures", "count,last")];
    let later = batch(&[
        ("a", 10 * S, 0.0, 0),
        ("c", 10 * S, 0.0, 0),
        ("c", 20 * S, 0.0, 0),
    ]);
    // A bucket without a value makes no row.
    let expected = [
        "a 0 1 1 0 - 0".to_owned(),
        format!("c {} 1 0 1 0 0", 10 * S),
    ];
    assert_eq!(run(&settings, &[first, later]), expected);
}

#[test]
fn points_are_picked_the_same_in_batches_of_any_size() {
    let rows: Vec<_> = (0..500_i64)
        .map(|row| {
            (
                ["a", "b"][row as usize % 2],
                row * S,
                (row % 37) as f64,
                i64::MAX - row,
            )
        })
        .collect();
    let settings = [("mode", "lttb"), ("points", "10")];
    let run = |size| {
        let batches: Vec<Batch> = rows.chunks(size).map(batch).collect();
        run(&settings, &batches)
    };
    let cells = |sent: Vec<String>| {
        let mut cells: Vec<(String, String)> = Vec::new();
        for row in sent {
            let parts: Vec<&str> = row.split(' ').collect();
            for (name, cell) in parts[2..]
                .iter()
                .enumerate()
                .filter(|(_, cell)| **cell != "-")
            {
                cells.push((
                    format!("{} {} {name}", parts[0], parts[1]),
                    (*cell).to_owned(),
                ));
            }
        }
        cells.sort_unstable();
        cells
    };
    let whole = cells(run(500));
    // 250 points of two columns of two devices: the first, and one of ten but for the last bucket.
    assert_eq!(whole.len(), 2 * 2 * (1 + 23));
    for size in [1, 33] {
        assert_eq!(cells(run(size)), whole);
    }
}

#[test]
fn settings_are_checked() {
    let refused = |settings: &[(&str, &str)]| match Downsample::init(&config(settings), &readings())
    {
        Err(Error::Invalid(text)) => text,
        _ => panic!("{settings:?} is taken"),
    };
    assert!(refused(&[]).contains("every = '1m'"));
    assert!(refused(&[("every", "soon")]).contains("'soon'"));
    assert!(refused(&[("every", "1m"), ("figures", "median")]).contains("median"));
    assert!(refused(&[("every", "1m"), ("points", "9")]).contains("lttb"));
    assert!(refused(&[("every", "1m"), ("key", "status")]).contains("'status'"));
    assert!(refused(&[("every", "1m"), ("mode", "m4")]).contains("lttb"));
    assert!(refused(&[("mode", "lttb"), ("every", "1m")]).contains("buckets"));
    assert!(refused(&[("mode", "lttb"), ("points", "0")]).contains("1000"));
    assert!(refused(&[("mode", "lttb"), ("key", "status")]).contains("primary key"));
    assert!(refused(&[("each", "1m")]).contains("each"));
    let untimed: Vec<Field> = readings()
        .into_iter()
        .filter(|field| field.name != "ts")
        .collect();
    assert!(Downsample::init(&config(&[("every", "1m")]), &untimed).is_err());
}
