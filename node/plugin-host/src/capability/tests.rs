//! Grants are read, shown and asked for.

use super::{Grants, Wants};

#[test]
fn grants_are_read_and_shown_in_one_order() {
    let grants = Grants::parse([
        "http:b.example",
        "read:plant.limits",
        "random",
        "http:A.example:81",
        "clock",
        "clock",
    ])
    .unwrap();
    assert_eq!(
        grants.items(),
        [
            "clock",
            "random",
            "read:plant.limits",
            "http:a.example:81",
            "http:b.example"
        ]
    );
    assert_eq!(Grants::parse(grants.items()).unwrap(), grants);
    for wrong in [
        "",
        "clocks",
        "read:",
        "read:plant",
        "read:.x",
        "write:plant.x",
        "http",
        "http:",
        "http:*.example.com",
        "http://a.example",
    ] {
        let error = Grants::parse([wrong]).unwrap_err();
        assert!(
            error
                .message()
                .contains(&format!("'{wrong}' cannot be granted"))
        );
    }
}

#[test]
fn what_is_not_granted_is_refused_by_name() {
    let all = Wants {
        clock: true,
        random: true,
        tables: true,
        http: true,
    };
    let some = Grants::parse(["clock", "random"]).unwrap();
    let error = some.admit(all).unwrap_err();
    assert!(error.message().contains("rows of tables"), "{error}");
    some.admit(Wants {
        tables: false,
        http: false,
        ..all
    })
    .unwrap();
    assert!(Grants::default().admit(Wants::default()).is_ok());
    assert!(Grants::default().admit(all).is_err());
}
