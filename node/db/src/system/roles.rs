//! Roles, what each was granted, and their tokens: no secret, and nothing that checks one.

use activestore_types::Result;
use arrow::array::{ArrayRef, BooleanArray, TimestampNanosecondArray};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;

use super::{batch, text};
use crate::tables::Relations;

pub(super) fn roles(relations: &Relations) -> Result<RecordBatch> {
    let state = relations.catalog.state();
    let all: Vec<_> = state.roles.values().collect();
    let flags = |values: Vec<bool>| Arc::new(BooleanArray::from(values)) as ArrayRef;
    batch(vec![
        ("name", text(all.iter().map(|r| r.name.as_str()))),
        ("login", flags(all.iter().map(|r| r.login).collect())),
        (
            "superuser",
            flags(all.iter().map(|r| r.superuser).collect()),
        ),
        (
            "password",
            flags(all.iter().map(|r| r.verifier.is_some()).collect()),
        ),
        (
            "member_of",
            text(all.iter().map(|r| {
                let roles: Vec<&str> = r.member_of.iter().map(String::as_str).collect();
                roles.join(", ")
            })),
        ),
        (
            "defined",
            text(all.iter().map(|r| if r.adopted { "cloud" } else { "here" })),
        ),
    ])
}

pub(super) fn grants(relations: &Relations) -> Result<RecordBatch> {
    let state = relations.catalog.state();
    let all: Vec<_> = state
        .roles
        .values()
        .flat_map(|role| role.grants.iter().map(move |grant| (role, grant)))
        .collect();
    batch(vec![
        ("role", text(all.iter().map(|(r, _)| r.name.as_str()))),
        (
            "privilege",
            text(all.iter().map(|(_, g)| g.privilege.name())),
        ),
        ("on", text(all.iter().map(|(_, g)| g.on.to_string()))),
    ])
}

pub(super) fn tokens(relations: &Relations) -> Result<RecordBatch> {
    let state = relations.catalog.state();
    let all: Vec<_> = state
        .roles
        .values()
        .flat_map(|role| role.tokens.iter().map(move |(id, token)| (role, id, token)))
        .collect();
    let moment = |ms: u64| {
        i64::try_from(ms)
            .ok()
            .and_then(|ms| ms.checked_mul(1_000_000))
    };
    let moments = |values: Vec<Option<u64>>| {
        let moments = values.into_iter().map(|ms| ms.and_then(moment));
        Arc::new(moments.collect::<TimestampNanosecondArray>()) as ArrayRef
    };
    batch(vec![
        ("id", text(all.iter().map(|(_, id, _)| id.as_str()))),
        ("role", text(all.iter().map(|(r, ..)| r.name.as_str()))),
        ("label", text(all.iter().map(|(.., t)| t.label.as_str()))),
        (
            "created_at",
            moments(all.iter().map(|(.., t)| Some(t.created_ms)).collect()),
        ),
        (
            "expires_at",
            moments(all.iter().map(|(.., t)| t.expires_ms).collect()),
        ),
    ])
}
