//! Whether a client of the listener is let in, and as whom.

use std::sync::Arc;

use activestore_types::Result;

use super::codec::Hello;
use crate::mqtt_config::MqttLogin;
use crate::sink::{Anyone, RowSink, Visitor};

/// Who a client is; `None` for a wrong login or none where one is needed. The name and password of the configuration
/// are those of whoever configured the node: what its rules name may be written with them.
pub(super) async fn visitor(
    configured: Option<&MqttLogin>,
    sink: &dyn RowSink,
    hello: &Hello,
    from: std::net::IpAddr,
) -> Option<Arc<dyn Visitor>> {
    let given = hello.login.as_ref();
    let given = given.map(|(user, password)| (user.as_str(), password.as_str()));
    let fits = configured
        .is_some_and(|wanted| given == Some((wanted.username.as_str(), wanted.password.as_str())));
    if fits {
        return Some(Arc::new(Anyone));
    }
    let admitted: Result<Option<Arc<dyn Visitor>>> = sink.admit(given, from).await;
    match admitted {
        Ok(Some(visitor)) => Some(visitor),
        // Nobody has to log in but by the configuration.
        Ok(None) => configured.is_none().then(|| sink.anybody()),
        Err(_) => None,
    }
}

/// The name that a client's session is kept under: what one role left is not for another.
pub(super) fn session_name(visitor: &dyn Visitor, client_id: &str) -> String {
    match visitor.name() {
        "" => client_id.to_owned(),
        role => format!("{role}\0{client_id}"),
    }
}
