//! Compiled images that components carry, on hosts that do not compile, and the interpreter beside the
//! machine's own code.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use activestore_plugin_host::{
    HostOptions, ImageTarget, Plugin, PluginHost, SignerKey, SigningKey, Trust, precompile,
};
use activestore_types::{Error, ErrorKind};
use arrow::array::{ArrayRef, AsArray, Float64Array, StringArray, TimestampNanosecondArray};
use arrow::datatypes::Float64Type;
use arrow::record_batch::RecordBatch;

use crate::built::{Map, component, options};

fn key() -> SigningKey {
    SigningKey::generate().unwrap().0
}

/// A host that does not compile and trusts these.
fn without_compiler(target: ImageTarget, signers: &[SignerKey]) -> HostOptions {
    HostOptions {
        compile: false,
        image_signers: signers.to_vec(),
        target,
        ..options()
    }
}

fn load(options: HostOptions, wasm: &[u8]) -> Result<Arc<Plugin>, Error> {
    let host = PluginHost::new(options)?;
    let plugin = host.load("it", wasm)?;
    assert_eq!(host.host_stats().compiled, 0);
    Ok(plugin)
}

fn fahrenheit(plugin: &Arc<Plugin>) -> Vec<f64> {
    let input: ArrayRef = Arc::new(Float64Array::from_iter_values(
        (0..1000).map(|row| f64::from(row) / 7.0),
    ));
    let output = plugin
        .scalar("f_to_c")
        .unwrap()
        .call(1000, &[input])
        .unwrap();
    output.as_primitive::<Float64Type>().values().to_vec()
}

fn dew_points(plugin: &Arc<Plugin>) -> Vec<f64> {
    let column = |first: f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(
            (0..500).map(|row| first + f64::from(row) / 10.0),
        ))
    };
    let args = [column(-10.0), column(30.0)];
    let output = plugin
        .scalar("dew_point")
        .unwrap()
        .call(500, &args)
        .unwrap();
    output.as_primitive::<Float64Type>().values().to_vec()
}

/// What the plugin `anomaly` finds in rows of which one stands out.
fn anomalies(plugin: &Arc<Plugin>) -> Vec<RecordBatch> {
    let rows = 700;
    let device: ArrayRef = Arc::new(StringArray::from(vec!["p1"; rows]));
    let ts: ArrayRef = Arc::new(TimestampNanosecondArray::from_iter_values(
        (0..rows as i64).map(|row| row * 1_000_000_000),
    ));
    let temp: ArrayRef = Arc::new(Float64Array::from_iter_values((0..rows).map(|row| {
        if row == 650 {
            95.0
        } else {
            60.0 + (row % 7) as f64 / 10.0
        }
    })));
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("device", device, false),
        ("ts", ts, false),
        ("temp", temp, true),
    ])
    .unwrap();
    let mut processor = plugin.processor(&BTreeMap::new(), &batch.schema()).unwrap();
    let processed = processor.process(&batch, false, &Map::default()).unwrap();
    assert!(processed.outputs[0].num_rows() > 0);
    processed.outputs
}

#[test]
fn a_host_without_a_compiler_runs_the_image_that_a_trusted_key_signed() {
    let (maker, other) = (key(), key());
    let target = ImageTarget::of_this_machine();
    let plain = component("units");
    let native = PluginHost::new(options())
        .unwrap()
        .load("units", &plain)
        .unwrap();
    let whole = precompile(&plain, target, &maker).unwrap();
    println!(
        "{target}: {} bytes of component, {} with the image",
        plain.len(),
        whole.len()
    );
    let trusting = without_compiler(target, &[other.public(), maker.public()]);
    let plugin = load(trusting, &whole).unwrap();
    assert_eq!(fahrenheit(&plugin), fahrenheit(&native));
    assert_eq!(dew_points(&plugin), dew_points(&native));
    assert_eq!(
        plugin.signer(),
        Some(maker.public()),
        "the component is signed as well"
    );
    // Where there is a compiler the image is so much ballast.
    let host = PluginHost::new(options()).unwrap();
    let _kept = host.load("units", &plain).unwrap();
    let _again = host.load("again", &whole).unwrap();
    assert_eq!(host.host_stats().compiled, 1);

    let refused = |wasm: &[u8], signers: &[SignerKey]| {
        load(without_compiler(target, signers), wasm).unwrap_err()
    };
    let error = refused(&plain, &[maker.public()]);
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("no compiled image"), "{error}");
    let hint = error.hint().unwrap();
    assert!(
        hint.contains(&format!(
            "activestore plugin precompile FILE --target {target} --key KEY"
        )),
        "{hint}"
    );
    let signed = maker.sign(&plain).unwrap();
    assert!(
        refused(&signed, &[maker.public()])
            .message()
            .contains("no compiled image")
    );
    for signers in [&[][..], &[other.public()]] {
        let error = refused(&whole, signers);
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(
            error.message().contains("whom this node does not trust"),
            "{error}"
        );
    }
}

