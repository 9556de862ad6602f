//! Where a login comes from.

use super::*;

fn header(user: Option<&str>, variables: &[(&str, &str)], typed: &str) -> Option<String> {
    let variable = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let ask = |_: &str| Ok(typed.to_owned());
    let login = find(user.map(str::to_owned), variable, ask).unwrap();
    login.map(|login| login.header().to_owned())
}

#[test]
fn a_name_goes_with_a_password_and_a_token_alone() {
    assert_eq!(header(None, &[], ""), None);
    assert_eq!(header(None, &[(PASSWORD_VARIABLE, "x")], ""), None);
    let basic = Some("Basic YW5uOnNlY3JldA==".to_owned());
    assert_eq!(header(Some("ann"), &[], "secret"), basic);
    let both = [(USER_VARIABLE, "ann"), (PASSWORD_VARIABLE, "secret")];
    assert_eq!(header(None, &both, ""), basic);
    let token = [(TOKEN_VARIABLE, "ast_1_2"), (PASSWORD_VARIABLE, "secret")];
    assert_eq!(header(None, &token, ""), Some("Bearer ast_1_2".into()));
    assert_eq!(header(Some("ann"), &token, ""), basic);
}

#[test]
fn a_hidden_line_can_be_mended() {
    let line = |text: &[u8]| hidden_line(&mut &*text);
    assert_eq!(line(b"secreT\x7ft\rmore").unwrap(), "secret");
    assert_eq!(line("ü\x7fa\r".as_bytes()).unwrap(), "a");
    assert!(line(b"abc\x03").is_err());
}
