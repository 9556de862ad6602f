//! Roles and grants: against a simple model, and what is refused.

use std::collections::{BTreeMap, BTreeSet};

use activestore_types::{ErrorKind, TableName};
use proptest::prelude::*;

use super::{create, full, keyspace, readings};
use crate::*;

fn role(name: &str) -> RoleDef {
    RoleDef::named(name)
}

fn admin() -> RoleDef {
    RoleDef {
        login: true,
        superuser: true,
        verifier: Some(ScramVerifier {
            salt: vec![7; 16],
            iterations: 4096,
            stored_key: [1; 32],
            server_key: [2; 32],
        }),
        ..role("admin")
    }
}

fn put(def: RoleDef) -> Change {
    Change::Role(RoleChange::Create {
        def,
        if_not_exists: false,
    })
}

fn grant(privilege: Privilege, on: Scope, to: &str) -> Change {
    Change::Role(RoleChange::Grant {
        grants: BTreeSet::from([Grant { privilege, on }]),
        to: to.into(),
    })
}

fn table(name: &str) -> Scope {
    Scope::Table(name.parse().unwrap())
}

fn token(expires_ms: Option<u64>) -> TokenDef {
    TokenDef {
        sha256: [9; 32],
        label: "gateway".into(),
        created_ms: 1,
        expires_ms,
    }
}

#[test]
fn roles_survive_reopening_and_show_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.redb");
    let catalog = Catalog::open(&path).unwrap();
    full(&catalog);
    catalog.apply(put(admin())).unwrap();
    catalog
        .apply(grant(Privilege::Select, table("plant.readings"), "admin"))
        .unwrap();
    let put_token = Change::Role(RoleChange::PutToken {
        role: "admin".into(),
        id: "id".into(),
        token: token(Some(5)),
    });
    let before = catalog.apply(put_token).unwrap();
    drop(catalog);
    let after = Catalog::open(&path).unwrap().state();
    assert_eq!(*before, *after);
    let shown = format!("{:?}", after.roles);
    assert!(!shown.contains("stored_key") && !shown.contains("9, 9, 9"));
}

#[test]
fn there_is_always_a_superuser_who_can_log_in() {
    let catalog = Catalog::in_memory().unwrap();
    let refused = |change: Change| {
        let before = catalog.state();
        let error = catalog.apply(change).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert_eq!(*before, *catalog.state());
    };
    let alter = |login, superuser, verifier| {
        Change::Role(RoleChange::Alter {
            name: "admin".into(),
            login,
            superuser,
            verifier,
        })
    };
    refused(put(RoleDef {
        superuser: false,
        ..admin()
    }));
    catalog.apply(put(role("group"))).unwrap();
    assert!(!catalog.state().requires_login());
    catalog.apply(put(admin())).unwrap();
    assert!(catalog.state().requires_login());
    refused(alter(Some(false), None, None));
    refused(alter(None, Some(false), None));
    refused(alter(None, None, Some(None)));
    refused(Change::Role(RoleChange::Drop {
        name: "admin".into(),
        if_exists: false,
    }));
    let second = RoleDef {
        name: "second".into(),
        ..admin()
    };
    catalog.apply(put(second)).unwrap();
    catalog.apply(alter(Some(false), None, None)).unwrap();
}

#[test]
fn what_is_made_anew_begins_without_grants() {
    let catalog = Catalog::in_memory().unwrap();
    catalog.apply(keyspace("plant")).unwrap();
    catalog.apply(create(readings())).unwrap();
    catalog.apply(put(role("reader"))).unwrap();
    for on in [table("plant.readings"), Scope::Keyspace("plant".into())] {
        catalog
            .apply(grant(Privilege::Select, on, "reader"))
            .unwrap();
    }
    let drop_table = Change::DropTable {
        name: TableName::new("plant", "readings"),
        if_exists: false,
    };
    let state = catalog.apply(drop_table).unwrap();
    assert_eq!(state.role("reader").unwrap().grants.len(), 1);
    let drop_keyspace = Change::DropKeyspace {
        name: "plant".into(),
        if_exists: false,
    };
    let state = catalog.apply(drop_keyspace).unwrap();
    assert!(state.role("reader").unwrap().grants.is_empty());
}