/// A signature of the component says that it may run in the sandbox; its image would run outside.
#[test]
fn a_signature_of_the_component_does_not_vouch_for_its_image() {
    let (author, operator) = (key(), key());
    let target = ImageTarget::of_this_machine();
    let whole = precompile(&component("units"), target, &author).unwrap();
    let signed = operator.sign(&whole).unwrap();
    assert_eq!(
        Trust::Signers(vec![operator.public()])
            .check(&signed)
            .unwrap(),
        Some(operator.public())
    );
    let options = HostOptions {
        trust: Trust::Signers(vec![operator.public()]),
        ..without_compiler(target, &[operator.public()])
    };
    let error = load(options, &signed).unwrap_err();
    assert!(error.message().contains("does not trust"), "{error}");
    // Made anew by whom it trusts, it takes the place of the other's.
    let made = precompile(&signed, target, &operator).unwrap();
    let options = without_compiler(target, &[operator.public()]);
    assert!(load(options, &made).is_ok());
    assert!(made.len() < signed.len() + 1000);
}

#[test]
fn an_image_that_was_changed_or_moved_is_refused() {
    let maker = key();
    let target = ImageTarget::of_this_machine();
    let units = precompile(&component("units"), target, &maker).unwrap();
    let bare = maker.sign(&component("units")).unwrap();
    let refused = |wasm: &[u8]| {
        let options = without_compiler(target, &[maker.public()]);
        load(options, wasm).map(|_| ()).unwrap_err()
    };
    let (begins, ends) = (bare.len() + 60, units.len());
    for at in [
        begins,
        begins + 40,
        begins + 200,
        (begins + ends) / 2,
        ends - 1,
    ] {
        let mut bad = units.clone();
        bad[at] ^= 1;
        let error = refused(&bad);
        assert!(
            matches!(error.kind(), ErrorKind::Denied | ErrorKind::Invalid),
            "{at}: {error}"
        );
    }
    // The image of one component behind another.
    let mut moved = maker.sign(&component("statistics")).unwrap();
    moved.extend(&units[bare.len()..]);
    let error = refused(&moved);
    assert!(
        error.message().contains("made of another component"),
        "{error}"
    );
    // Nothing but images follows an image.
    let mut longer = units.clone();
    longer.extend([0, 2, 1, b'x']);
    assert_eq!(refused(&longer).kind(), ErrorKind::Denied);
    longer.truncate(units.len() - 1);
    assert_eq!(refused(&longer).kind(), ErrorKind::Invalid);
}

#[test]
fn one_file_serves_machines_of_every_kind() {
    let maker = key();
    let mut whole = component("units");
    let targets = [
        "armv7-unknown-linux-gnueabihf",
        "aarch64-unknown-linux-gnu",
        "x86_64-unknown-linux-gnu",
        "pulley64",
    ];
    for (number, name) in targets.into_iter().enumerate() {
        let target: ImageTarget = name.parse().unwrap();
        let before = whole.len();
        if number == 3 && target == ImageTarget::interpreter() {
            let options = without_compiler(target, &[maker.public()]);
            let error = load(options, &whole).unwrap_err();
            assert!(
                error.message().contains(
                    "compiled images for pulley32, aarch64-unknown-linux-gnu, x86_64-unknown-linux-gnu only"
                ),
                "{error}"
            );
        }
        whole = precompile(&whole, target, &maker).unwrap();
        println!("{name}: {} bytes", whole.len() - before);
    }
    for target in [ImageTarget::of_this_machine(), ImageTarget::interpreter()] {
        let plugin = load(without_compiler(target, &[maker.public()]), &whole).unwrap();
        assert_eq!(fahrenheit(&plugin).len(), 1000);
    }
    let error = "mips-unknown-linux-gnu".parse::<ImageTarget>().unwrap_err();
    assert!(error.hint().unwrap().contains("pulley32"), "{error}");
}

