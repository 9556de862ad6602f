//! What Tab offers.

use super::*;

fn offered(line: &str) -> Vec<String> {
    let names = Names::from([
        (
            "plant.readings".to_owned(),
            vec!["device".to_owned(), "temp".to_owned()],
        ),
        ("plant.alerts".to_owned(), vec!["reason".to_owned()]),
    ]);
    suggestions(&names, line, line.len())
        .into_iter()
        .map(|suggestion| suggestion.value)
        .collect()
}

#[test]
fn keywords_keep_the_case_that_was_typed() {
    assert_eq!(offered("sel"), ["select"]);
    assert_eq!(offered("SEL"), ["SELECT"]);
}

#[test]
fn tables_are_found_by_their_own_name_or_their_keyspace() {
    assert_eq!(offered("select * from read")[0], "plant.readings");
    assert_eq!(
        offered("select * from plant."),
        ["plant.alerts", "plant.readings"]
    );
}

#[test]
fn columns_of_named_tables_come_first() {
    assert_eq!(
        offered("select * from plant.readings where de")[0],
        "device"
    );
    assert!(!offered("select * from plant.alerts where de").contains(&"device".to_owned()));
}

#[test]
fn nothing_is_offered_inside_text() {
    assert!(offered("select 'sel").is_empty());
    assert!(offered("-- sel").is_empty());
    assert!(offered("").is_empty());
}

#[test]
fn meta_commands_are_offered_at_the_start() {
    assert!(offered("\\ti").contains(&"\\timing".to_owned()));
}
