//! Columns are found, rows are sorted by key, cells become rows.

use super::*;

fn field(name: &str, kind: ScalarType, nullable: bool) -> Field {
    Field {
        name: name.to_owned(),
        kind,
        nullable,
    }
}

fn fields() -> Vec<Field> {
    vec![
        field("ts", ScalarType::Timestamp, false),
        field("site", ScalarType::Text, false),
        field("temp", ScalarType::Float64, true),
        field("note", ScalarType::Text, true),
        field("count", ScalarType::Int64, true),
        field("device", ScalarType::Int64, false),
    ]
}

fn config(settings: &[(&str, &str)]) -> Config {
    let owned = settings
        .iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
    Config(owned.collect())
}

fn layout(settings: &[(&str, &str)]) -> Result<Layout, Error> {
    Layout::of(&config(settings), &fields(), |field| {
        field.kind == ScalarType::Float64
    })
}

#[test]
fn columns_are_asked_for_once() {
    let found = layout(&[]).unwrap();
    assert_eq!(found.columns, [1, 5, 0, 2]);
    assert_eq!(
        (found.primary.as_slice(), found.key.as_slice()),
        (&[0, 1, 2][..], &[0, 1][..])
    );
    assert_eq!((found.time, found.watched.as_slice()), (Some(2), &[3][..]));
    let names: Vec<_> = found.cells().into_iter().map(|field| field.name).collect();
    assert_eq!(names, ["site", "device", "ts", "temp"]);
    found.must_be_timed("it").unwrap();
    let named = layout(&[("columns", "count,temp"), ("key", "device")]).unwrap();
    assert_eq!((named.name(0), named.name(1)), ("count", "temp"));
    assert!(named.must_be_timed("it").is_err());
    for (settings, word) in [(("columns", "note"), "numbers"), (("key", "dev"), "'dev'")] {
        let Err(Error::Invalid(text)) = layout(&[settings]) else {
            panic!("{settings:?} is taken")
        };
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn rows_are_sorted_by_key_and_stay_in_order() {
    let devices: Vec<i64> = (0..1000).map(|row| row * row % 7).collect();
    let batch = Batch {
        rows: 1000,
        columns: vec![Column::s64s(devices.clone())],
    };
    let sorted = ByKey::of(&batch, &[0]);
    let mut seen = 0;
    for key in 0..sorted.len() {
        let rows = sorted.rows(key);
        assert!(rows.is_sorted() && !rows.is_empty());
        let device = devices[rows[0] as usize];
        assert!(rows.iter().all(|row| devices[*row as usize] == device));
        assert!(sorted.keys.get(key).ends_with(&device.to_le_bytes()));
        seen += rows.len();
    }
    assert_eq!((sorted.len(), seen), (4, 1000));
    assert!(
        ByKey::of(
            &Batch {
                rows: 0,
                columns: vec![]
            },
            &[]
        )
        .is_empty()
    );
    assert_eq!(
        ByKey::of(
            &Batch {
                rows: 3,
                columns: vec![]
            },
            &[]
        )
        .rows(0),
        [0, 1, 2]
    );
}

#[test]
fn cells_of_one_time_and_key_are_one_row() {
    let layout = layout(&[("columns", "temp,count")]).unwrap();
    let batch = Batch {
        rows: 2,
        columns: vec![
            Column::text(["a", "b"]),
            Column::s64s(vec![1, 2]),
            Column::s64s(vec![10, 20]),
            Column::f64s(vec![1.5, 2.5]),
            Column::s64s(vec![7, i64::MAX]),
        ],
    };
    let mut cells = Cells::default();
    let bits = |column: usize, row| Bits::of(&batch.columns[column], row).unwrap();
    cells.send(1, 20, 1, bits(4, 1));
    cells.send(0, 10, 0, bits(3, 1));
    cells.send(0, 10, 0, bits(3, 0));
    cells.send(0, 5, 0, Bits(f64::to_bits(9.0)));
    cells.send(0, 10, 1, bits(4, 0));
    let (rows, columns) = cells.into_rows(&batch, &layout);
    assert_eq!((rows, columns.len()), (3, 5));
    assert_eq!(columns[1].as_s64s().unwrap(), [1, 1, 2]);
    assert_eq!(columns[2].as_s64s().unwrap(), [5, 10, 20]);
    assert_eq!(columns[3].as_f64s().unwrap(), [9.0, 1.5, 0.0]);
    assert_eq!(columns[3].validity, Some(vec![0b011]));
    assert_eq!(columns[4].as_s64s().unwrap(), [0, 7, i64::MAX]);
    assert_eq!(columns[4].validity, Some(vec![0b110]));
}

#[test]
fn values_come_back_bit_for_bit() {
    let columns = [
        (ScalarType::Float64, Column::f64s(vec![-0.1])),
        (ScalarType::Float32, Column::of(Values::F32s(vec![20.1]))),
        (ScalarType::Int64, Column::s64s(vec![i64::MIN + 1])),
        (ScalarType::Int32, Column::of(Values::S32s(vec![-5]))),
        (ScalarType::Boolean, Column::bools(&[true])),
    ];
    for (kind, one) in columns {
        let bits = Bits::of(&one, 0);
        assert_eq!(bits.map(|bits| bits.number(kind)), one.number(0));
        let back = column(kind, &[bits]);
        assert_eq!(Bits::of(&back, 0), bits);
        assert_eq!(column(kind, &[None]).number(0), None);
    }
    assert_eq!(Bits::of(&Column::text(["1"]), 0), None);
}
