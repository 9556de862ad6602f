//! Roles, tokens and grants as statements write them.

use std::collections::BTreeSet;
use std::time::Duration;

use activestore_catalog::{Grant, Privilege, RoleChange, Scope};

use super::super::{RoleStatement, Secret, Show, Statement, parse};
use super::wrong;

fn role(sql: &str) -> RoleStatement {
    let mut all = parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    match all.pop() {
        Some(Statement::Role(statement)) if all.is_empty() => statement,
        other => panic!("{sql}: {other:?}"),
    }
}

fn changes(sql: &str) -> Vec<RoleChange> {
    match role(sql) {
        RoleStatement::Change { changes, .. } => changes,
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn roles_are_made_with_what_they_are() {
    let made = role("CREATE USER IF NOT EXISTS ann WITH SUPERUSER PASSWORD 'it''s' IN ROLE a, b");
    assert_eq!(
        made,
        RoleStatement::Create {
            name: "ann".into(),
            login: true,
            superuser: true,
            password: Some(Secret::new("it's")),
            member_of: BTreeSet::from(["a".into(), "b".into()]),
            if_not_exists: true,
        }
    );
    assert!(!format!("{made:?}").contains("it's"));
    assert!(matches!(
        role("CREATE ROLE team"),
        RoleStatement::Create {
            login: false,
            superuser: false,
            password: None,
            ..
        }
    ));
    assert!(matches!(
        role("ALTER ROLE ann NOLOGIN PASSWORD NULL"),
        RoleStatement::Alter {
            login: Some(false),
            superuser: None,
            password: Some(None),
            ..
        }
    ));
    assert_eq!(
        role("CREATE TOKEN FOR ann WITH (expires = '30d', label = 'panel')"),
        RoleStatement::CreateToken {
            role: "ann".into(),
            expires: Some(Duration::from_secs(30 * 86_400)),
            label: "panel".into(),
        }
    );
}

#[test]
fn rights_are_granted_on_what_they_mean_something_on() {
    let granted = |sql: &str| {
        let mut changes = changes(sql);
        match (changes.pop(), changes.is_empty()) {
            (Some(RoleChange::Grant { grants, to }), true) => (grants, to),
            other => panic!("{sql}: {other:?}"),
        }
    };
    let grants = |privileges: &[Privilege], on: &Scope| -> BTreeSet<Grant> {
        let grant = |privilege: &Privilege| Grant {
            privilege: *privilege,
            on: on.clone(),
        };
        privileges.iter().map(grant).collect()
    };
    use Privilege::{Alter, Create, Delete, Drop, Execute, Insert, Select, Update};
    for (sql, privileges, on) in [
        (
            "SELECT, insert ON plant.t",
            &[Select, Insert][..],
            Scope::Table("plant.t".parse().unwrap()),
        ),
        (
            "MODIFY ON TABLE t",
            &[Insert, Update, Delete],
            Scope::Table("public.t".parse().unwrap()),
        ),
        (
            "ALL ON plant.t",
            &[Select, Insert, Update, Delete, Alter, Drop],
            Scope::Table("plant.t".parse().unwrap()),
        ),
        (
            "ALL PRIVILEGES ON KEYSPACE plant",
            &[Select, Insert, Update, Delete, Alter, Create, Drop],
            Scope::Keyspace("plant".into()),
        ),
        (
            "ALL ON ALL FUNCTIONS",
            &[Execute, Create, Alter, Drop],
            Scope::AllFunctions,
        ),
        (
            "EXECUTE ON FUNCTION f",
            &[Execute],
            Scope::Function("f".into()),
        ),
        ("EXECUTE ON MODEL m", &[Execute], Scope::Model("m".into())),
        ("CREATE ON ALL KEYSPACES", &[Create], Scope::AllKeyspaces),
    ] {
        let (got, to) = granted(&format!("GRANT {sql} TO ann"));
        assert_eq!(
            (got, to.as_str()),
            (grants(privileges, &on), "ann"),
            "{sql}"
        );
    }
    assert_eq!(changes("REVOKE SELECT ON t FROM a, b").len(), 2);
    assert_eq!(
        changes("GRANT team TO ann"),
        [RoleChange::Join {
            role: "team".into(),
            member: "ann".into()
        }]
    );
    assert_eq!(
        changes("REVOKE team FROM ann"),
        [RoleChange::Leave {
            role: "team".into(),
            member: "ann".into()
        }]
    );
    for sql in [
        "SHOW GRANTS FOR ann",
        "SHOW GRANTS",
        "SHOW ROLES",
        "SHOW TOKENS",
    ] {
        let shown = parse(sql).unwrap();
        assert!(matches!(
            shown[0],
            Statement::Show(Show::Grants { .. } | Show::Roles | Show::Tokens)
        ));
    }
    wrong("GRANT SELECT ON t", "expected TO");
    wrong("GRANT SELECT, x ON t TO a", "a privilege");
    wrong(
        "GRANT SELECT ON ALL TABLES TO a",
        "ALL KEYSPACES or ALL FUNCTIONS",
    );
    wrong("ALTER ROLE a", "PASSWORD");
    wrong(
        "CREATE TOKEN FOR a WITH (for_ever = true)",
        "no option 'for_ever'",
    );
}

#[test]
fn no_error_shows_a_password() {
    for sql in [
        "CREATE USER a PASWORD 'hunter2'",
        "CREATE USER a PASSWORD hunter2",
        "CREATE USER a PASSWORD 'x' 'hunter2'",
        "ALTER USER a 'hunter2'",
        "ALTER ROLE a PASSWORD 'x', 'hunter2'",
    ] {
        let error = parse(sql).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
