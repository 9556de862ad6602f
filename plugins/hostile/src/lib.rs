//! A processor that breaks whichever rule its configuration names, to test that the host holds. It
//! does nothing useful and is never shipped.

use activestore_plugin::{
    Batch, Column, Config, Error, Field, Processed, Processor, ScalarType, Spec, State, Values,
    VarBytes, log,
};

struct Hostile {
    mode: String,
    calls: u64,
}

impl Processor for Hostile {
    fn init(config: &Config, fields: &[Field]) -> Result<(Self, Spec), Error> {
        let mode = config.get("mode").unwrap_or("good").to_owned();
        let output = Field {
            name: "value".to_owned(),
            kind: if mode == "text" {
                ScalarType::Text
            } else {
                ScalarType::Float64
            },
            nullable: true,
        };
        let columns = if mode == "columns" {
            vec![1000]
        } else {
            (0..fields.len() as u32).collect()
        };
        let spec = Spec::sending(vec![output], columns);
        match mode.as_str() {
            "loop-in-init" => spin(),
            "refuse-init" => {
                return Err(Error::Invalid(
                    "the configuration is not to my taste".to_owned(),
                ));
            }
            _ => {}
        }
        Ok((Hostile { mode, calls: 0 }, spec))
    }

    fn process(&mut self, batch: &Batch, state: &mut dyn State) -> Result<Processed, Error> {
        self.calls += 1;
        let rows = batch.rows as usize;
        let one = |values| Processed::sending(rows, vec![Column::of(values)]);
        let floats = |count: usize| one(Values::F64s(vec![1.0; count]));
        Ok(match self.mode.as_str() {
            "loop" => spin(),
            "memory" => {
                let mut hoard: Vec<Vec<u8>> = Vec::new();
                loop {
                    hoard.push(vec![1; 1 << 20]);
                    std::hint::black_box(&hoard);
                }
            }
            "panic" => panic!("row {} is my last", rows),
            "panic-once" if self.calls == 1 && state.get_many(&[b"calm".to_vec()])[0].is_none() => {
                panic!("only this once")
            }
            "recursion" => floats(recurse(rows as u64 + 1) as usize),
            "short" => floats(rows.saturating_sub(1)),
            "many-rows" => Processed::sending(1 << 30, vec![Column::f64s(vec![1.0; rows])]),
            "no-columns" => Processed::sending(rows, vec![]),
            "many-outputs" => Processed {
                outputs: floats(rows)
                    .outputs
                    .into_iter()
                    .cycle()
                    .take(1000)
                    .collect(),
                rejected: vec![],
            },
            "wrong-type" => one(Values::S32s(vec![1; rows])),
            "validity" => Processed::sending(
                rows,
                vec![Column {
                    values: Values::F64s(vec![1.0; rows]),
                    validity: Some(vec![]),
                }],
            ),
            "text" => one(Values::Utf8(VarBytes {
                offsets: vec![0; rows + 1],
                data: vec![0xff],
            })),
            "reject-beyond" => Processed {
                rejected: vec![(rows, "there is no such row".to_owned())],
                ..floats(rows)
            },
            "reject" => Processed {
                rejected: vec![(0, "the first row is not welcome".to_owned())],
                ..floats(rows)
            },
            "log" => {
                for line in 0..20_000 {
                    log::info(&format!("line {line} of a flood {}", "x".repeat(1000)));
                }
                floats(rows)
            }
            "state-flood" => {
                for key in 0..64u32 {
                    state.put_many(&[(key.to_le_bytes().to_vec(), Some(vec![0; 1 << 20]))]);
                }
                floats(rows)
            }
            "hoard-state" => {
                let held = state.get_many(&[b"calls".to_vec()]);
                let calls = held[0].as_ref().map_or(0, |calls| calls[0]);
                state.put_many(&[
                    (b"calls".to_vec(), Some(vec![calls + 1])),
                    (vec![b'k', calls], Some(vec![0; 100_000])),
                ]);
                floats(rows)
            }
            "refuse" => return Err(Error::Failed("not today".to_owned())),
            "count" => {
                let key = b"count".to_vec();
                let before = read_count(state, &key);
                state.put_many(&[(
                    key.clone(),
                    Some((before + rows as u64).to_le_bytes().to_vec()),
                )]);
                let after = read_count(state, &key);
                state.put_many(&[(b"gone".to_vec(), None)]);
                one(Values::F64s(vec![after as f64; rows]))
            }
            _ => floats(rows),
        })
    }
}

fn read_count(state: &dyn State, key: &[u8]) -> u64 {
    match state.get_many(&[key.to_vec()]).pop().flatten() {
        Some(bytes) => u64::from_le_bytes(bytes.try_into().unwrap_or_default()),
        None => 0,
    }
}

fn spin() -> ! {
    let mut turns = 0u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

fn recurse(depth: u64) -> u64 {
    let here = std::hint::black_box([depth; 64]);
    if depth == 0 {
        0
    } else {
        1 + recurse(depth + 1) + here[0] % 2
    }
}

activestore_plugin::processor!(Hostile);