#[test]
fn the_interpreter_gives_what_the_machine_gives() {
    let maker = key();
    let target = ImageTarget::interpreter();
    let (units, anomaly) = (component("units"), component("anomaly"));
    let native = PluginHost::new(options()).unwrap();
    let (native_units, native_anomaly) = (
        native.load("units", &units).unwrap(),
        native.load("anomaly", &anomaly).unwrap(),
    );
    // Compiled here for the interpreter, and elsewhere.
    let here = PluginHost::new(HostOptions {
        target,
        ..options()
    })
    .unwrap();
    let host = PluginHost::new(without_compiler(target, &[maker.public()])).unwrap();
    let made = |wasm: &[u8]| precompile(wasm, target, &maker).unwrap();
    for (units, anomaly) in [
        (here.load("units", &units), here.load("anomaly", &anomaly)),
        (
            host.load("units", &made(&units)),
            host.load("anomaly", &made(&anomaly)),
        ),
    ] {
        let (units, anomaly) = (units.unwrap(), anomaly.unwrap());
        assert_eq!(fahrenheit(&units), fahrenheit(&native_units));
        assert_eq!(dew_points(&units), dew_points(&native_units));
        assert_eq!(anomalies(&anomaly), anomalies(&native_anomaly));
    }
}

/// Deadlines hold in the interpreter as well: an image that could not be stopped would not load.
#[test]
fn an_interpreted_loop_is_stopped() {
    let host = PluginHost::new(HostOptions {
        target: ImageTarget::interpreter(),
        call_deadline: std::time::Duration::from_millis(50),
        ..options()
    })
    .unwrap();
    let plugin = host.load("hostile", &component("hostile")).unwrap();
    let config = BTreeMap::from([("mode".to_owned(), "loop".to_owned())]);
    let values: ArrayRef = Arc::new(Float64Array::from(vec![0.5]));
    let batch = RecordBatch::try_from_iter([("value", values)]).unwrap();
    let mut processor = plugin.processor(&config, &batch.schema()).unwrap();
    let error = processor
        .process(&batch, false, &Map::default())
        .unwrap_err();
    assert!(error.message().contains("deadline of 50ms"), "{error}");
}

#[test]
fn a_machine_is_not_asked_for_what_it_cannot_run() {
    let own = [ImageTarget::of_this_machine(), ImageTarget::interpreter()];
    for name in [
        "pulley32",
        "pulley64",
        "aarch64-unknown-linux-gnu",
        "x86_64-unknown-linux-gnu",
    ] {
        let target: ImageTarget = name.parse().unwrap();
        let started = PluginHost::new(HostOptions {
            target,
            ..options()
        });
        if own.contains(&target) {
            assert!(started.is_ok(), "{name}");
            continue;
        }
        let error = started.unwrap_err();
        assert!(
            error
                .message()
                .contains(&format!("does not run plugins compiled for {name}")),
            "{error}"
        );
    }
}

#[test]
fn an_image_is_kept_and_trusted_no_longer_than_its_signer() {
    let (first, second) = (key(), key());
    let target = ImageTarget::of_this_machine();
    let dir = tempfile::tempdir().unwrap();
    let start = |signer: &SigningKey| {
        PluginHost::new(HostOptions {
            cache_dir: Some(dir.path().to_owned()),
            ..without_compiler(target, &[signer.public()])
        })
        .unwrap()
    };
    let plain = component("units");
    let made = precompile(&plain, target, &first).unwrap();
    for from_cache in [false, true] {
        let plugin = start(&first).load("units", &made).unwrap();
        assert_eq!(plugin.stats().from_cache, from_cache);
    }
    assert!(start(&second).load("units", &made).is_err());
    let made = precompile(&plain, target, &second).unwrap();
    let plugin = start(&second).load("units", &made).unwrap();
    assert!(
        !plugin.stats().from_cache,
        "that in the cache is another signer's"
    );
    // One that was changed on disk is unpacked anew.
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "image") {
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
    }
    let host = start(&second);
    assert!(!host.load("units", &made).unwrap().stats().from_cache);
    assert_eq!(host.host_stats().cache_refused, 1);
}
