//! One plugin's directory, and its build.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{BuildError, at};
use crate::manifest::{Language, Manifest};
use crate::toolchains::Toolchains;
use crate::{c, embedded, go, javascript, python, rust, sources, world};

/// What builds leave beside the sources: the SDK, the WIT, what tools said, what was built of what.
const WORK: &str = ".gantry";

/// A plugin's directory.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// The directory, with no `..` or link in it.
    pub directory: PathBuf,
    /// What its manifest says.
    pub manifest: Manifest,
}

/// What a build brought.
#[derive(Debug, Clone)]
pub struct Built {
    /// The component's file.
    pub component: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Whether it was built just now; false where nothing had changed since the last time.
    pub fresh: bool,
}

impl Plugin {
    /// The plugin in a directory.
    ///
    /// # Errors
    /// It is none, or its manifest breaks a rule.
    pub fn open(directory: &Path) -> Result<Self, BuildError> {
        let manifest = Manifest::read(directory)?;
        let directory = directory.canonicalize().map_err(at(directory))?;
        Ok(Self { directory, manifest })
    }

    /// Where its component goes unless said otherwise: `dist/NAME.wasm` in its directory.
    #[must_use]
    pub fn default_output(&self) -> PathBuf {
        self.directory.join("dist").join(&self.manifest.name).with_extension("wasm")
    }

    /// A text that is another one when a source file, the SDK or the WIT is.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn fingerprint(&self) -> Result<String, BuildError> {
        let language = format!("{:?}", self.manifest);
        sources::fingerprint(&self.directory, &format!("{language} {}", embedded::fingerprint()))
    }

    /// A path below the work directory.
    pub(crate) fn work(&self, below: &str) -> PathBuf {
        self.directory.join(WORK).join(below)
    }

    /// The file that the tools' output goes to.
    pub(crate) fn log(&self) -> PathBuf {
        self.work("build.log")
    }
}

/// Builds a plugin's component into `output`, [`Plugin::default_output`] unless given, and tells what it does.
///
/// The file is replaced in one step, so that a host that watches it never sees half of it. Nothing is done where neither
/// sources nor SDK have changed since the last build into that file.
///
/// # Errors
/// See [`BuildError`]; the file is then as it was.
pub fn build(
    plugin: &Plugin,
    output: Option<&Path>,
    toolchains: &Toolchains,
    say: &mut dyn FnMut(&str),
) -> Result<Built, BuildError> {
    let component = output.map_or_else(|| plugin.default_output(), Path::to_path_buf);
    let stamp_file = plugin.work("stamp");
    let stamp = format!("{} {}", plugin.fingerprint()?, component.display());
    let size = || fs::metadata(&component).map(|file| file.len()).map_err(at(&component));
    // Cargo knows better what a crate depends on.
    let may_skip = plugin.manifest.language != Language::Rust;
    if may_skip && component.is_file() && fs::read_to_string(&stamp_file).is_ok_and(|last| last == stamp) {
        return Ok(Built { bytes: size()?, component, fresh: false });
    }
    let wit = plugin.work("wit");
    world::write(&wit, &plugin.manifest)?;
    say(&format!("building {} ({})", plugin.manifest.name, plugin.manifest.language));
    let bytes = match plugin.manifest.language {
        Language::C => c::build(plugin, toolchains, say)?,
        Language::Go => go::build(plugin)?,
        Language::JavaScript => javascript::build(plugin, toolchains, say)?,
        Language::Python => python::build(plugin, toolchains, say)?,
        Language::Rust => rust::build(plugin, say)?,
    };
    let fresh = replace(&component, &bytes)?;
    fs::write(&stamp_file, stamp).map_err(at(&stamp_file))?;
    Ok(Built { bytes: size()?, component, fresh: fresh || may_skip })
}

/// Replaces a file in one step, unless it says the same already; whether it did.
fn replace(file: &Path, content: &[u8]) -> Result<bool, BuildError> {
    if fs::read(file).is_ok_and(|present| present == content) {
        return Ok(false);
    }
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent).map_err(at(parent))?;
    }
    let fresh = file.with_extension("wasm.new");
    fs::write(&fresh, content).map_err(at(&fresh))?;
    fs::rename(&fresh, file).map_err(at(file))?;
    Ok(true)
}
