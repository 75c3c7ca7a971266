//! The WIT files and the guest SDKs, as the repository had them when this was compiled.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::Path;
use std::sync::OnceLock;

use crate::error::{BuildError, at};

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The files below a folder of the repository, such as `guest-sdk/c`: their path below it, and what is in them.
pub(crate) fn below(folder: &str) -> impl Iterator<Item = (&'static str, &'static [u8])> {
    FILES.iter().filter_map(move |(path, content)| {
        let relative = path.strip_prefix(folder)?.strip_prefix('/')?;
        Some((relative, *content))
    })
}

/// The text of one file.
pub(crate) fn text(path: &str) -> &'static str {
    let found = FILES.iter().find(|(name, _)| *name == path);
    found.and_then(|(_, content)| std::str::from_utf8(content).ok()).unwrap_or_default()
}

/// A text that is another one when an embedded file is.
pub(crate) fn fingerprint() -> &'static str {
    static ONCE: OnceLock<String> = OnceLock::new();
    ONCE.get_or_init(|| {
        let mut hasher = DefaultHasher::new();
        FILES.hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    })
}

/// Writes files below a directory. One that says the same already is left alone, so that what depends on its time stays.
pub(crate) fn write<'a>(
    directory: &Path,
    files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<(), BuildError> {
    for (name, content) in files {
        let file = directory.join(name);
        if fs::read(&file).is_ok_and(|present| present == content) {
            continue;
        }
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).map_err(at(parent))?;
        }
        fs::write(&file, content).map_err(at(&file))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_and_the_wit_are_in_the_binary() {
        for folder in
            ["wit", "guest-sdk/c", "guest-sdk/go", "guest-sdk/js", "guest-sdk/python", "guest-sdk/rust"]
        {
            assert!(below(folder).count() > 0, "{folder}");
        }
        assert!(text("wit/worlds.wit").contains("world message-listener"));
    }
}
