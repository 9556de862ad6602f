//! How much work a component is for the compiler. Compiling cannot be stopped half-way, and some small
//! components would take hours or all memory, so what they are made of is counted first and held to
//! limits. Nothing depends on the machine: what one node refuses all refuse.
//!
//! - A component may instantiate a component of its own many times, and that one another: all of them
//!   are written out before anything is compiled, so a few hundred bytes can become billions of
//!   instances.
//! - Each module may have a memory image of the size that `engine.rs` sets, however few bytes it gives.
//! - What the compiler keeps of a function grows with its values times the places where its control flow
//!   meets.
//!
//! Interpreters of other languages are the largest honest plugins; they take a quarter of the limits at
//! most.

use activestore_types::{Error, Result};
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentTypeRef, FunctionBody, Instance, Operator, Parser, Payload,
};

/// Core modules and components within the component.
const PARTS_MAX: u64 = 256;
/// How deep they may lie in each other.
const DEPTH_MAX: u64 = 16;
/// Instances, aliases, functions and exports of components when all nested ones are written out.
const WRITTEN_OUT_MAX: u64 = 100_000;
/// Types, imports, exports, globals, segments and the like as they stand in the file.
const ITEMS_MAX: u64 = 500_000;
/// Functions in all modules together.
const FUNCTIONS_MAX: u64 = 200_000;
/// Parameters, or results, of one function.
const ARITY_MAX: u64 = 256;
/// Bytes of one function.
const FUNCTION_BYTES_MAX: u64 = 2 << 20;
/// What one function may keep alive times the places where its control flow meets …
const FUNCTION_PRODUCT_MAX: u64 = 32_000_000;
/// … and all of them together.
const PRODUCTS_MAX: u64 = 200_000_000;
/// Of so many operators one leaves a value that lives beyond its block, at a guess.
const OPERATORS_PER_VALUE: u64 = 16;

/// Counts what the component is made of.
///
/// # Errors
/// `Invalid` where it is more than the compiler should be given, or cannot be read.
pub(crate) fn check(component: &[u8]) -> Result<()> {
    let mut count = Count::default();
    for payload in Parser::new(0).parse_all(component) {
        count.payload(&payload.map_err(not_valid)?)?;
    }
    Ok(())
}

#[derive(Default)]
struct Count {
    /// The component or module at hand, last, and those around it.
    around: Vec<Part>,
    parts: u64,
    items: u64,
    functions: u64,
    products: u64,
}

/// A component, as far as it was read.
#[derive(Default)]
struct Part {
    /// What one instance of it is when it is written out.
    written_out: u64,
    /// The same of each component that it can name, by number.
    components: Vec<u64>,
    /// Whether what comes next is a component within it.
    awaits: bool,
}

