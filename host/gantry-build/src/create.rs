//! New plugins from templates.

use std::fs;
use std::path::Path;

use crate::embedded;
use crate::error::{BuildError, at};
use crate::manifest::{self, Language, Role, check_name};

/// A plugin to be.
#[derive(Debug, Clone)]
pub struct New {
    /// Its name; see [`crate::Manifest::name`].
    pub name: String,
    /// What it is to be written in.
    pub language: Language,
    /// What it is to do.
    pub role: Role,
}

/// What builds leave, for git.
const IGNORED: &str = ".gantry/\ndist/\ntarget/\n__pycache__/\n";
/// What templates call their plugin.
const PLACEHOLDER: &str = "NAME";

/// Makes a plugin's directory: a manifest, and sources that build and run as they are.
///
/// # Errors
/// The name breaks a rule, the directory exists and is not empty, or cannot be written.
pub fn create(directory: &Path, new: &New) -> Result<(), BuildError> {
    let file = manifest::file(directory);
    check_name(&new.name).map_err(|reason| BuildError::Manifest { file, reason })?;
    if fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(BuildError::Exists { path: directory.to_path_buf() });
    }
    fs::create_dir_all(directory).map_err(at(directory))?;
    let manifest = manifest_text(new);
    embedded::write(
        directory,
        [(manifest::MANIFEST, manifest.as_bytes()), (".gitignore", IGNORED.as_bytes())],
    )?;
    for (name, content) in template(new) {
        let content = String::from_utf8_lossy(content).replace(PLACEHOLDER, &new.name);
        // A template that is no source yet: cargo would take its Cargo.toml for a crate's.
        embedded::write(directory, [(name.trim_end_matches(".in"), content.as_bytes())])?;
    }
    Ok(())
}

/// The files of a language's templates that are for the role, or for all of them.
fn template(new: &New) -> impl Iterator<Item = (&'static str, &'static [u8])> {
    let folder = format!("guest-sdk/{}/template", new.language.folder());
    let of_role = format!("{}/", new.role);
    let all: Vec<_> = embedded::below(&folder).collect();
    all.into_iter().filter_map(move |(name, content)| match name.strip_prefix(&of_role) {
        Some(own) => Some((own, content)),
        None if Role::ALL.iter().any(|role| name.starts_with(&format!("{role}/"))) => None,
        None => Some((name, content)),
    })
}

fn manifest_text(new: &New) -> String {
    let New { name, language, role } = new;
    format!(
        "# What this plugin is; `gantry plugin build` makes a component of it.\n\
         name = {name:?}\n\
         language = \"{language}\"\n\
         # listener, selector, strategy: one or several.\n\
         roles = [\"{role}\"]\n\
         # What it asks of the host: delivery; producer and metrics, which `grants` in gantry.toml must allow.\n\
         # imports = [\"delivery\"]\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Manifest;

    #[test]
    fn every_language_and_role_has_a_template_with_its_name_in_it() {
        for language in Language::ALL {
            for role in Role::ALL {
                let directory = tempfile::tempdir().unwrap();
                let new = New { name: "my-plugin".into(), language, role };
                create(directory.path(), &new).unwrap();
                let read = Manifest::read(directory.path()).unwrap();
                assert_eq!((read.language, read.roles), (language, vec![role]));
                let files = crate::sources::files(directory.path()).unwrap();
                let texts: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
                assert!(texts.matches("my-plugin").count() >= 2, "{language} {role}: {files:?}");
                assert!(!texts.contains(PLACEHOLDER), "{language} {role}: {texts}");
            }
        }
    }

    #[test]
    fn nothing_is_overwritten_and_a_bad_name_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let mut new = New { name: "a".into(), language: Language::C, role: Role::Listener };
        fs::write(directory.path().join("mine"), "").unwrap();
        let error = create(directory.path(), &new).unwrap_err().to_string();
        assert!(error.contains("exists already"), "{error}");
        new.name = "../a".into();
        let error = create(&directory.path().join("b"), &new).unwrap_err().to_string();
        assert!(error.contains("is no plugin's name"), "{error}");
    }
}
