//! What builders of plugins in other languages than Rust need of the contract: its version, a world
//! that is no wider than one plugin, the metadata of a world inside a module, and a component without
//! the functions that a language's runtime adds. All of it is read from `wasm-sdk/wit`.

use activestore_types::{Error, Result};
use wasmparser::{BinaryReader, ComponentExportSectionReader, ComponentExternalKind};
use wit_component::StringEncoding;
use wit_parser::{PackageId, Resolve};

use crate::componentize::{WasmForm, componentize, one_line, wasm_form};
use crate::plugin::PluginKind;
use crate::wit;

const PACKAGE: &str = "activestore:plugin";
/// The world that a builder appends to the contract.
const WORLD: &str = "built-plugin";

/// Sections of a component, by their numbers in the binary format.
const CUSTOM_SECTION: u8 = 0;
const INSTANCE_SECTION: u8 = 5;
const ALIAS_SECTION: u8 = 6;
const TYPE_SECTION: u8 = 7;
const EXPORT_SECTION: u8 = 11;
/// An instance that is made of exports, of none.
const EMPTY_INSTANCE: [u8; 2] = [1, 0];
/// Numbers below it are one byte in LEB128.
const LEB_BYTE_END: u8 = 128;
/// A component's magic number and version.
const HEAD_BYTES: usize = 8;

/// A world for one plugin: what it exports by its kind, and the interfaces that it imports beside the
/// log. Components of languages with an interpreter import the whole world that they were built for,
/// so one that names more than the plugin uses would ask the node for more than the plugin needs.
#[derive(Clone, Debug)]
pub struct PluginWorld {
    resolve: Resolve,
    package: PackageId,
    text: String,
}

impl PluginWorld {
    /// The world of a plugin of this kind.
    ///
    /// # Errors
    /// `Invalid` when one of `imports` is not an interface of the contract.
    pub fn new(kind: PluginKind, imports: &[&str]) -> Result<Self> {
        let contract = wit::text();
        let mut text = format!("{contract}\nworld {WORLD} {{\n  import log;\n");
        for import in imports {
            if !contract.contains(&format!("\ninterface {import} {{")) {
                return Err(Error::invalid(format!(
                    "the contract has no interface '{import}'"
                )));
            }
            text.push_str(&format!("  import {import};\n"));
        }
        text.push_str(&format!("  export {};\n}}\n", kind.name()));
        let mut resolve = Resolve::default();
        let package = resolve
            .push_str("plugin.wit", &text)
            .map_err(|error| Error::internal(format!("the contract cannot be read: {error:#}")))?;
        Ok(PluginWorld {
            resolve,
            package,
            text,
        })
    }

    /// The world's name, to be given to tools beside [`PluginWorld::text`].
    pub fn name(&self) -> &'static str {
        WORLD
    }

    /// The whole contract with this world at its end, in WIT.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The contract's version, as it stands behind the `@` of its interfaces.
    pub fn version(&self) -> String {
        let package = self.resolve.packages.get(self.package);
        let version = package.and_then(|package| package.name.version.as_ref());
        version.map(ToString::to_string).unwrap_or_default()
    }

    /// Makes a component of a core module that exports and imports what this world says under the
    /// names of the canonical ABI, and carries no metadata of its own.
    ///
    /// # Errors
    /// `Invalid` when the bytes are no core module, or lack an export of the world.
    pub fn componentize(&self, core_wasm: &[u8]) -> Result<Vec<u8>> {
        if wasm_form(core_wasm) != WasmForm::CoreModule {
            return Err(Error::invalid("the file is not a core WebAssembly module"));
        }
        let mut module = core_wasm.to_vec();
        self.resolve
            .select_world(&[self.package], Some(WORLD))
            .and_then(|world| {
                wit_component::embed_component_metadata(
                    &mut module,
                    &self.resolve,
                    world,
                    StringEncoding::UTF8,
                )
            })
            .map_err(|error| Error::invalid(one_line(&format!("{error:#}"))))?;
        componentize(&module)
    }
}

/// The component without what it exports beside the contract: QuickJS and CPython export what they were
/// initialised by when the component was built. An export that something else in the component may build on
/// stays, and the host refuses the component by its name.
///
/// # Errors
/// `Invalid` when the bytes are no component.
pub fn contract_exports_only(component: &[u8]) -> Result<Vec<u8>> {
    if wasm_form(component) != WasmForm::Component {
        return Err(Error::invalid("the file is not a component"));
    }
    let (head, rest) = component
        .split_at_checked(HEAD_BYTES)
        .unwrap_or((component, &[]));
    let sections = sections(rest)
        .map_err(|error| Error::invalid(format!("the component cannot be read: {error}")))?;
    let mut kept = head.to_vec();
    for (index, section) in sections.iter().enumerate() {
        let strange = section.exports.iter().all(|(name, _)| {
            let own = name.split_once('/');
            own.is_none_or(|(package, _)| package != PACKAGE)
        });
        let all = |kind| section.exports.iter().all(|(_, other)| *other == kind);
        let later = sections.get(index + 1..).unwrap_or_default();
        if section.exports.is_empty() || !strange {
            kept.extend_from_slice(section.bytes);
        } else if all(ComponentExternalKind::Instance) {
            // An export has a number of its own among the instances: empty ones take theirs.
            let content = section.exports.iter().fold(Vec::new(), |mut content, _| {
                content.extend(EMPTY_INSTANCE);
                content
            });
            let count = u8::try_from(section.exports.len()).unwrap_or(u8::MAX);
            let bytes = u8::try_from(content.len() + 1).unwrap_or(u8::MAX);
            if count < LEB_BYTE_END && bytes < LEB_BYTE_END {
                kept.extend([INSTANCE_SECTION, bytes, count]);
                kept.extend(content);
            } else {
                kept.extend_from_slice(section.bytes);
            }
        } else if !all(ComponentExternalKind::Func) || later.iter().any(Section::numbers_functions)
        {
            kept.extend_from_slice(section.bytes);
        }
    }
    Ok(kept)
}

/// A section of a component, head and all.
struct Section<'a> {
    number: u8,
    bytes: &'a [u8],
    /// The names and kinds of what it exports.
    exports: Vec<(&'a str, ComponentExternalKind)>,
}

impl Section<'_> {
    /// Whether something in it may name a function by its number.
    fn numbers_functions(&self) -> bool {
        match self.number {
            CUSTOM_SECTION | ALIAS_SECTION | TYPE_SECTION => false,
            EXPORT_SECTION => {
                let mut kinds = self.exports.iter().map(|(_, kind)| kind);
                kinds.any(|kind| *kind == ComponentExternalKind::Func)
            }
            _ => true,
        }
    }
}

fn sections(bytes: &[u8]) -> std::result::Result<Vec<Section<'_>>, wasmparser::BinaryReaderError> {
    let mut reader = BinaryReader::new(bytes, 0);
    let mut sections = Vec::new();
    while !reader.eof() {
        let from = reader.original_position();
        let number = reader.read_u8()?;
        let length = reader.read_var_u32()? as usize;
        let content = reader.read_bytes(length)?;
        let mut exports = Vec::new();
        if number == EXPORT_SECTION {
            for export in ComponentExportSectionReader::new(BinaryReader::new(content, 0))? {
                let export = export?;
                exports.push((export.name.name, export.kind));
            }
        }
        let bytes = bytes.get(from..reader.original_position());
        sections.push(Section {
            number,
            bytes: bytes.unwrap_or_default(),
            exports,
        });
    }
    Ok(sections)
}

#[cfg(test)]
mod tests;
