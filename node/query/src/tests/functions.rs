//! Plugins' functions and models in SQL: types, errors, and guests that do not keep their word.

use activestore_types::ErrorKind;
use arrow::array::AsArray;
use arrow::datatypes::Float64Type;

use super::*;

#[derive(Debug)]
pub(super) struct Twice {
    name: &'static str,
    args: Vec<DataType>,
    gives: fn(usize, &[ArrayRef]) -> Result<ArrayRef>,
}

impl ColumnFunction for Twice {
    fn name(&self) -> &str {
        self.name
    }
    fn args(&self) -> &[DataType] {
        &self.args
    }
    fn returns(&self) -> DataType {
        DataType::Double
    }
    fn call(&self, rows: usize, args: &[ArrayRef]) -> Result<ArrayRef> {
        (self.gives)(rows, args)
    }
}

pub(super) fn twice(
    name: &'static str,
    gives: fn(usize, &[ArrayRef]) -> Result<ArrayRef>,
) -> Arc<Twice> {
    Arc::new(Twice {
        name,
        args: vec![DataType::Double],
        gives,
    })
}

pub(super) fn doubled(_rows: usize, args: &[ArrayRef]) -> Result<ArrayRef> {
    let values = args[0].as_primitive::<Float64Type>();
    Ok(Arc::new(
        values.unary::<_, Float64Type>(|value| value * 2.0),
    ))
}

#[tokio::test]
async fn functions_take_what_casts_and_come_and_go() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    assert!(try_rows(&engine, "SELECT twice(1)", &[]).await.is_err());
    engine.register(twice("twice", doubled)).unwrap();
    assert_eq!(
        lines(
            &engine,
            "SELECT twice(1), twice(1.5), twice(NULL), twice('2.5')"
        )
        .await,
        ["2.0 3.0 - 5.0"]
    );
    assert_eq!(lines(&engine, "SELECT twice(n), twice(temp) FROM plant.readings WHERE twice(n) > 196 AND device = 'p1'").await, ["198.0 99.0"]);
    let error = try_rows(&engine, "SELECT twice(1, 2)", &[])
        .await
        .unwrap_err();
    assert!(
        error
            .message()
            .contains("twice(DOUBLE) takes 1 arguments, 2 are given"),
        "{error}"
    );
    engine
        .register(twice("twice", |rows, _| {
            Ok(Arc::new(Float64Array::from(vec![7.0; rows])))
        }))
        .unwrap();
    assert_eq!(lines(&engine, "SELECT twice(1)").await, ["7.0"]);
    engine.deregister("twice");
    assert_eq!(
        try_rows(&engine, "SELECT twice(1)", &[])
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn builtin_names_are_taken() {
    let engine = engine(&World::new());
    for name in ["now", "predict", "tumble", "avg", "abs"] {
        assert_eq!(
            engine.register(twice(name, doubled)).unwrap_err().kind(),
            ErrorKind::Conflict,
            "{name}"
        );
        engine.deregister(name);
    }
    assert_eq!(lines(&engine, "SELECT abs(-1)").await, ["1"]);
}

/// What a function of a test does.
type Body = fn(usize, &[ArrayRef]) -> Result<ArrayRef>;

#[tokio::test]
async fn a_function_that_breaks_its_word_fails_the_query_alone() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    let cases: [(&str, Body, &str); 4] = [
        (
            "short",
            |_, _| Ok(Arc::new(Float64Array::from(vec![1.0]))),
            "values for",
        ),
        (
            "typed",
            |rows, _| Ok(Arc::new(StringArray::from(vec!["x"; rows]))),
            "declares",
        ),
        (
            "trap",
            |_, _| Err(Error::new(ErrorKind::Overloaded, "out of fuel")),
            "out of fuel",
        ),
        ("broken", |_, _| panic!("boom"), "boom"),
    ];
    for (name, gives, says) in cases {
        engine.register(twice(name, gives)).unwrap();
        let error = try_rows(
            &engine,
            &format!("SELECT {name}(temp) FROM plant.readings"),
            &[],
        )
        .await
        .unwrap_err();
        assert!(error.message().contains(says), "{name}: {error}");
        if name == "trap" {
            assert_eq!(error.kind(), ErrorKind::Overloaded);
        }
    }
    assert_eq!(
        lines(&engine, "SELECT count(*) FROM plant.readings").await,
        ["300"]
    );
}

#[tokio::test]
async fn models_predict() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    assert_eq!(
        lines(
            &engine,
            "SELECT predict('sum', n, temp) FROM plant.readings WHERE device = 'p1' AND n >= 98"
        )
        .await,
        ["148.5", "147.0"]
    );
    assert_eq!(
        lines(
            &engine,
            "SELECT avg(predict('sum', n, NULL)), max(predict('sum', n, 1)) FROM plant.readings"
        )
        .await,
        ["- 100.0"]
    );
    for (sql, says) in [
        (
            "SELECT predict('other', n) FROM plant.readings",
            "there is no model 'other'",
        ),
        (
            "SELECT predict('sum', n) FROM plant.readings",
            "takes 2 inputs, predict() is given 1",
        ),
        (
            "SELECT predict(device, n, n) FROM plant.readings",
            "single quotes",
        ),
        (
            "SELECT predict('sum') FROM plant.readings",
            "predict('model', a, b)",
        ),
        (
            "SELECT predict('sum', device, n) FROM plant.readings",
            "a number is needed",
        ),
    ] {
        let error = try_rows(&engine, sql, &[]).await.expect_err(sql);
        assert!(error.to_string().contains(says), "{sql}: {error}");
    }
}
