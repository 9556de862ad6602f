//! Functions that SQL has itself: what the sandbox costs is measured by them. Never shipped.

activestore_plugin::scalar! {
    /// SQL's `upper`.
    fn shout(text: &str) -> String {
        text.to_uppercase()
    }

    /// A number scaled and moved.
    fn scaled(x: f64) -> f64 {
        x * 1.8 + 32.0
    }
}
