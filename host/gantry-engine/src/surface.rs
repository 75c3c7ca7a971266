//! What a component asks for, offers and takes, for whoever wants to look at it without running it.

use serde::Serialize;
use wasmparser::{Instance, Parser, Payload, WasmFeatures};
use wasmtime::component::Component;

use crate::{
    granted::{Grant, Grants},
    imports::{self, Import, Surface},
    load::LoadError,
};

/// The outside of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentSurface {
    /// What it imports, in its own order.
    pub imports: Vec<ComponentImport>,
    /// The names of what it exports.
    pub exports: Vec<String>,
    /// Core instances that one instance of it consists of: those its text makes, each counted once.
    pub core_instances: u32,
}

/// An import of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentImport {
    /// As written, such as `wasi:clocks/wall-clock@0.2.6`.
    pub name: String,
    /// The functions and resources it takes from there; empty where it is types only.
    pub functions: Vec<String>,
    /// What it takes for the import to be linked.
    pub needs: ImportNeeds,
}

/// What an import needs to be linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportNeeds {
    /// Nothing: every component may have it.
    Nothing,
    /// A grant of the operator's.
    Grant(Grant),
    /// It is not offered, whatever is granted.
    NotOffered,
}

/// Reads what a component asks for and offers, by the rules it would be loaded by. Nothing is compiled or run.
///
/// # Errors
/// It is no component, or not a sound one.
pub fn surface(bytes: &[u8]) -> Result<ComponentSurface, LoadError> {
    crate::load::check_bytes(bytes)?;
    let invalid = |error: wasmparser::BinaryReaderError| LoadError::Invalid { reason: error.to_string() };
    let Surface { imports, exports } = Surface::read(bytes).map_err(invalid)?;
    let core_instances = core_instances(bytes).map_err(invalid)?;
    Ok(ComponentSurface { imports: imports.into_iter().map(needing).collect(), exports, core_instances })
}

fn needing(import: Import) -> ComponentImport {
    let refused = imports::refused(std::slice::from_ref(&import), &Grants::NONE);
    let needs = match refused.first().map(|refused| refused.grant) {
        None => ImportNeeds::Nothing,
        Some(Some(grant)) => ImportNeeds::Grant(grant),
        Some(None) => ImportNeeds::NotOffered,
    };
    let Import { name, functions } = import;
    ComponentImport { name, functions, needs }
}

/// Deepest that components and modules may lie in each other. Compilers make two or three levels; checking takes time that
/// grows with the square of the depth.
const MAX_NESTING: usize = 64;

/// Refuses what is nested deeper than [`MAX_NESTING`].
pub(crate) fn check_nesting(bytes: &[u8]) -> Result<(), LoadError> {
    let mut parser = Parser::new(0);
    parser.set_features(WasmFeatures::all());
    let mut depth = 0_usize;
    for payload in parser.parse_all(bytes) {
        // What is wrong with the rest is for the validator to say.
        match payload {
            Ok(Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) => depth += 1,
            Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
            Ok(_) => {}
            Err(_) => return Ok(()),
        }
        if depth > MAX_NESTING {
            let reason = format!("components lie in each other more than {MAX_NESTING} deep");
            return Err(LoadError::Invalid { reason });
        }
    }
    Ok(())
}

fn core_instances(bytes: &[u8]) -> Result<u32, wasmparser::BinaryReaderError> {
    let mut parser = Parser::new(0);
    parser.set_features(WasmFeatures::all());
    let mut count = 0_u32;
    for payload in parser.parse_all(bytes) {
        if let Payload::InstanceSection(section) = payload? {
            for instance in section {
                count = count.saturating_add(u32::from(matches!(instance?, Instance::Instantiate { .. })));
            }
        }
    }
    Ok(count)
}

/// What one instance of a component takes, its core instances apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Footprint {
    /// Linear memories.
    pub memories: u32,
    /// The largest memory when it is made, in bytes.
    pub memory_bytes: u64,
    /// Tables.
    pub tables: u32,
    /// The largest table when it is made, in elements.
    pub table_elements: u64,
}

impl Footprint {
    /// Bytes of a page of linear memory.
    const PAGE: u64 = 65_536;

    /// `None` where the component takes core modules from outside, which no plugin may.
    pub(crate) fn of(component: &Component) -> Option<Self> {
        let needed = component.resources_required()?;
        Some(Self {
            memories: needed.num_memories,
            memory_bytes: needed.max_initial_memory_size.unwrap_or(0).saturating_mul(Self::PAGE),
            tables: needed.num_tables,
            table_elements: needed.max_initial_table_size.unwrap_or(0),
        })
    }
}
