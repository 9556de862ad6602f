//! Models: what [`crate::model!`] needs.

use crate::exports::model as wit;
use crate::processor::Config;
use crate::{Column, Error, Field};

/// What a model takes and gives. The first output is what SQL's `predict` returns.
#[derive(Clone, Debug, Default)]
pub struct Signature {
    /// The columns it takes.
    pub inputs: Vec<Field>,
    /// The columns it gives.
    pub outputs: Vec<Field>,
}

/// A model: loaded once, asked many times.
pub trait Model: Sized + 'static {
    /// Reads the artifact. `config` is what `CREATE MODEL … WITH` gave beside the file.
    ///
    /// # Errors
    /// `invalid` when it cannot be used, or for settings that are not known.
    fn load(config: &Config, artifact: &[u8]) -> Result<(Self, Signature), Error>;

    /// One output column for each that the signature names, `rows` long. What is returned for a row
    /// with a null input does not matter: the score is null.
    ///
    /// # Errors
    /// Whatever makes the whole call fail.
    fn infer(&mut self, rows: usize, inputs: &[Column]) -> Result<Vec<Column>, Error>;
}

#[doc(hidden)]
pub fn load<M: Model>(
    config: Vec<(String, String)>,
    artifact: &[u8],
) -> Result<(M, wit::Signature), Error> {
    crate::log::report_panics();
    let (model, signature) = M::load(&Config(config), artifact)?;
    let signature = wit::Signature {
        inputs: signature.inputs,
        outputs: signature.outputs,
    };
    Ok((model, signature))
}

/// Makes a plugin of a type that implements [`Model`].
#[macro_export]
macro_rules! model {
    ($type:ty) => {
        #[doc(hidden)]
        struct ActivestorePlugin;

        // Outside of the sandbox nothing is exported; this keeps the type in use there.
        const _: fn(
            &$crate::Config,
            &[u8],
        ) -> Result<($type, $crate::Signature), $crate::Error> = <$type as $crate::Model>::load;

        ::std::thread_local! {
            static ACTIVESTORE_MODEL: ::std::cell::RefCell<Option<$type>> =
                const { ::std::cell::RefCell::new(None) };
        }

        impl $crate::exports::model::Guest for ActivestorePlugin {
            fn load(
                config: Vec<(String, String)>,
                artifact: Vec<u8>,
            ) -> Result<$crate::exports::model::Signature, $crate::Error> {
                let (model, signature) = $crate::model::load::<$type>(config, &artifact)?;
                ACTIVESTORE_MODEL.set(Some(model));
                Ok(signature)
            }

            fn infer(
                rows: u32,
                inputs: Vec<$crate::Column>,
            ) -> Result<Vec<$crate::Column>, $crate::Error> {
                ACTIVESTORE_MODEL.with_borrow_mut(|slot| {
                    let model = slot.as_mut().ok_or_else(|| {
                        $crate::Error::Failed("the model is not loaded".to_owned())
                    })?;
                    <$type as $crate::Model>::infer(model, rows as usize, &inputs)
                })
            }
        }

        #[cfg(target_family = "wasm")]
        $crate::bindings::model_world::export_model!(
            ActivestorePlugin with_types_in $crate::bindings::model_world
        );
    };
}
