//! Lines for the people who run the plugin, and the hook that turns a panic into one.

use std::sync::Once;

#[cfg(target_family = "wasm")]
use crate::bindings::imports::activestore::plugin::log::{Level, log};

/// Worth knowing.
pub fn info(message: &str) {
    #[cfg(target_family = "wasm")]
    log(Level::Info, message);
    #[cfg(not(target_family = "wasm"))]
    println!("info: {message}");
}

/// Worth a look.
pub fn warn(message: &str) {
    #[cfg(target_family = "wasm")]
    log(Level::Warn, message);
    #[cfg(not(target_family = "wasm"))]
    println!("warn: {message}");
}

/// Something failed.
pub fn error(message: &str) {
    #[cfg(target_family = "wasm")]
    log(Level::Error, message);
    #[cfg(not(target_family = "wasm"))]
    println!("error: {message}");
}

/// For the plugin's author.
pub fn debug(message: &str) {
    #[cfg(target_family = "wasm")]
    log(Level::Debug, message);
    #[cfg(not(target_family = "wasm"))]
    println!("debug: {message}");
}

/// Makes panics tell their message and place: a bare trap says neither. The macros call it.
#[doc(hidden)]
pub fn report_panics() {
    static HOOK: Once = Once::new();
    if cfg!(target_family = "wasm") {
        HOOK.call_once(|| std::panic::set_hook(Box::new(|panic| error(&panic.to_string()))));
    }
}
