//! Compilers that are fetched: each at one version that is known to work, once, into a cache of their own. Nothing is
//! installed into the system.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::{Mutex, PoisonError};

use crate::command::run;
use crate::error::{BuildError, at, missing};

/// Where fetched compilers are kept.
#[derive(Debug, Clone)]
pub struct Toolchains {
    cache: PathBuf,
}

/// How to get Python and pip.
const PYTHON_FIX: &str = "install Python 3.10 or later with pip (Debian: apt-get install python3-pip; others: https://www.python.org)";
/// How to get npm.
const NPM_FIX: &str =
    "install Node.js 20 or later, which brings npm (https://nodejs.org; Debian: apt-get install npm)";

impl Toolchains {
    /// Kept in this directory.
    #[must_use]
    pub fn in_cache(cache: impl Into<PathBuf>) -> Self {
        Self { cache: cache.into() }
    }

    /// Kept where the environment says: `$GANTRY_TOOLCHAINS`, else `gantry/toolchains` in `$XDG_CACHE_HOME`, else
    /// in `~/.cache`.
    ///
    /// # Errors
    /// None of these variables is set.
    pub fn of_user() -> Result<Self, BuildError> {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let in_home = || set("HOME").map(|home| home.join(".cache"));
        let cache = set("GANTRY_TOOLCHAINS").or_else(|| {
            let base = set("XDG_CACHE_HOME").or_else(in_home)?;
            Some(base.join("gantry/toolchains"))
        });
        let fix = "set GANTRY_TOOLCHAINS to the directory that fetched compilers are to be kept in";
        cache.map(Self::in_cache).ok_or_else(|| missing("a cache directory", fix))
    }

    /// The directory of a tool's own caches.
    pub(crate) fn cache_of(&self, tool: &str) -> PathBuf {
        self.cache.join(format!("{tool}-cache"))
    }

    /// A package from PyPI: the directory to put on `PYTHONPATH`.
    pub(crate) fn pypi_package(
        &self,
        package: &str,
        version: &str,
        say: &mut dyn FnMut(&str),
    ) -> Result<PathBuf, BuildError> {
        self.once(package, version, say, |directory, log| {
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
            pip.arg(format!("{package}=={version}")).arg("--target").arg(directory);
            run(&format!("fetching {package} {version} from PyPI"), &mut pip, log, PYTHON_FIX)
        })
    }

    /// A package from npm: the directory with its `node_modules`.
    pub(crate) fn npm_package(
        &self,
        package: &str,
        version: &str,
        say: &mut dyn FnMut(&str),
    ) -> Result<PathBuf, BuildError> {
        self.once(package, version, say, |directory, log| {
            let mut npm = Command::new("npm");
            npm.args(["install", "--no-audit", "--no-fund", "--loglevel", "error", "--prefix"])
                .arg(directory);
            npm.arg(format!("{package}@{version}")).current_dir(directory);
            run(&format!("fetching {package} {version} from npm"), &mut npm, log, NPM_FIX)
        })
    }

    /// Fetches into a directory beside the final one and renames it, so that one that is there is whole.
    fn once(
        &self,
        package: &str,
        version: &str,
        say: &mut dyn FnMut(&str),
        fetch: impl FnOnce(&Path, &Path) -> Result<String, BuildError>,
    ) -> Result<PathBuf, BuildError> {
        // One at a time in this process: two builds may want the same.
        static FETCHING: Mutex<()> = Mutex::new(());
        let _alone = FETCHING.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("{}-{version}", package.trim_start_matches('@').replace('/', "-"));
        let whole = self.cache.join(&name);
        if whole.is_dir() {
            return Ok(whole);
        }
        say(&format!("fetching {package} {version} into {}", self.cache.display()));
        let partial = self.cache.join(format!(".{name}.{}", process::id()));
        fs::create_dir_all(&partial).map_err(at(&partial))?;
        let log = self.cache.join(format!(".{name}.{}.log", process::id()));
        let fetched = fetch(&partial, &log);
        drop(fs::remove_file(&log));
        let kept = fetched.and_then(|_| match fs::rename(&partial, &whole) {
            // Somebody else was quicker.
            Err(_) if whole.is_dir() => Ok(()),
            renamed => renamed.map_err(at(&whole)),
        });
        if partial.exists() {
            drop(fs::remove_dir_all(&partial));
        }
        kept.map(|()| whole)
    }
}

/// The first file of this name in the directories of PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::step;

    #[test]
    fn what_is_fetched_is_whole_or_not_there_and_fetched_once() {
        let directory = tempfile::tempdir().unwrap();
        let toolchains = Toolchains::in_cache(directory.path().join("cache"));
        let failed = toolchains.once("@a/b", "1", &mut |_| (), |partial, _| {
            fs::write(partial.join("half"), "").unwrap();
            Err(step("fetching", "the line went dead"))
        });
        assert!(failed.unwrap_err().to_string().contains("the line went dead"));
        assert_eq!(fs::read_dir(directory.path().join("cache")).unwrap().count(), 0, "nothing is left");

        let mut said = Vec::new();
        let good = |partial: &Path, _: &Path| {
            fs::write(partial.join("whole"), "").unwrap();
            Ok(String::new())
        };
        let first = toolchains.once("@a/b", "1", &mut |line| said.push(line.to_owned()), good).unwrap();
        assert!(first.ends_with("a-b-1") && first.join("whole").exists());
        let second = toolchains
            .once("@a/b", "1", &mut |line| said.push(line.to_owned()), |_, _| panic!("it is there already"));
        assert_eq!((second.unwrap(), said.len()), (first, 1));
    }
}
