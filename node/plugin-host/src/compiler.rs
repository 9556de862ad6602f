//! The compiler: makes native code of components, for this machine and for others. A program may be built
//! without it; then components run by the images that they carry.

use activestore_types::Result;

use crate::image::ImageTarget;
use crate::signature::SigningKey;

/// Whether the program has it.
pub(crate) const IS_THERE: bool = cfg!(feature = "compiler");

#[cfg(feature = "compiler")]
use with as inner;
#[cfg(not(feature = "compiler"))]
use without as inner;

pub(crate) use inner::compile;

/// Compiles a component for `target`, adds the image, signed by `key`, and signs the component as well.
/// An image for the same target that it carries is replaced.
///
/// # Errors
/// `Invalid` when the bytes are no component, or more than the compiler should be given, and in a program
/// that was built without the compiler; `Denied` when a signature that is there is wrong.
pub fn precompile(component: &[u8], target: ImageTarget, key: &SigningKey) -> Result<Vec<u8>> {
    inner::precompile(component, target, key)
}

#[cfg(feature = "compiler")]
mod with {
    use activestore_types::{Error, Result};
    use wasmtime::Engine;
    use wasmtime::component::Component;

    use crate::complexity;
    use crate::engine::engine_for;
    use crate::image::{ImageTarget, attach};
    use crate::signature::{Signed, SigningKey};

    pub(crate) fn compile(engine: &Engine, component: &[u8]) -> Result<Component> {
        complexity::check(component)?;
        Component::from_binary(engine, component).map_err(|error| not_valid(&error))
    }

    pub(super) fn precompile(
        component: &[u8],
        target: ImageTarget,
        key: &SigningKey,
    ) -> Result<Vec<u8>> {
        let signed = key.sign(component)?;
        let body = Signed::read(&signed)?.body;
        complexity::check(body)?;
        let image = engine_for(target)?
            .precompile_component(body)
            .map_err(|error| not_valid(&error))?;
        attach(&signed, target, &image, key)
    }

    fn not_valid(error: &wasmtime::Error) -> Error {
        Error::invalid(format!(
            "it is not a valid component: {}",
            error.root_cause()
        ))
    }
}

#[cfg(not(feature = "compiler"))]
mod without {
    use activestore_types::{Error, Result};
    use wasmtime::Engine;
    use wasmtime::component::Component;

    use crate::image::ImageTarget;
    use crate::signature::SigningKey;

    pub(crate) fn compile(_engine: &Engine, _component: &[u8]) -> Result<Component> {
        Err(missing())
    }

    pub(super) fn precompile(
        _component: &[u8],
        _target: ImageTarget,
        _key: &SigningKey,
    ) -> Result<Vec<u8>> {
        Err(missing())
    }

    fn missing() -> Error {
        Error::invalid("this program was built without the compiler")
            .with_hint("run it on a machine whose program has the compiler")
    }
}
