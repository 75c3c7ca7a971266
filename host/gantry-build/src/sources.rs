//! What a plugin is made of: the files of its directory, apart from what builds leave there.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use crate::error::{BuildError, at, step};

/// Directories that tools fill.
const NOT_SOURCES: [&str; 4] = ["dist", "node_modules", "target", "__pycache__"];
/// Most files a plugin's directory may have: beyond, it is surely a whole disk by mistake.
const MOST_FILES: usize = 10_000;

/// The source files below a directory, sorted. Hidden ones and finished components are none.
pub(crate) fn files(directory: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let mut found = Vec::new();
    collect(directory, &mut found)?;
    found.sort();
    Ok(found)
}

/// Those with an extension.
pub(crate) fn with_extension(directory: &Path, extension: &str) -> Result<Vec<PathBuf>, BuildError> {
    let mut found = files(directory)?;
    found.retain(|file| file.extension().is_some_and(|its| its == extension));
    Ok(found)
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) -> Result<(), BuildError> {
    for entry in fs::read_dir(directory).map_err(at(directory))? {
        let entry = entry.map_err(at(directory))?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let kind = entry.file_type().map_err(at(&path))?;
        if name.starts_with('.') || NOT_SOURCES.contains(&&*name) || name.ends_with(".wasm") {
            continue;
        }
        if kind.is_dir() {
            collect(&path, found)?;
        } else if kind.is_file() {
            found.push(path);
        }
        if found.len() > MOST_FILES {
            let reason =
                format!("there are more than {MOST_FILES} files; give the plugin a directory of its own");
            return Err(step(format!("reading {}", directory.display()), reason));
        }
    }
    Ok(())
}

/// A number that changes when a file does, or is added or removed. `salt` is what else counts.
pub(crate) fn fingerprint(directory: &Path, salt: &str) -> Result<String, BuildError> {
    let mut hasher = DefaultHasher::new();
    salt.hash(&mut hasher);
    for file in files(directory)? {
        file.strip_prefix(directory).unwrap_or(&file).hash(&mut hasher);
        // An editor may have it just now under another name: it counts as empty, and soon as changed.
        fs::read(&file).unwrap_or_default().hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_builds_leave_changes_nothing_and_what_an_author_writes_does() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        fs::write(path.join("plugin.py"), "a").unwrap();
        let before = fingerprint(path, "").unwrap();
        fs::create_dir_all(path.join(".gantry")).unwrap();
        fs::create_dir_all(path.join("dist")).unwrap();
        fs::write(path.join(".gantry/x"), "b").unwrap();
        fs::write(path.join("dist/x.wasm"), "b").unwrap();
        fs::write(path.join("y.wasm"), "b").unwrap();
        assert_eq!(fingerprint(path, "").unwrap(), before);
        assert_ne!(fingerprint(path, "other").unwrap(), before);
        fs::write(path.join("plugin.py"), "b").unwrap();
        let changed = fingerprint(path, "").unwrap();
        assert_ne!(changed, before);
        fs::create_dir_all(path.join("lib")).unwrap();
        fs::write(path.join("lib/more.py"), "").unwrap();
        assert_ne!(fingerprint(path, "").unwrap(), changed);
        assert_eq!(with_extension(path, "py").unwrap(), [path.join("lib/more.py"), path.join("plugin.py")]);
    }
}
