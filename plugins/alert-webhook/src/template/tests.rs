//! Messages are filled, and templates that cannot be are refused.

use super::Template;
use crate::group::Group;

fn group() -> Group {
    let mut group = Group::default();
    for (device, value) in [("\"a\"", "1"), ("\"say \\\"b\\\"\"", "2.5")] {
        group.add(vec![device.to_owned(), value.to_owned()], 10);
    }
    group
}

#[test]
fn places_are_filled() {
    let columns = ["device", "value"];
    let filled = |text| {
        Template::parse(text, &columns)
            .unwrap()
            .fill(&group(), &columns)
    };
    assert_eq!(
        filled(None),
        r#"{"count":2,"rows":[{"device":"a","value":1},{"device":"say \"b\"","value":2.5}]}"#
    );
    assert_eq!(
        filled(Some(
            r#"{"text": "${device} is at ${value}, one of ${count}"}"#
        )),
        r#"{"text": "say \"b\" is at 2.5, one of 2"}"#
    );
    assert_eq!(filled(Some("$ {device} }{")), "$ {device} }{");
}

#[test]
fn what_cannot_be_filled_is_refused() {
    for (text, message) in [
        ("${host}", "names 'host'; there are rows, count, device"),
        ("a ${device", "no '}' ends"),
        (&*"x".repeat(20_000), "20000 bytes"),
    ] {
        let error = Template::parse(Some(text), &["device"]).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}
