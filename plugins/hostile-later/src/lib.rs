//! What comes after `hostile`, as an update that nobody should get: it begins well, under any configuration, and
//! traps in every call. It is never shipped.

use activestore_plugin::{
    Batch, Config, Error, Field, Processed, Processor, ScalarType, Spec, State,
};

struct Later;

impl Processor for Later {
    fn init(_config: &Config, _fields: &[Field]) -> Result<(Self, Spec), Error> {
        let output = Field {
            name: "value".to_owned(),
            kind: ScalarType::Float64,
            nullable: true,
        };
        Ok((Later, Spec::sending(vec![output], vec![])))
    }

    fn process(&mut self, batch: &Batch, _state: &mut dyn State) -> Result<Processed, Error> {
        panic!("{} rows too many", batch.rows)
    }
}

activestore_plugin::processor!(Later);
