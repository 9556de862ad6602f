//! Rows go on in the shape of the table; memory lives in state alone; settings are checked.

use activestore_plugin::fixture::{batch, config, readings};
use activestore_plugin::{
    Batch, Column, Error, Field, MemoryState, Processed, Processor, ScalarType,
};

use crate::Deadband;

/// Each row sent as its time and, where they are set, the values of `temp` and `count`.
fn shown(sent: &Processed) -> Vec<String> {
    let sent = &sent.outputs[0];
    let cell = |column: &Column, row| match column.number(row) {
        Some(number) => number.to_string(),
        None => "-".to_owned(),
    };
    (0..sent.rows as usize)
        .map(|row| {
            let cells: Vec<_> = sent.columns[1..]
                .iter()
                .map(|column| cell(column, row))
                .collect();
            cells.join(" ")
        })
        .collect()
}

fn run(settings: &[(&str, &str)], batches: &[Batch]) -> Vec<String> {
    let mut state = MemoryState::default();
    batches
        .iter()
        .flat_map(|batch| {
            // A new processor each time: only the state remembers.
            let (mut deadband, _) = Deadband::init(&config(settings), &readings()).unwrap();
            shown(&deadband.process(batch, &mut state).unwrap())
        })
        .collect()
}

#[test]
fn the_output_is_the_key_with_what_is_watched() {
    let (_, spec) = Deadband::init(&config(&[("band", "1")]), &readings()).unwrap();
    let names: Vec<_> = spec.outputs[0]
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    assert_eq!(names, ["device", "ts", "temp", "count"]);
    assert!(
        spec.outputs[0].fields[2].nullable && spec.outputs[0].fields[3].kind == ScalarType::Int64
    );
    assert_eq!(spec.columns, [0, 1, 2, 3]);
}

#[test]
fn cells_pass_each_for_itself() {
    let rows = [
        ("a", 10, 20.0, 5),
        ("b", 10, 90.0, 5),
        ("a", 20, 20.4, 5),
        ("a", 30, 20.6, 5),
        ("b", 30, 90.0, 6),
        ("a", 40, 21.2, 5),
    ];
    let settings = [("band", "temp:0.5,0")];
    let expected = ["10 20 5", "10 90 5", "30 20.6 -", "30 - 6", "40 21.2 -"];
    assert_eq!(run(&settings, &[batch(&rows)]), expected);
    let ones: Vec<Batch> = rows.iter().map(|row| batch(&[*row])).collect();
    assert_eq!(run(&settings, &ones), expected);
}

#[test]
fn a_door_gives_the_same_in_batches_of_any_size() {
    let rows: Vec<_> = (0..400_i64)
        .map(|row| ("a", row * 100, (row as f64 / 9.0).sin() * 10.0, row / 100))
        .collect();
    let settings = [
        ("band", "0.8"),
        ("mode", "swinging_door"),
        ("max_silence", "20us"),
    ];
    let run = |size| -> Vec<String> {
        let batches: Vec<Batch> = rows.chunks(size).map(batch).collect();
        let mut sent = run(&settings, &batches);
        sent.sort_unstable();
        sent
    };
    let whole = run(400);
    assert!((20..200).contains(&whole.len()), "{}", whole.len());
    // Cells of one row may be sent in different batches; the table puts them together.
    let cells = |sent: &[String]| -> Vec<String> {
        let mut cells: Vec<String> = sent
            .iter()
            .flat_map(|row| {
                let parts: Vec<&str> = row.split(' ').collect();
                let cell = |name: usize| format!("{} {name} {}", parts[0], parts[name]);
                [cell(1), cell(2)]
            })
            .filter(|cell| !cell.ends_with('-'))
            .collect();
        cells.sort_unstable();
        cells
    };
    for size in [1, 7, 64] {
        assert_eq!(cells(&run(size)), cells(&whole));
    }
}

#[test]
fn whole_numbers_keep_every_digit() {
    let rows = [
        ("a", 10, 0.0, i64::MAX),
        ("a", 20, 0.0, 3),
        ("a", 30, 0.0, i64::MAX - 1),
    ];
    let mut state = MemoryState::default();
    let settings = [
        ("columns", "count"),
        ("band", "1"),
        ("mode", "swinging_door"),
    ];
    let (mut deadband, _) = Deadband::init(&config(&settings), &readings()).unwrap();
    let mut asked = batch(&rows);
    asked.columns.remove(2);
    let sent = deadband
        .process(&asked, &mut state)
        .unwrap()
        .outputs
        .remove(0);
    assert_eq!(sent.columns[2].as_s64s().unwrap(), [i64::MAX, 3]);
}

#[test]
fn what_does_not_pass_writes_no_state() {
    let settings = [("band", "5%")];
    let (mut deadband, _) = Deadband::init(&config(&settings), &readings()).unwrap();
    let mut state = MemoryState::default();
    deadband
        .process(&batch(&[("a", 10, 20.0, 5)]), &mut state)
        .unwrap();
    let before = state.values.clone();
    let mut quiet = batch(&[("a", 20, 20.5, 5), ("b", 20, 1.0, 1)]);
    for column in &mut quiet.columns[2..] {
        column.validity = Some(vec![0b01]);
    }
    assert_eq!(
        deadband.process(&quiet, &mut state).unwrap().outputs[0].rows,
        0
    );
    assert_eq!(state.values, before);
}

#[test]
fn settings_are_checked() {
    let refused = |settings: &[(&str, &str)]| match Deadband::init(&config(settings), &readings()) {
        Err(Error::Invalid(text)) => text,
        _ => panic!("{settings:?} is taken"),
    };
    assert!(refused(&[]).contains("'temp' has no band"));
    assert!(refused(&[("band", "temp:1")]).contains("'count' has no band"));
    assert!(refused(&[("band", "1,2")]).contains("two bands"));
    assert!(refused(&[("band", "hum:1,2")]).contains("'hum'"));
    assert!(refused(&[("band", "-1")]).contains("'-1'"));
    assert!(refused(&[("band", "1"), ("mode", "door")]).contains("swinging_door"));
    assert!(refused(&[("band", "1"), ("max_silence", "soon")]).contains("max_silence"));
    assert!(refused(&[("band", "1"), ("columns", "status")]).contains("no numbers"));
    assert!(refused(&[("bands", "1")]).contains("bands"));
    let door = [("band", "1"), ("mode", "swinging_door"), ("key", "status")];
    assert!(refused(&door).contains("primary key"));
    let untimed: Vec<Field> = readings()
        .into_iter()
        .filter(|field| field.name != "ts")
        .collect();
    let silent = config(&[("band", "1"), ("max_silence", "1h")]);
    assert!(Deadband::init(&silent, &untimed).is_err());
    assert!(Deadband::init(&config(&[("band", "1")]), &untimed).is_ok());
}
