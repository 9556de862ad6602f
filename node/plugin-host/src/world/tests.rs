//! The worlds that builders are given, and what is taken out of a component.

use super::*;

#[test]
fn a_world_is_no_wider_than_asked_for() {
    let world = PluginWorld::new(PluginKind::Processor, &["state"]).unwrap();
    let (_, added) = world.text().split_once("world built-plugin").unwrap();
    assert_eq!(
        added,
        " {\n  import log;\n  import state;\n  export processor;\n}\n"
    );
    assert!(
        world
            .text()
            .contains(&format!("activestore:plugin@{};", world.version()))
    );
    PluginWorld::new(PluginKind::Processor, &["http"]).unwrap();
    let error = PluginWorld::new(PluginKind::Scalar, &["files"]).unwrap_err();
    assert_eq!(error.message(), "the contract has no interface 'files'");
}

#[test]
fn every_kind_has_a_world() {
    for kind in [
        PluginKind::Scalar,
        PluginKind::Aggregate,
        PluginKind::Table,
        PluginKind::Processor,
        PluginKind::Model,
        PluginKind::Merge,
        PluginKind::Filter,
    ] {
        PluginWorld::new(kind, &[]).unwrap();
    }
}

#[test]
fn a_module_that_lacks_an_export_is_refused() {
    let world = PluginWorld::new(PluginKind::Scalar, &[]).unwrap();
    let error = world.componentize(b"\0asm\x01\0\0\0").unwrap_err();
    assert!(error.message().contains("component"), "{error}");
    assert!(world.componentize(b"\0asm\x0d\0\x01\0").is_err());
    assert!(world.componentize(b"GIF89a..").is_err());
}

/// A component with sections of this number and content.
fn component(sections: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    for (section, content) in sections {
        bytes.extend([*section, content.len() as u8]);
        bytes.extend_from_slice(content);
    }
    bytes
}

/// An export of item 0 of a sort: 1 is a function, 5 an instance.
fn export(name: &str, sort: u8) -> Vec<u8> {
    let mut content = vec![1, 0, name.len() as u8];
    content.extend(name.bytes());
    content.extend([sort, 0, 0]);
    content
}

#[test]
fn what_the_contract_does_not_name_is_taken_out() {
    let custom: &[u8] = &[1, b'x', 7];
    let own = export("activestore:plugin/scalar@9.9.9", 5);
    let function = export("init", 1);
    let given = component(&[(0, custom), (11, &function), (11, &own), (0, custom)]);
    let wanted = component(&[(0, custom), (11, &own), (0, custom)]);
    assert_eq!(contract_exports_only(&given).unwrap(), wanted);
    assert_eq!(contract_exports_only(&wanted).unwrap(), wanted);
    // The numbers of the instances behind it stay as they are.
    let instance = export("exports", 5);
    let given = component(&[(11, &instance), (11, &own)]);
    let wanted = component(&[(5, &[1, 1, 0]), (11, &own)]);
    assert_eq!(contract_exports_only(&given).unwrap(), wanted);
}

#[test]
fn a_function_that_others_may_build_on_stays() {
    let function = export("init", 1);
    for later in [(8, vec![0]), (11, export("more", 1))] {
        let given = component(&[(11, &function), (later.0, &later.1), (8, &[0])]);
        assert_eq!(contract_exports_only(&given).unwrap(), given);
    }
}

#[test]
fn hostile_bytes_are_refused() {
    assert!(contract_exports_only(b"GIF89a..").is_err());
    assert!(contract_exports_only(&component(&[(11, &[9, 9])])).is_err());
    let mut cut = component(&[(0, &[1, b'x', 7])]);
    cut.pop();
    assert!(contract_exports_only(&cut).is_err());
}
