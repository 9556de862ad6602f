//! What is recognised as a subscription, and how its events are printed.

use super::*;

#[test]
fn a_subscription_is_known_by_its_first_word() {
    for yes in [
        "SUBSCRIBE SELECT 1",
        "subscribe select 1",
        " -- why\n/* so */ Subscribe SELECT 1",
    ] {
        assert!(is_subscription(yes), "{yes}");
    }
    for no in ["SELECT 'SUBSCRIBE'", "", "-- SUBSCRIBE", "\"subscribe\""] {
        assert!(!is_subscription(no), "{no}");
    }
}

#[test]
fn events_become_lines_and_the_last_place_is_kept() {
    let mut printer = Printer::new(OutputFormat::Table).unwrap();
    let event = |text: &str| serde_json::from_str::<Event>(text).unwrap();
    let row = event(r#"{"op":"upsert","id":"a.1.0.5","row":{"z":"p1","a":81.5,"n":null}}"#);
    assert_eq!(
        printer.line(&row),
        "op        z             a             n\nupsert    p1            81.5          NULL"
    );
    let range =
        event(r#"{"op":"erase","id":"a.2.0.0","from":{"z":"p1"},"through":{"z":"p1","n":3}}"#);
    assert_eq!(printer.line(&range), "erase     from z=p1 through z=p1 n=3");
    let body = "{\"op\":\"live\",\"id\":\"a.3.0.0\"}\n{\"op\":\"end\",\"error\":{\"code\":\"closed\",\"message\":\"so\",\"hint\":null}}\n";
    let error = printer.print(body.as_bytes()).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Closed, "so"));
    assert_eq!(printer.token.as_deref(), Some("a.3.0.0"));
    assert!(Printer::new(OutputFormat::Csv).is_err());
}