#[test]
fn what_cannot_be_granted_is_refused() {
    let catalog = Catalog::in_memory().unwrap();
    full(&catalog);
    catalog.apply(put(role("a"))).unwrap();
    for (privilege, on) in [
        (Privilege::Execute, Scope::AllKeyspaces),
        (Privilege::Create, table("plant.readings")),
        (Privilege::Insert, Scope::Keyspace("system".into())),
        (Privilege::Select, Scope::AllFunctions),
        (Privilege::Select, table("plant.nothing")),
        (Privilege::Execute, Scope::Function("nothing".into())),
    ] {
        assert!(catalog.apply(grant(privilege, on, "a")).is_err());
    }
    catalog
        .apply(grant(
            Privilege::Select,
            Scope::Keyspace("system".into()),
            "a",
        ))
        .unwrap();
    let join = |role: &str, member: &str| {
        Change::Role(RoleChange::Join {
            role: role.into(),
            member: member.into(),
        })
    };
    catalog.apply(put(role("b"))).unwrap();
    catalog.apply(put(role("c"))).unwrap();
    catalog.apply(join("a", "b")).unwrap();
    catalog.apply(join("b", "c")).unwrap();
    for (role, member) in [("a", "a"), ("b", "a"), ("c", "a")] {
        let error = catalog.apply(join(role, member)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }
}

#[test]
fn roles_travel_and_belong_to_the_cloud() {
    let (cloud, edge) = (Catalog::in_memory().unwrap(), Catalog::in_memory().unwrap());
    cloud.apply(put(admin())).unwrap();
    let local = RoleDef {
        name: "local".into(),
        ..admin()
    };
    edge.apply(put(local)).unwrap();
    let adopt = |bundle| edge.apply(Change::AdoptBundle(bundle)).unwrap();
    let state = adopt(cloud.state().bundle());
    assert!(state.role("admin").unwrap().adopted);
    assert!(!state.role("local").unwrap().adopted);
    let error = edge
        .apply(Change::Role(RoleChange::Drop {
            name: "admin".into(),
            if_exists: false,
        }))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    // A cloud of an earlier release says nothing of roles.
    let state = adopt(Bundle {
        roles: None,
        ..cloud.state().bundle()
    });
    assert!(state.role("admin").is_ok());
    let state = adopt(Bundle {
        roles: Some(BTreeMap::new()),
        ..cloud.state().bundle()
    });
    assert!(state.role("admin").is_err() && state.role("local").is_ok());
    // Nor does a role of the cloud take the place of the one that administers this node.
    cloud
        .apply(put(RoleDef {
            name: "local".into(),
            ..admin()
        }))
        .unwrap();
    let state = adopt(cloud.state().bundle());
    assert!(!state.role("local").unwrap().adopted);
}

#[test]
fn a_cloud_without_roles_opens_no_edge() {
    let (cloud, edge) = (Catalog::in_memory().unwrap(), Catalog::in_memory().unwrap());
    cloud.apply(put(admin())).unwrap();
    let adopt = |bundle| edge.apply(Change::AdoptBundle(bundle)).unwrap();
    assert!(adopt(cloud.state().bundle()).requires_login());
    let fresh = Catalog::in_memory().unwrap();
    let state = adopt(fresh.state().bundle());
    assert!(state.requires_login() && state.role("admin").is_ok());
}

#[test]
fn bundles_of_earlier_releases_say_nothing_of_roles() {
    let catalog = Catalog::in_memory().unwrap();
    full(&catalog);
    let bundle = Bundle {
        roles: None,
        ..catalog.state().bundle()
    };
    let bytes = postcard::to_stdvec(&bundle).unwrap();
    for missing in 0..=5 {
        let earlier = &bytes[..bytes.len() - missing];
        assert_eq!(Bundle::decode(earlier).unwrap(), bundle, "{missing}");
    }
    // What an earlier release reads of one that has roles: it stops before them and the map that follows.
    catalog.apply(put(admin())).unwrap();
    let with = postcard::to_stdvec(&catalog.state().bundle()).unwrap();
    let before = bytes.len() - 2;
    assert_eq!(with[..before], bytes[..before]);
}

const ROLES: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone, Debug)]
enum Step {
    Grant(usize, Privilege, usize),
    Revoke(usize, Privilege, usize),
    Join(usize, usize),
    Leave(usize, usize),
}

