//! JSON's operators and functions.

use super::*;

const BODY: &str = r#"'{"a":{"b":[1,2.50,{"c":"x\"y"}]},"n":12345678901234567890,"t":true,"z":null,"s":"{no: \"json\"}","é":1}'"#;

async fn value(engine: &Engine, expression: &str) -> String {
    let sql = format!("SELECT {}", expression.replace("BODY", BODY));
    lines(engine, &sql).await.join(";")
}

#[tokio::test]
async fn paths_lead_to_values() {
    let engine = engine(&World::new());
    for (expression, wanted) in [
        ("BODY -> 'a' -> 'b'", r#"[1,2.50,{"c":"x\"y"}]"#),
        ("BODY -> 'a' -> 'b' ->> 1", "2.50"),
        ("BODY -> 'a' -> 'b' -> -1 ->> 'c'", "x\"y"),
        ("BODY #>> '{a,b,2,c}'", "x\"y"),
        ("BODY #> '{a,b,0}'", "1"),
        ("BODY ->> 'n'", "12345678901234567890"),
        ("BODY ->> 'z'", "-"),
        ("BODY -> 'z'", "null"),
        ("BODY ->> 'missing'", "-"),
        ("BODY ->> 's'", "{no: \"json\"}"),
        ("BODY ->> 'é'", "1"),
        ("json_get_int(BODY, 'a', 'b', 0) + 1", "2"),
        ("json_get_int(BODY, 's')", "-"),
        ("json_get_float(BODY, 'a', 'b', 1)", "2.5"),
        ("json_get_float(BODY, 's')", "-"),
        ("json_get_bool(BODY, 't')", "true"),
        ("json_contains(BODY, 'z')", "true"),
        ("json_contains(BODY, 'y')", "false"),
        ("json_length(BODY)", "6"),
        ("json_array_length(BODY -> 'a' -> 'b')", "3"),
        ("json_typeof(BODY, 'a')", "object"),
        ("json_object_keys(BODY, 'a')", "[b]"),
        ("json_extract_path_text(BODY, 'a', 'b', '2', 'c')", "x\"y"),
        ("'{oops' ->> 'a'", "-"),
        ("(NULL::TEXT) ->> 'a'", "-"),
        ("'[]' -> 0", "-"),
        ("'{}' ->> 'a'", "-"),
        ("' { \"a\" : [ 1 , 2 ] } ' -> 'a' -> 1", "2"),
    ] {
        assert_eq!(value(&engine, expression).await, wanted, "{expression}");
    }
    let error = try_rows(&engine, "SELECT json_get(1, 'a')", &[])
        .await
        .unwrap_err();
    assert!(error.to_string().contains("takes JSON"), "{error}");
}

mod found {
    use crate::json::{Step, find};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn at<'a>(text: &'a str, key: &str) -> Option<&'a str> {
        find(text, &[Step::Key(key)])
    }

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-c\"\\\\\u{e9}{}\\[\\],: ]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-c\"\\\\]{0,2}", inner), 0..4).prop_map(|members| {
                    members
                        .into_iter()
                        .fold(json!({}), |mut object, (key, value)| {
                            object[key] = value;
                            object
                        })
                }),
            ]
        })
    }

    proptest! {
        /// What is cut out of the text is what a parser finds.
        #[test]
        fn as_a_parser_finds_it(document in document(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&document).unwrap() } else { document.to_string() };
            match &document {
                Value::Object(members) => for (key, value) in members {
                    let found: Value = serde_json::from_str(at(&text, key).unwrap()).unwrap();
                    prop_assert_eq!(&found, value);
                },
                Value::Array(elements) => for (place, value) in elements.iter().enumerate() {
                    let found: Value = serde_json::from_str(at(&text, &place.to_string()).unwrap()).unwrap();
                    prop_assert_eq!(&found, value);
                },
                _ => prop_assert_eq!(at(&text, "a"), None),
            }
        }
    }
}