impl Count {
    fn payload(&mut self, payload: &Payload<'_>) -> Result<()> {
        match payload {
            Payload::Version { .. } => {
                self.around.push(Part::default());
                within("nested parts", self.around.len() as u64, DEPTH_MAX)
            }
            Payload::End(_) => {
                let ended = self.around.pop().unwrap_or_default();
                let part = self.around.last_mut();
                if let Some(part) = part.filter(|part| part.awaits) {
                    part.awaits = false;
                    part.components.push(ended.written_out.saturating_add(1));
                }
                Ok(())
            }
            Payload::ModuleSection { .. } => {
                self.parts += 1;
                within("modules and components", self.parts, PARTS_MAX)
            }
            Payload::ComponentSection { .. } => {
                if let Some(part) = self.around.last_mut() {
                    part.awaits = true;
                }
                self.parts += 1;
                within("modules and components", self.parts, PARTS_MAX)
            }
            Payload::InstanceSection(instances) => {
                for instance in instances.clone() {
                    let named = match instance.map_err(not_valid)? {
                        Instance::Instantiate { args, .. } => args.len(),
                        Instance::FromExports(exports) => exports.len(),
                    };
                    self.write_out(1 + named as u64)?;
                }
                Ok(())
            }
            Payload::ComponentInstanceSection(instances) => {
                for instance in instances.clone() {
                    let (made, named) = match instance.map_err(not_valid)? {
                        ComponentInstance::Instantiate {
                            component_index,
                            args,
                        } => (self.component(0, component_index), args.len()),
                        ComponentInstance::FromExports(exports) => (1, exports.len()),
                    };
                    self.write_out(made.saturating_add(named as u64))?;
                }
                Ok(())
            }
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases.clone() {
                    match alias.map_err(not_valid)? {
                        ComponentAlias::Outer {
                            kind: ComponentOuterAliasKind::Component,
                            count,
                            index,
                        } => {
                            self.name(self.component(count, index));
                        }
                        ComponentAlias::InstanceExport {
                            kind: ComponentExternalKind::Component | ComponentExternalKind::Module,
                            ..
                        } => return Err(handed_on()),
                        _ => {}
                    }
                    self.write_out(1)?;
                }
                Ok(())
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports.clone() {
                    let kind = import.map_err(not_valid)?.ty;
                    if matches!(
                        kind,
                        ComponentTypeRef::Component(_) | ComponentTypeRef::Module(_)
                    ) {
                        return Err(handed_on());
                    }
                    self.write_out(1)?;
                }
                Ok(())
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports.clone() {
                    let export = export.map_err(not_valid)?;
                    if export.kind == ComponentExternalKind::Component {
                        self.name(self.component(0, export.index));
                    }
                    self.write_out(1)?;
                }
                Ok(())
            }
            Payload::ComponentCanonicalSection(functions) => {
                self.write_out(u64::from(functions.count()))
            }
            Payload::FunctionSection(functions) => {
                self.functions += u64::from(functions.count());
                within("functions", self.functions, FUNCTIONS_MAX)
            }
            Payload::TypeSection(types) => {
                for function in types.clone().into_iter_err_on_gc_types() {
                    let function = function.map_err(not_valid)?;
                    let most = function.params().len().max(function.results().len());
                    within(
                        "parameters or results of a function",
                        most as u64,
                        ARITY_MAX,
                    )?;
                }
                self.items(u64::from(types.count()))
            }
            Payload::CodeSectionEntry(body) => self.function(body),
            other => self.items(listed(other)),
        }
    }

    /// What an instance of a component is when it is written out; nothing where there is no such component,
    /// which the compiler says better.
    fn component(&self, outwards: u32, index: u32) -> u64 {
        let part = self.around.iter().rev().nth(outwards as usize);
        let named = part.and_then(|part| part.components.get(index as usize));
        named.copied().unwrap_or(0)
    }

    fn write_out(&mut self, more: u64) -> Result<()> {
        let Some(part) = self.around.last_mut() else {
            return Ok(());
        };
        part.written_out = part.written_out.saturating_add(more);
        within(
            "instances, functions and exports when all components are written out",
            part.written_out,
            WRITTEN_OUT_MAX,
        )
    }

    /// The component at hand can name one more.
    fn name(&mut self, written_out: u64) {
        if let Some(part) = self.around.last_mut() {
            part.components.push(written_out);
        }
    }

    fn function(&mut self, body: &FunctionBody<'_>) -> Result<()> {
        let bytes = body.range().len() as u64;
        within("bytes of one function", bytes, FUNCTION_BYTES_MAX)?;
        let mut locals = 0_u64;
        for group in body.get_locals_reader().map_err(not_valid)? {
            locals += u64::from(group.map_err(not_valid)?.0);
        }
        let (mut operators, mut joins) = (0_u64, 1_u64);
        for operator in body.get_operators_reader().map_err(not_valid)? {
            match operator.map_err(not_valid)? {
                Operator::Block { .. }
                | Operator::Loop { .. }
                | Operator::If { .. }
                | Operator::Else
                | Operator::TryTable { .. } => joins += 1,
                Operator::LocalGet { .. }
                | Operator::LocalSet { .. }
                | Operator::LocalTee { .. } => {}
                _ => operators += 1,
            }
        }
        let product = (locals + operators / OPERATORS_PER_VALUE).saturating_mul(joins);
        within(
            "values of one function times its blocks",
            product,
            FUNCTION_PRODUCT_MAX,
        )?;
        self.products += product;
        within(
            "values of all functions times their blocks",
            self.products,
            PRODUCTS_MAX,
        )
    }

    fn items(&mut self, more: u64) -> Result<()> {
        self.items += more;
        within(
            "types, imports, exports and segments",
            self.items,
            ITEMS_MAX,
        )
    }
}

/// How many things a section lists.
fn listed(payload: &Payload<'_>) -> u64 {
    u64::from(match payload {
        Payload::ImportSection(list) => list.count(),
        Payload::TableSection(list) => list.count(),
        Payload::MemorySection(list) => list.count(),
        Payload::TagSection(list) => list.count(),
        Payload::GlobalSection(list) => list.count(),
        Payload::ExportSection(list) => list.count(),
        Payload::ElementSection(list) => list.count(),
        Payload::DataSection(list) => list.count(),
        Payload::CoreTypeSection(list) => list.count(),
        Payload::ComponentTypeSection(list) => list.count(),
        _ => 0,
    })
}

fn within(what: &str, count: u64, max: u64) -> Result<()> {
    if count <= max {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "it is too much for the compiler: {count} {what} where {max} are allowed"
    )))
}

/// What it is would be known only when all is written out.
fn handed_on() -> Error {
    Error::invalid("it hands a component or a module on to another, which no plugin may")
}

fn not_valid(error: wasmparser::BinaryReaderError) -> Error {
    Error::invalid(format!("it is not a valid component: {error}"))
}

#[cfg(test)]
mod tests;