fn scopes() -> Vec<Scope> {
    vec![
        Scope::AllKeyspaces,
        Scope::Keyspace("plant".into()),
        Scope::Keyspace("other".into()),
        table("plant.readings"),
        table("plant.alerts"),
        table("other.readings"),
        Scope::AllFunctions,
        Scope::Function("f_to_c".into()),
        Scope::Model("pump_health".into()),
        Scope::Keyspace("system".into()),
        table("system.processors"),
    ]
}

/// Which of [`scopes`] each of them reaches, itself included, written out.
fn reaches(scope: usize) -> &'static [usize] {
    match scope {
        0 => &[0, 1, 2, 3, 4, 5],
        1 => &[1, 3, 4],
        2 => &[2, 5],
        3 => &[3],
        4 => &[4],
        5 => &[5],
        6 => &[6, 7, 8],
        7 => &[7],
        8 => &[8],
        9 => &[9, 10],
        _ => &[10],
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let role = 0..ROLES.len();
    let privilege = prop::sample::select(Privilege::ALL.to_vec());
    let scope = 0..scopes().len();
    let one = prop_oneof![
        3 => (role.clone(), privilege.clone(), scope.clone()).prop_map(|(r, p, s)| Step::Grant(r, p, s)),
        1 => (role.clone(), privilege, scope).prop_map(|(r, p, s)| Step::Revoke(r, p, s)),
        2 => (role.clone(), role.clone()).prop_map(|(a, b)| Step::Join(a, b)),
        1 => (role.clone(), role).prop_map(|(a, b)| Step::Leave(a, b)),
    ];
    prop::collection::vec(one, 0..40)
}

fn is_member(joined: &BTreeSet<(usize, usize)>, member: usize, of: usize) -> bool {
    member == of
        || joined
            .iter()
            .any(|(role, who)| *who == member && is_member(joined, *role, of))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn rights_are_those_of_a_simple_model(steps in steps()) {
        let catalog = Catalog::in_memory().unwrap();
        full(&catalog);
        let more = TableDefinition { name: "other.readings".parse().unwrap(), ..readings() };
        catalog.apply(keyspace("other")).unwrap();
        catalog.apply(create(more)).unwrap();
        for name in ROLES {
            catalog.apply(put(role(name))).unwrap();
        }
        let mut held = BTreeSet::new();
        let mut joined = BTreeSet::new();
        let scopes = scopes();
        for step in steps {
            match step {
                Step::Grant(to, privilege, on) => {
                    let done = catalog.apply(grant(privilege, scopes[on].clone(), ROLES[to]));
                    prop_assert_eq!(done.is_ok(), scopes[on].takes(privilege));
                    if done.is_ok() {
                        held.insert((to, privilege, on));
                    }
                }
                Step::Revoke(from, privilege, on) => {
                    let grants = BTreeSet::from([Grant { privilege, on: scopes[on].clone() }]);
                    let from_name = ROLES[from].to_owned();
                    catalog.apply(Change::Role(RoleChange::Revoke { grants, from: from_name })).unwrap();
                    held.remove(&(from, privilege, on));
                }
                Step::Join(of, who) => {
                    let change = RoleChange::Join { role: ROLES[of].into(), member: ROLES[who].into() };
                    let done = catalog.apply(Change::Role(change)).is_ok();
                    prop_assert_eq!(done, !is_member(&joined, of, who));
                    if done {
                        joined.insert((of, who));
                    }
                }
                Step::Leave(of, who) => {
                    let change = RoleChange::Leave { role: ROLES[of].into(), member: ROLES[who].into() };
                    catalog.apply(Change::Role(change)).unwrap();
                    joined.remove(&(of, who));
                }
            }
        }
        let state = catalog.state();
        for (who, name) in ROLES.iter().enumerate() {
            for privilege in Privilege::ALL {
                for (wanted, on) in scopes.iter().enumerate() {
                    let expected = held.iter().any(|(role, granted, scope)| {
                        *granted == privilege
                            && is_member(&joined, who, *role)
                            && reaches(*scope).contains(&wanted)
                    });
                    prop_assert_eq!(state.allows(name, privilege, on), expected);
                }
            }
        }
    }
}
