//! Roles that come with the definitions of the cloud.

use std::collections::BTreeMap;

use activestore_types::Result;

use super::{MAX_ROLES, RoleDef, bounded};
use crate::names::check_identifier;
use crate::state::CatalogState;

/// Takes over the roles of the cloud. A cloud of an earlier release says nothing of roles, and then what it said
/// before stays: a node must not open itself because its cloud was downgraded. Nor because the cloud has lost its
/// roles or another one took its place: where a login is asked for and the cloud's roles would leave nobody who can
/// administer this node, those of before stay.
pub(crate) fn adopt(
    state: &mut CatalogState,
    roles: Option<BTreeMap<String, RoleDef>>,
) -> Result<()> {
    let Some(roles) = roles else {
        return Ok(());
    };
    bounded("roles", roles.len().saturating_sub(1), MAX_ROLES)?;
    let required = state.requires_login();
    let mut next = state.roles.clone();
    next.retain(|_, role| !role.adopted);
    for (name, mut role) in roles {
        check_identifier("role", &name)?;
        // Who administers this node by a role of its own does not lose it to one of the same name.
        let own = next.get(&name).is_some_and(RoleDef::can_administer);
        if own {
            continue;
        }
        role.name.clone_from(&name);
        role.adopted = true;
        next.insert(name, role);
    }
    if !required || next.values().any(RoleDef::can_administer) {
        state.roles = next;
    }
    Ok(())
}
